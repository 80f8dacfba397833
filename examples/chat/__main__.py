"""``python -m examples.chat``: starts the chat, and prints how to reach it."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from examples.chat.main import AUTHORITY, Chat, Settings

HOW = """\
The chat is up; Ctrl-C ends it. Sign up in a browser, then come by any of these:

  web pages         {web}
                    its certificate is signed by {ca}
  chat in a browser {web}/talk
  PB                {pb}
                    python -m examples.chat.client {pb} --ca {ca}
  PB, this machine  {pb_plain}
  IRC, this machine {irc}
                    your name is your nick; your password is that of the server
  IRC inside TLS    {ircs}
                    SASL PLAIN, or a password of the server
  netcat            nc {lines}
"""


def _settings() -> Settings:
    parser = argparse.ArgumentParser(prog="python -m examples.chat", description=__doc__)
    add = parser.add_argument
    add("--folder", type=Path, default=Path("chat-data"), help="certificates and database")
    add("--store", help="the database: sql:postgresql://host/name; default a file in the folder")
    add("--host", default="127.0.0.1", help="where the front ends inside TLS listen")
    add(
        "--nats",
        metavar="URL",
        help="of a NATS server, which joins several nodes",
    )
    add("--lease", type=float, default=Settings.lease, help="seconds until a dead node is gone")
    add("--name", action="append", help="a host name that the certificate is for; repeatable")
    for name in ("pb", "pb-plain", "irc", "ircs", "lines", "web"):
        port = getattr(Settings, name.replace("-", "_"))
        add(f"--{name}", type=int, default=port, metavar="PORT", help=f"default {port}; 0: any")
    given = vars(parser.parse_args())
    names = given.pop("name")
    if names:
        given["names"] = tuple(names)
    return Settings(**given)


def how(chat: Chat) -> str:
    """Return a text that tells how to reach each front end."""
    without = {"web": "needs aiohttp", "pb_plain": "where pb serve says"}
    where = {**without, **chat.addresses}
    where["lines"] = where["lines"].replace(":", " ")
    text = HOW.format(**where, ca=chat.folder / AUTHORITY)
    if chat.admin_password is not None:
        text += f"\nThe admin's page is for: admin, {chat.admin_password}"
    return text


async def _main(settings: Settings) -> None:
    async with Chat(settings) as chat:
        print(how(chat), flush=True)
        await chat.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(_settings()))
