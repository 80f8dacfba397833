"""The whole chat: all front ends at once, with clients of other libraries, and restarts."""

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

import pytest
from chat_clients.starting import program
from support.chat import Raw, password_of

import broker
from cred import LoginFailed, UsernamePassword
from cred.error import Unauthorized
from cred.scram_verifier import ScramVerifier
from cred.users import User
from examples.chat.main import (
    AUTHORITY,
    CERTIFICATE,
    KEY,
    Chat,
    Settings,
    make_certificates,
)
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
        visitors = {
            "bob": ("irc_client", "irc"),
            "carol": ("pydle_client", "ircs"),
            "erin": ("twisted_client", "pb_plain"),
        }
        (irc, before), (pydle, _), (twisted, _) = await asyncio.gather(
            *(
                program(at_end, kind, port_of(chat.addresses[where]), name, password_of(name))
                for name, (kind, where) in visitors.items()
            )
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


async def test_manhole(tmp_path):
    """An admin has a prompt inside the server, on TLS only; others have none."""
    async with Chat(settings(tmp_path)) as chat:
        add_people(chat)
        alice = chat.store.find("alice")
        chat.store.replace(User("alice", alice.verifier, frozenset({"admins"})))
        tls = broker.TLS.client(ca=chat.folder / AUTHORITY)
        admin = await pb_user(chat, "alice", tls=tls)
        bob = await pb_user(chat, "bob", tls=tls)
        manhole = await admin.avatar.callRemote("manhole")
        line = "town.banner = 'Tea at five'; sorted(each.name for each in town.where())"
        assert await manhole.callRemote("run", line) == ("done", "['alice', 'bob']\n")
        assert await bob.avatar.callRemote("banner") == "Tea at five"
        with pytest.raises(Unauthorized):
            await bob.avatar.callRemote("manhole")
        plain = await pb_user(chat, "alice")
        manhole = await plain.avatar.callRemote("manhole")
        with pytest.raises(Unauthorized, match="needs TLS"):
            await manhole.callRemote("run", line)
        for each in (admin, bob, plain):
            await each.close()


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


async def test_end_with_a_client_that_does_not_close(tmp_path):
    """The program ends in order, and its client reads why, although the client closes later."""
    environment = {**os.environ, "PYTHONPATH": str(HELPERS), "PYTHONWARNINGS": "error"}
    options = [f"--{name.replace('_', '-')}=0" for name in FREE]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.chat", f"--folder={tmp_path / 'chat'}", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    try:
        text = ""
        while "admin's page" not in text:
            text += (await process.stdout.readline()).decode()
        clients = []
        for start in ("nc 127.0.0.1 ", "IRC, this machine 127.0.0.1:"):
            port = int(text.partition(start)[2].split()[0])
            clients.append(Raw(*await asyncio.open_connection("127.0.0.1", port)))
            clients[-1].send("PING 1")
            await clients[-1].expect("name:|.* PONG")
        process.send_signal(signal.SIGTERM)
        assert (await process.stderr.read()).decode() == ""
        assert await process.wait() == 0
        for client in clients:
            assert "shutting down" in (await client.rest())[-1]
            await client.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_pb_serve(tmp_path):
    """``pb serve`` serves PB for the chat, and the chat the other front ends, with one login."""
    (tmp_path / "served.py").write_text(
        "from pathlib import Path\n"
        "from examples.chat import town as serving\n"
        "from examples.chat.main import Settings\n"
        "ports = dict(pb=0, pb_plain=None, irc=0, ircs=0, lines=0, web=0)\n"
        "town = serving(Settings(Path('chat'), **ports))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "broker", "serve", "served:town", "pb://127.0.0.1:0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=tmp_path,
        env=environment,
    )  # fmt: skip
    try:
        text = ""
        while "serving at " not in text:
            line = (await process.stdout.readline()).decode()
            assert line, (await process.stderr.read()).decode()
            text += line
        assert "where pb serve says" in text
        password = text.partition("admin, ")[2].split()[0]
        address = text.rpartition("serving at ")[2].strip()
        credentials = UsernamePassword("admin", password)
        ear = Ear()
        connection = await broker.connect(address, credentials, mind=ear)
        await connection.avatar.callRemote("join", "#lobby")
        irc = text.partition("IRC, this machine ")[2].split()[0]
        client = Raw(*await asyncio.open_connection(*_place(irc)))
        client.send(f"PASS {password}", "NICK admin", "USER x 0 * :x")
        await client.expect(r":\S+ 376 ")
        # One user is in the chat once: the session by PB has ended.
        await connection.wait_closed()
        process.send_signal(signal.SIGTERM)
        assert "shutting down" in (await client.rest())[-1]
        await client.close()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_renewed_certificate(tmp_path):
    """Each front end inside TLS takes it for the next connection; a broken one changes nothing."""

    def shown(address):
        context = ssl.create_default_context(cafile=tmp_path / "chat" / AUTHORITY)
        with (
            socket.create_connection(_place(address.rpartition("/")[2])) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return secure.getpeercert()["serialNumber"]

    async def serials():
        places = [chat.addresses[name] for name in ("pb", "ircs", "web")]
        return {await asyncio.to_thread(shown, each) for each in places}

    folder = tmp_path / "chat"
    async with Chat(settings(tmp_path)) as chat:
        before = await serials()
        assert len(before) == 1
        (folder / KEY).write_text("broken")
        assert await serials() == before
        for name in (CERTIFICATE, KEY):
            (folder / name).unlink()
        make_certificates(folder, ("localhost",))
        after = await serials()
        assert len(after) == 1
        assert after != before


def _place(address):
    host, _, port = address.rpartition(":")
    return host, int(port)
