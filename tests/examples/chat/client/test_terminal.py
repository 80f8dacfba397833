"""The client in a terminal: what is typed, what is shown, and a lost connection, on the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, RichLog, Static

from cred import UsernamePassword
from examples.chat.client.messenger import Messenger
from examples.chat.client.model import Chat, Event
from examples.chat.client.networks import Kept, network_of
from examples.chat.client.terminal import Terminal

SCHEMES = {"pb": "pbs", "ircs": "irc+tls"}


def kept(chat: Any, front_end: str, nick: str, **how: Any) -> Kept:
    """Return a network of the chat server."""
    host_port = chat.addresses[front_end].rpartition("/")[2]
    address = f"{SCHEMES[front_end]}://{host_port}"
    return Kept(network_of(address, nick, nick * 2, str(chat.folder / "ca.pem")), **how)


@asynccontextmanager
async def running(*accounts: tuple[str, Kept]) -> AsyncIterator[tuple[Terminal, Pilot[None]]]:
    """Run the program with accounts, all of them in #lobby."""
    messenger = Messenger(Chat())
    for nick, network in accounts:
        messenger.add(f"{nick}@town", nick, network, "#lobby")
    terminal = Terminal(messenger)
    try:
        async with terminal.run_test(size=(90, 24)) as pilot:
            yield terminal, pilot
    finally:
        await messenger.close()


def lines(terminal: Terminal) -> str:
    """Return the text of the conversation that is shown."""
    return "\n".join(strip.text.rstrip() for strip in terminal.query_one("#lines", RichLog).lines)


def rooms(terminal: Terminal) -> list[str]:
    """Return the side bar."""
    bar = terminal.query_one("#rooms", OptionList)
    return [str(bar.get_option_at_index(index).prompt) for index in range(bar.option_count)]


def topic(terminal: Terminal) -> str:
    """Return the line above the conversation."""
    return str(terminal.query_one("#topic", Static).render())


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    while not condition():
        await pilot.pause(0.01)


async def typed(pilot: Pilot[None], text: str) -> None:
    """Type a line."""
    pilot.app.query_one("#typed", Input).value = text
    await pilot.press("enter")


@pytest.mark.parametrize("front_end", ["pb", "ircs"])
async def test_a_talk(front_end: str, open_chat: Any, tmp_path: Path) -> None:
    """By PB and by IRC, two people talk with the same keys, in a room and in private."""
    async with (
        open_chat() as chat,
        running(("alice", kept(chat, front_end, "alice"))) as (alice, pilot),
        running(("bob", kept(chat, "pb", "bob"))) as (bob, other),
    ):
        await until(pilot, lambda: rooms(alice) == ["● alice@town", "  #lobby"])
        await until(pilot, lambda: "Welcome to the chat." in lines(alice))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "alice, bob" in topic(alice))
        await until(other, lambda: "  #lobby" in rooms(bob))
        await pilot.press(*"hi", "space", *"b", "tab", "enter")
        await until(other, lambda: "  #lobby 1" in rooms(bob))
        await other.press("ctrl+n")
        await until(other, lambda: "alice  hi bob" in lines(bob))
        assert rooms(bob) == ["● bob@town", "  #lobby"]
        await typed(other, "/topic tea at five")
        await typed(other, "/msg alice psst [b]not bold[/b]")
        await until(pilot, lambda: "tea at five" in topic(alice))
        await until(pilot, lambda: "  bob 1" in rooms(alice))
        await typed(pilot, "/msg bob")
        await until(pilot, lambda: "bob  psst [b]not bold[/b]" in lines(alice))
        await typed(pilot, "aha")
        await until(other, lambda: "alice  aha" in lines(bob))
        picture(alice, tmp_path, f"talk-{front_end}")


async def test_completion(open_chat: Any) -> None:
    """Tab completes the name of somebody, then the next that fits, and keeps the cursor there."""
    async with open_chat() as chat, running(("alice", kept(chat, "pb", "alice"))) as (alice, pilot):
        await until(pilot, lambda: "  #lobby" in rooms(alice))
        await pilot.press("ctrl+n")
        account = alice.chat.accounts[0]
        for name in ("bertha", "bob"):
            alice.chat.take(account, Event("joined", "#lobby", name))
        field = alice.query_one("#typed", Input)
        seen = []
        await pilot.press("b")
        for _ in range(3):
            await pilot.press("tab")
            seen.append(field.value)
        assert seen == ["bertha: ", "bob: ", "bertha: "]
        assert alice.focused is field
        await pilot.press("x")
        assert field.value == "bertha: x"


