"""The whole chat: all front ends at once, with clients of other libraries, and restarts."""

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

import pytest
from support.chat import Raw, password_of

import broker
from cred import LoginFailed, UsernamePassword
from cred.scram_verifier import ScramVerifier
from cred.users import User
from examples.chat.main import AUTHORITY, Chat, Settings
from examples.chat.pace import Rate

HELPERS = Path(__file__).parents[2] / "helpers"
ROOT = Path(__file__).parents[3]
FREE = dict.fromkeys(("pb", "pb_plain", "irc", "ircs", "lines", "web"), 0)
PEOPLE = ("alice", "bob", "carol", "dave", "erin")


class Ear(broker.Referenceable):
    """Hears what is said."""

    def __init__(self):
        self.said = []

    def remote_heard(self, event, room, who, text):
        """Note it."""
        if event == "said":
            self.said.append((who, text))


def settings(tmp_path, **more):
    """Settings with free ports."""
    return Settings(tmp_path / "chat", **FREE, **{"rate": Rate(1000, 1.0), **more})


def add_people(chat, groups=()):
    """Add users, whose verifiers cost little."""
    for name in PEOPLE:
        if chat.store.find(name) is None:
            verifier = str(ScramVerifier.of_password(password_of(name), 10_000))
            chat.store.add(User(name, verifier, frozenset(groups)))


def port_of(address):
    """The port of an address."""
    return int(address.rpartition(":")[2])


