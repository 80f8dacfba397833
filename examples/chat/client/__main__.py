"""``python -m examples.chat.client pbs://NAME@HOST irc+tls://NAME@HOST …``: several at once."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from collections.abc import Callable
from importlib.util import find_spec
from urllib.parse import urlsplit

import broker
from examples.chat.client.messenger import Messenger
from examples.chat.client.model import Chat
from examples.chat.client.networks import Kept, Network, network_of, nick_of
from examples.chat.model import LOBBY

__all__ = ["main"]

NEEDS = {"terminal": ["textual"], "window": ["PySide6", "qasync"]}
"""The packages of each front end."""


def main(arguments: list[str] | None = None) -> None:
    """Ask for the passwords, then run the client in the terminal or in a window."""
    given = _parser().parse_args(arguments)
    front_end = "window" if given.window else "terminal"
    missing = [name for name in NEEDS[front_end] if find_spec(name) is None]
    if missing:
        sys.exit(f"chat: install {' and '.join(missing)} for the {front_end}")
    try:
        logins = [_login(address, given.ca) for address in given.addresses]
    except broker.ConfigError as error:
        sys.exit(f"chat: {error}")

    def open_accounts() -> Messenger:
        messenger = Messenger(Chat())
        for title, nick, network in logins:
            messenger.add(title, nick, Kept(network), *(given.room or [LOBBY]))
        return messenger

    if given.window:
        from examples.chat.client import window

        window.run(open_accounts)
    else:
        asyncio.run(_run_terminal(open_accounts))


async def _run_terminal(open_accounts: Callable[[], Messenger]) -> None:
    from examples.chat.client.terminal import Terminal

    messenger = open_accounts()
    try:
        await Terminal(messenger).run_async()
    finally:
        await messenger.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.chat.client", description=__doc__)
    parser.add_argument(
        "addresses", nargs="+", metavar="ADDRESS",
        help="pbs://NAME@HOST, irc+tls://NAME@HOST; pb:// and irc:// on this machine",
    )  # fmt: skip
    parser.add_argument(
        "--room", action="append", metavar="ROOM",
        help="a room to go into, on each network; #lobby if none is given",
    )  # fmt: skip
    parser.add_argument("--ca", metavar="FILE", help="the certificate of your own authority")
    parser.add_argument("--window", action="store_true", help="a window of Qt")
    return parser


def _login(address: str, ca: str | None) -> tuple[str, str, Network]:
    """Ask for what the address lacks; return title, name and network."""
    nick = nick_of(address) or input(f"Name at {address}: ").strip()
    title = f"{nick}@{urlsplit(address).hostname}"
    return title, nick, network_of(address, nick, getpass.getpass(f"Password of {title}: "), ca)


if __name__ == "__main__":
    main()
