"""Everybody in one room of the chat, and its admin in Chromium: `make system` runs this."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from chat_clients.starting import program
from playwright.async_api import Browser
from support.chat_screen import Screen, chromium, other_site

import broker
from cred import LoginFailed, UsernamePassword
from cred.scram_verifier import ScramVerifier
from cred.users import User
from examples.chat.client.model import Event
from examples.chat.client.networks import Network, network_of
from examples.chat.main import AUTHORITY, Chat, Settings
from examples.chat.pace import Rate

PASSWORD = "looking glass"
FREE = dict.fromkeys(("pb", "pb_plain", "irc", "ircs", "lines", "web"), 0)
PROGRAMS = {"bob": ("irc_client", "irc"), "carol": ("pydle_client", "ircs"),
            "erin": ("twisted_client", "pb_plain")}  # fmt: skip
EVERYBODY = ["alice", "bob", "carol", "dave", "erin"]


class Netcat:
    """A visit by netcat.

    Attributes:
        lines: what it has printed.
    """

    def __init__(self, process: Process):
        self.process = process
        self.lines: list[str] = []

    @classmethod
    async def start(cls, address: str, *lines: str) -> Netcat:
        """Start it, and type lines."""
        nc = shutil.which("nc")
        assert nc is not None
        command = (nc, *address.split(":"))
        netcat = cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE))
        netcat.type(*lines)
        return netcat

    def type(self, *lines: str) -> None:
        """Type lines."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    async def shows(self, text: str) -> None:
        """Wait until it has printed a line with a text."""
        assert self.process.stdout is not None
        while not self.lines or text not in self.lines[-1]:
            line = await self.process.stdout.readline()
            assert line, (text, self.lines)
            self.lines.append(line.decode().rstrip())

    async def end(self) -> None:
        """Wait for the end of the connection; netcat ends when both sides have ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.lines += (await self.process.stdout.read()).decode().splitlines()
        assert await self.process.wait() == 0


class Ears:
    """What our PB client hears."""

    def __init__(self, network: Network):
        self.said: list[tuple[str, str]] = []
        self.events: list[Event] = []
        self.task = asyncio.create_task(self._hear(network))

    async def _hear(self, network: Network) -> None:
        async for event in network.events():
            self.events.append(event)
            if event.kind == "said":
                self.said.append((event.who, event.text))

    async def wait(self, who: str, text: str) -> None:
        """Wait until somebody has said something."""
        while (who, text) not in self.said:
            await asyncio.sleep(0.01)


def settings(tmp_path: Path) -> Settings:
    """The settings of the chat of a test."""
    return Settings(tmp_path / "chat", **FREE, rate=Rate(1000, 1.0))


def port_of(address: str) -> int:
    """The port of an address."""
    return int(address.rpartition(":")[2])


async def screen_of(browser: Browser, chat: Chat, name: str) -> Screen:
    """Open a window without cookies; our authority is not that of the system."""
    context = await browser.new_context(ignore_https_errors=True)
    return Screen(chat.addresses["web"], await context.new_page(), name)


async def sign_up(browser: Browser, chat: Chat) -> None:
    """Sign everybody up in the browser; a name that is taken is refused."""
    screen = await screen_of(browser, chat, "house")
    for name in EVERYBODY:
        await screen.page.goto(screen.address)
        await screen.send("Sign up", name=name, password=PASSWORD)
        await screen.says(f"Welcome, {name}.")
    for name in "dave", "DAVE":
        await screen.page.goto(screen.address)
        await screen.send("Sign up", name=name, password="another password")
        await screen.says("That name is taken.")


async def come_in(chat: Chat, at_end: Any) -> tuple[Network, Ears, Netcat, dict[str, Process]]:
    """Let everybody in: by our client, netcat, irc, pydle and Twisted."""
    where = chat.addresses["pb"]
    network = network_of(where, "alice", PASSWORD, str(chat.folder / AUTHORITY))
    await network.connect()
    ears = Ears(network)
    await network.join("#lobby")
    netcat = await Netcat.start(chat.addresses["lines"], "dave", PASSWORD)
    await netcat.shows("you are in #lobby")
    found = await asyncio.gather(
        *(
            program(at_end, kind, port_of(chat.addresses[front_end]), name, PASSWORD)
            for name, (kind, front_end) in PROGRAMS.items()
        )
    )
    return (
        network,
        ears,
        netcat,
        {name: each[0] for name, each in zip(PROGRAMS, found, strict=True)},
    )


async def admin_of(browser: Browser, chat: Chat, password: str) -> Screen:
    """Log the admin in."""
    screen = await screen_of(browser, chat, "admin")
    await screen.page.goto(f"{screen.address}/login")
    await screen.send("Log in", name="admin", password=password)
    await screen.page.wait_for_url("**/admin")
    return screen


async def check_foreign_form(admin: Screen, chat: Chat) -> None:
    """A form of another site, sent by the admin's browser, is refused, and changes nothing."""
    target = f"{admin.address}/admin"
    async with other_site(target) as port:
        await admin.page.goto(f"http://localhost:{port}/")
        async with admin.page.expect_response(target) as answered:
            await admin.send("cats")
        assert (await answered.value).status == 403
        await admin.says("This form is of another site.")
    assert chat.town.banner == "mind the step"
    await admin.page.goto(target)