async def program(at_end, name, port, person):
    """Start a program of `chat_clients`, and wait until it is in the room."""
    environment = {**os.environ, "PYTHONPATH": str(HELPERS), "PYTHONWARNINGS": "ignore"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"chat_clients.{name}", str(port), person, password_of(person),
        stdout=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip

    async def end():
        if process.returncode is None:
            process.kill()
        await process.wait()

    at_end.append(end)
    lines = []
    while (line := await process.stdout.readline()) != b"in\n":
        assert line, lines
        lines.append(line.decode().rstrip())
    return process, lines


async def pb_user(chat, name, mind=None, **how):
    """Connect by PB, and log in."""
    credentials = UsernamePassword(name, password_of(name))
    if "tls" in how:
        return await broker.connect(chat.addresses["pb"], credentials, mind=mind, **how)
    return await broker.connect(chat.addresses["pb_plain"], credentials, mind=mind)


@pytest.mark.timeout(60)
async def test_all_of_them_in_one_room(tmp_path, at_end):
    """Clients by PB, IRC, IRC inside TLS, lines, and of Twisted hear each other, in one order."""
    async with Chat(settings(tmp_path)) as chat:
        add_people(chat)
        chat.town.set_banner("admin", "mind the step")
        ear = Ear()
        tls = broker.TLS.client(ca=tmp_path / "chat" / AUTHORITY)
        alice = await pb_user(chat, "alice", ear, tls=tls)
        room = await alice.avatar.callRemote("join", "#lobby")
        await alice.avatar.callRemote("topic", "#lobby", "tea")
        (irc, before), (pydle, _), (twisted, _) = await asyncio.gather(
            program(at_end, "irc_client", port_of(chat.addresses["irc"]), "bob"),
            program(at_end, "pydle_client", port_of(chat.addresses["ircs"]), "carol"),
            program(at_end, "twisted_client", port_of(chat.addresses["pb_plain"]), "erin"),
        )
        assert before == ["banner - mind the step", "topic tea"]
        port = port_of(chat.addresses["lines"])
        lines = Raw(*await asyncio.open_connection("127.0.0.1", port))
        lines.send("dave", password_of("dave"))
        await lines.expect("you are in #lobby, people: 5")
        for name in ("bob", "carol", "dave", "erin"):
            await alice.avatar.callRemote("say", "#lobby", f"go {name}")
            if name == "dave":
                await lines.expect("<alice> go dave")
                lines.send("hello from dave")
            while ear.said[-1:] != [(name, f"hello from {name}")]:
                await asyncio.sleep(0.01)
        await alice.avatar.callRemote("topic", "#lobby", "milk")
        assert sorted(room.names) == sorted(PEOPLE)
        await alice.avatar.callRemote("say", "#lobby", "the end")
        everything = []
        for name in ("bob", "carol", "dave", "erin"):
            everything += [("alice", f"go {name}"), (name, f"hello from {name}")]
        everything.append(("alice", "the end"))
        for process, name in (irc, "bob"), (pydle, "carol"), (twisted, "erin"):
            printed = (await process.stdout.read()).decode().splitlines()
            heard = [line for line in printed if line.startswith("heard ")]
            assert heard == [f"heard {who} {text}" for who, text in everything if who != name]
            assert "topic milk" in printed
            if name != "bob":
                assert f"names {' '.join(sorted(PEOPLE))}" in printed
            if name == "carol":
                assert "name carol" in printed
            assert await process.wait() == 0
        assert ear.said == [each for each in everything if each[0] != "alice"]
        while len(room.names) > 2:
            await asyncio.sleep(0.01)
        assert room.names == ["alice", "dave"]
        lines.send("/quit")
        assert (await lines.rest())[-1] == "bye"
        await lines.close()
        await alice.close()


async def test_restart(tmp_path):
    """Banner, users, rooms, topics and histories are there again after a restart."""
    async with Chat(settings(tmp_path)) as chat:
        assert chat.admin_password
        add_people(chat)
        certificate = (tmp_path / "chat" / "server.pem").read_bytes()
        chat.town.set_banner("admin", "mind the step")
        connection = await pb_user(chat, "alice")
        for name, text in ("#tea", "hello"), ("#milk", "moo"):
            await connection.avatar.callRemote("join", name)
            await connection.avatar.callRemote("say", name, text)
        await connection.avatar.callRemote("topic", "#tea", "lemon?")
        history = list(chat.town.find("#tea").history)
    async with Chat(settings(tmp_path)) as chat:
        assert chat.admin_password is None
        assert (tmp_path / "chat" / "server.pem").read_bytes() == certificate
        assert chat.town.banner == "mind the step"
        connection = await pb_user(chat, "alice")
        room = await connection.avatar.callRemote("join", "#tea")
        assert (room.topic, [tuple(line) for line in room.history]) == ("lemon?", history)
        assert sorted(await connection.avatar.callRemote("rooms")) == [
            ("#milk", 0, ""),
            ("#tea", 1, "lemon?"),
        ]


async def test_guesses_count_for_all_front_ends(tmp_path):
    """Wrong passwords by IRC make the next login by PB wait; the audit log has each login."""
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(json.loads(record.getMessage()))
    logger = logging.getLogger("broker.audit")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        async with Chat(settings(tmp_path)) as chat:
            add_people(chat)
            connection = await pb_user(chat, "alice")
            await connection.close()
            for _ in range(30):
                irc = Raw(*await asyncio.open_connection(*_place(chat.addresses["irc"])))
                irc.send("PASS wrong", "NICK alice", "USER x 0 * :x")
                await irc.rest()
                await irc.close()
            with pytest.raises(LoginFailed) as caught:
                await pb_user(chat, "alice")
            assert isinstance(caught.value, broker.TooManyAttempts)
            lines = Raw(*await asyncio.open_connection(*_place(chat.addresses["lines"])))
            lines.send("alice", password_of("alice"))
            assert (await lines.rest())[-1].startswith("try again in ")
            await lines.close()
        ways = [record["how"] for record in records]
        assert ways == ["SCRAM-SHA-256", *["irc"] * 30, "SCRAM-SHA-256", "lines"]
        assert {record["result"] for record in records[1:]} == {"refused"}
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


async def test_disabled_user(tmp_path):
    """Who is disabled has gone from every front end within two seconds."""
    async with Chat(settings(tmp_path)) as chat:
        add_people(chat)
        connection = await pb_user(chat, "alice")
        irc = Raw(*await asyncio.open_connection(*_place(chat.addresses["irc"])))
        irc.send(f"PASS :{password_of('bob')}", "NICK bob", "USER x 0 * :x")
        await irc.expect(r":\S+ 376 ")
        for name in ("alice", "bob"):
            user = chat.store.find(name)
            chat.store.replace(User(name, user.verifier, is_disabled=True))
        await asyncio.wait_for(connection.wait_closed(), 5.0)
        assert (await asyncio.wait_for(irc.rest(), 5.0))[-1].startswith("ERROR :Closing link: ")
        await irc.close()


async def test_program(tmp_path):
    """``python -m examples.chat`` says how to reach each front end; SIGTERM ends it in order."""
    options = [f"--{name.replace('_', '-')}=0" for name in FREE]
    environment = {**os.environ, "PYTHONPATH": str(HELPERS), "PYTHONWARNINGS": "error"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.chat", f"--folder={tmp_path / 'chat'}", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    try:
        text = ""
        while "admin's page" not in text:
            line = (await process.stdout.readline()).decode()
            assert line, (await process.stderr.read()).decode()
            text += line
        port = int(text.partition("nc 127.0.0.1 ")[2].split()[0])
        password = text.rpartition("admin, ")[2].strip()
        client = Raw(*await asyncio.open_connection("127.0.0.1", port))
        client.send("admin", password)
        await client.expect("you are in #lobby, people: 1")
        process.send_signal(signal.SIGTERM)
        assert "shutting down" in (await client.rest())[-1]
        await client.close()
        assert (await process.stderr.read()).decode() == ""
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _place(address):
    host, _, port = address.rpartition(":")
    return host, int(port)