async def test_a_gap(open_chat: Any, tmp_path: Path) -> None:
    """A lost connection is shown in the room; after it the gap, and what was said in it."""
    may_try = asyncio.Event()

    logins: list[int] = []

    async def credentials() -> UsernamePassword:
        logins.append(1)
        if len(logins) > 1:
            await may_try.wait()
        return UsernamePassword("alice", "alicealice")

    async with open_chat() as chat:
        port = int(chat.addresses["pb"].rpartition(":")[2])
        network = kept(chat, "pb", "alice")
        network._network._credentials = credentials
        async with running(("alice", network)) as (alice, pilot):
            await until(pilot, lambda: "  #lobby" in rooms(alice))
            await pilot.press("ctrl+n")
            await until(pilot, lambda: "1 here" in topic(alice))
            await chat.__aexit__(None, None, None)
            await until(pilot, lambda: "the connection was lost" in lines(alice))
            assert rooms(alice)[0] == "○ alice@town"
            await typed(pilot, "anybody?")
            await until(pilot, lambda: "there is no connection now" in lines(alice))
            async with open_chat(pb=port) as again:
                bob = network_of(f"irc://{again.addresses['irc']}", "bob", "bobbob")
                await bob.connect()
                await bob.join("#lobby")
                await bob.say("#lobby", "alice?")
                await until(pilot, lambda: "#lobby" in again.town.rooms)
                await until(pilot, lambda: len(again.town.rooms["#lobby"].history) == 1)
                may_try.set()
                await until(pilot, lambda: "bob  alice?" in lines(alice))
                gap = lines(alice)
                assert gap.index("the connection was lost") < gap.index("connected again after")
                assert gap.index("connected again after") < gap.index("bob  alice?")
                assert "anybody?" not in gap
                await until(pilot, lambda: "alice, bob" in topic(alice))
                picture(alice, tmp_path, "gap")
                await bob.close()


async def test_two_networks(open_chat: Any) -> None:
    """Several accounts at once have their rooms behind their names; a click shows one."""
    async with (
        open_chat() as chat,
        running(("alice", kept(chat, "pb", "alice")), ("bob", kept(chat, "ircs", "bob"))) as (
            both,
            pilot,
        ),
    ):
        every = ["● alice@town", "  #lobby", "● bob@town", "  #lobby"]
        await until(pilot, lambda: rooms(both) == every)
        await pilot.click("#rooms", offset=(4, 3))
        await until(pilot, lambda: both.chat.current.account.nick == "bob")
        await typed(pilot, "by irc")
        await until(pilot, lambda: "  #lobby 1" in rooms(both))
        assert rooms(both).index("  #lobby 1") == 1


async def test_commands(open_chat: Any) -> None:
    """Rooms are joined and left; an error and an unknown command say what is wrong."""
    async with open_chat() as chat, running(("alice", kept(chat, "pb", "alice"))) as (alice, pilot):
        await until(pilot, lambda: "  #lobby" in rooms(alice))
        await typed(pilot, "/join #tea")
        await until(pilot, lambda: topic(alice).startswith("#tea") and "1 here" in topic(alice))
        await typed(pilot, "/msg nobody hello")
        await until(pilot, lambda: "nobody of that name is here" in lines(alice))
        assert "  nobody" not in rooms(alice)
        await typed(pilot, "/dance")
        await until(pilot, lambda: "/join #ROOM" in lines(alice))
        await typed(pilot, "/part")
        await until(pilot, lambda: rooms(alice) == ["● alice@town", "  #lobby"])
        assert list(chat.town.person("alice").rooms) == ["#lobby"]
        await typed(pilot, "/quit")
        await until(pilot, lambda: not alice.is_running)


def picture(terminal: Terminal, folder: Path, name: str) -> None:
    """Draw the screen, where it can be looked at with ``--basetemp``."""
    terminal.save_screenshot(f"{name}.svg", str(folder))
    assert "#lobby" in (folder / f"{name}.svg").read_text("utf-8")