@pytest.mark.timeout(120)
async def test_everybody(tmp_path: Path, at_end: list[Callable[[], Awaitable[object]]]) -> None:
    """All sign up in the browser, talk in one room, hear the admin, and are kicked out."""
    async with Chat(settings(tmp_path)) as chat, chromium("chromium") as browser:
        assert chat.admin_password is not None
        await sign_up(browser, chat)
        network, ears, netcat, others = await come_in(chat, at_end)
        for name in ("bob", "carol", "dave", "erin"):
            await network.say("#lobby", f"go {name}")
            if name == "dave":
                await netcat.shows("<alice> go dave")
                netcat.type("hello from dave")
            await ears.wait(name, f"hello from {name}")
        await netcat.shows("<erin> hello from erin")
        said = [line for line in netcat.lines if line.startswith("<")]
        names = ("bob", "carol", "dave", "erin")
        all_said = [(f"<alice> go {name}", f"<{name}> hello from {name}") for name in names]
        assert said == [line for pair in all_said for line in pair if "hello from dave" not in line]
        assert sorted(chat.town.find("#lobby").names) == EVERYBODY
        admin = await admin_of(browser, chat, chat.admin_password)
        await admin.send("Set the banner", banner="mind the step")
        await admin.says("The banner is set.")
        await netcat.shows("mind the step")
        newcomer = await Netcat.start(chat.addresses["lines"], "/quit")
        await newcomer.shows("mind the step")
        await newcomer.end()
        await check_foreign_form(admin, chat)
        for name in EVERYBODY:
            await admin.page.get_by_role("button", name=f"Kick {name}").first.click()
            await admin.says(f"{name} was kicked.")
            assert chat.town.person(name) is None
        assert chat.town.find("#lobby").names == []
        await netcat.end()
        assert netcat.lines[-1] == "* kicked"
        await ears.task
        assert ears.events[-1].kind == "stopped"
        await network.close()
        # pydle and irc leave when they are kicked; the program of Twisted waits for other words.
        for name in ("bob", "carol"):
            await asyncio.wait_for(others[name].wait(), 20)
        # The admin has the session of the browser, and that of the live page while it is connected.
        while {user for each in chat.logins.sessions._open for user in each.users} != {"admin"}:
            await asyncio.sleep(0.01)


@pytest.mark.timeout(120)
async def test_a_kicked_admin_and_a_restart(tmp_path: Path) -> None:
    """A kick ends the session of a browser too; users, rooms and history outlive the server."""
    async with Chat(settings(tmp_path)) as chat, chromium("chromium") as browser:
        verifier = str(ScramVerifier.of_password(PASSWORD, 10_000))
        chat.store.add(User("root", verifier, frozenset({"admins"})))
        admin = await admin_of(browser, chat, str(chat.admin_password))
        other = await screen_of(browser, chat, "root")
        await other.page.goto(f"{other.address}/login")
        await other.send("Log in", name="root", password=PASSWORD)
        await other.page.wait_for_url("**/admin")
        await sign_up(browser, chat)
        await admin.send("Set the banner", banner="mind the step")
        await admin.says("The banner is set.")
        netcat = await Netcat.start(
            chat.addresses["lines"], "dave", PASSWORD, "/topic tea", "hi all"
        )
        await netcat.shows("has set the topic: tea")
        while not chat.town.find("#lobby").history:
            await asyncio.sleep(0.01)
        await admin.page.get_by_role("button", name="Kick root").first.click()
        await admin.says("root was kicked.")
        await other.page.goto(f"{other.address}/admin")
        await other.page.wait_for_url("**/login")
        password = str(chat.admin_password)
    await netcat.end()
    assert netcat.lines[-1] == "the server is shutting down"
    async with Chat(settings(tmp_path)) as chat, chromium("chromium") as browser:
        assert chat.admin_password is None
        admin = await admin_of(browser, chat, password)
        assert await admin.page.input_value("[name=banner]") == "mind the step"
        netcat = await Netcat.start(chat.addresses["lines"], "dave", PASSWORD, "/quit")
        await netcat.end()
        text = "\n".join(netcat.lines)
        assert "mind the step" in text
        assert "<dave> hi all" in text
        assert "topic: tea" in text
        with pytest.raises(LoginFailed):
            wrong = UsernamePassword("dave", "another password")
            await broker.connect(chat.addresses["pb_plain"], wrong)
