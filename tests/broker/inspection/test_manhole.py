"""The manhole: what lines do inside the server, who may run them, and what is written about it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, Pair

import broker
from broker.defer import CancelledError
from broker.errors import Error
from broker.inspection.manhole import LONGEST, SHOWN
from broker.inspection.outputs import MOST
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.error import Unauthorized
from cred.identity import Identity
from cred.portal import Portal

DIALECTS = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
POLICIES = pytest.mark.parametrize("policy", [broker.STRICT, broker.PUBLISHED], ids=["s", "p"])


@pytest.fixture(autouse=True)
def restored_streams() -> Any:
    """Put the standard streams and the displayhook back after a test."""
    before = sys.stdout, sys.stderr, sys.displayhook
    yield
    sys.stdout, sys.stderr, sys.displayhook = before


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Make an authority."""
    return Authority(tmp_path)


class House(broker.Root):
    """Hands its manhole out."""

    def __init__(self, manhole: broker.Manhole):
        self.manhole = manhole

    def remote_manhole(self) -> broker.Manhole:
        """Return it."""
        return self.manhole


class Console(broker.Referenceable):
    """Keeps what is printed."""

    def __init__(self) -> None:
        self.text = ""

    def remote_write(self, text: str) -> None:
        """Keep it."""
        self.text += text

    async def until(self, text: str) -> None:
        """Wait until a text was printed."""
        async with asyncio.timeout(20):
            while text not in self.text:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def operated(
    folder: Path, dialect: str = "msgpack/1", policy: broker.Policy = broker.STRICT, **names: Any
) -> AsyncIterator[tuple[Any, Callable[[], Any]]]:
    """A server with a manhole at a UNIX socket; yields it, and what connects and returns it."""
    policy = policy.but(dialects=(dialect,))
    address = f"pb+unix://{folder}/socket"
    connections = []

    async def enter() -> Any:
        connections.append(await broker.connect(address, policy=policy))
        return await connections[-1].root.callRemote("manhole")

    async with broker.serve(House(broker.Manhole(names)), address, policy=policy) as server:
        yield server, enter
        for connection in connections:
            await connection.close()


STATES = [
    ("a", "done", "5\n", ""),
    ("a = 6", "done", "", ""),
    ("print(a); a", "done", "5\n", "5\n"),
    ("None", "done", "", ""),
    ("for i in range(2):", "more", "", ""),
    ("for i in range(2):\n    i", "more", "", ""),
    ("for i in range(2):\n    i\n", "done", "0\n1\n", ""),
    ("await sleep(0, 7)", "done", "7\n", ""),
    ("async with timeout(9): await sleep(0)\n", "done", "", ""),
    ("import sys; print(1, file=sys.stderr)", "done", "", "1\n"),
    ("", "done", "", ""),
    ("# nothing", "done", "", ""),
]


@DIALECTS
@POLICIES
async def test_states(tmp_path: Path, dialect: str, policy: broker.Policy) -> None:
    """A statement is done with its values, or needs more; what is printed goes to the console."""
    given = {"a": 5, "sleep": asyncio.sleep, "timeout": asyncio.timeout}
    async with operated(tmp_path, dialect, policy, **given) as (_, enter):
        manhole = await enter()
        for source, state, text, printed in STATES:
            console = Console()
            await manhole.callRemote("run", "a = 5")
            assert tuple(await manhole.callRemote("run", source, console)) == (state, text)
            assert console.text == printed, source
            assert (await manhole.callRemote("run", source))[1] in (text, printed + text)


ERRORS = [
    ("1/0", "ZeroDivisionError: division by zero"),
    ("a +", "SyntaxError: invalid syntax"),
    ("x\0y", "null bytes"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("exit()", "SystemExit"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("raise asyncio.CancelledError", "CancelledError"),
    ("(" * 5000, "Error"),
    ("[" * 5000 + "]" * 5000, "Error"),
    ("def f(): return f()\n", ""),
    ("f()", "RecursionError"),
    ("raise type('E', (Exception,), {'__str__': lambda s: 1/0})", "E"),
]


async def test_errors(tmp_path: Path) -> None:
    """An error is a traceback from the statement on, and the server goes on."""
    async with operated(tmp_path, asyncio=asyncio) as (_, enter):
        manhole = await enter()
        for source, told in ERRORS:
            state, text = await manhole.callRemote("run", source)
            assert (state, told in text) == ("error" if told else "done", True), source
            assert "broker/inspection" not in text
        _, text = await manhole.callRemote("run", "1/0")
        assert text.splitlines()[:2] == [
            "Traceback (most recent call last):",
            '  File "<shell>", line 1, in <module>',
        ]


async def test_namespaces(tmp_path: Path) -> None:
    """Each connection has a namespace of its own, which is gone with it."""
    async with operated(tmp_path, a=1) as (server, enter):
        first, second = await enter(), await enter()
        await first.callRemote("run", "a = b = 2; 7")
        assert await first.callRemote("run", "(a, b, _)") == ("done", "(2, 2, 7)\n")
        assert await second.callRemote("run", "a") == ("done", "1\n")
        assert (await second.callRemote("run", "b"))[0] == "error"
        assert await second.callRemote("run", "_") == ("done", "1\n")
        sessions = server._root.manhole._sessions
        assert len(sessions) == 2
        await first.broker.connection.close()
        async with asyncio.timeout(20):
            while len(sessions) != 1:
                await asyncio.sleep(0.001)


@DIALECTS
async def test_outputs_do_not_mix(
    tmp_path: Path, dialect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a session prints goes to it, also from its tasks and threads; the rest stays here."""
    async with operated(tmp_path, dialect, asyncio=asyncio) as (_, enter):
        sessions = [(await enter(), Console(), name) for name in ("one", "two")]
        source = (
            "async def tell(name):\n"
            "    for i in range(20):\n"
            "        print(name, i)\n"
            "        await asyncio.sleep(0)\n"
            "    await asyncio.to_thread(print, name, 'thread')\n"
        )
        for manhole, console, name in sessions:
            await manhole.callRemote("run", source, console)
            await manhole.callRemote("run", f"t = asyncio.create_task(tell({name!r}))", console)
        for _ in range(40):
            print("here")
            await asyncio.sleep(0)
        for manhole, console, name in sessions:
            assert await manhole.callRemote("run", "await t", console) == ("done", "")
            await console.until(f"{name} thread\n")
            lines = [f"{name} {each}" for each in (*range(20), "thread")]
            assert console.text.splitlines() == lines
    assert capsys.readouterr().out == "here\n" * 40


@DIALECTS
async def test_a_cancelled_await(tmp_path: Path, dialect: str) -> None:
    """The end of the call, or an interrupt where calls cannot be cancelled, ends the await."""
    async with operated(tmp_path, dialect, asyncio=asyncio, ends=[]) as (_, enter):
        manhole, console = await enter(), Console()
        source = (
            "try:\n    print('begun'); await asyncio.sleep(600)\n"
            "except asyncio.CancelledError:\n    ends.append(1); raise\n"
        )
        call = manhole.callRemote("run", source, console)
        await console.until("begun\n")
        if dialect == "msgpack/1":
            call.cancel()
            with pytest.raises((asyncio.CancelledError, CancelledError)):
                await call
        else:
            assert await manhole.callRemote("interrupt") == 1
            assert await call == ("interrupted", "")
            assert await manhole.callRemote("interrupt") == 0
        async with asyncio.timeout(20):
            while (await manhole.callRemote("run", "ends"))[1] != "[1]\n":
                await asyncio.sleep(0)
        assert await manhole.callRemote("run", "2 + 2") == ("done", "4\n")


async def test_a_console_that_has_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task that prints after its connection has gone disturbs nobody, and prints nowhere."""
    async with operated(tmp_path, asyncio=asyncio, seen=(seen := [])) as (_, enter):
        manhole, console = await enter(), Console()
        source = (
            "async def tell():\n"
            "    while True:\n"
            "        print('tick'); seen.append(1)\n"
            "        await asyncio.sleep(0)\n"
        )
        await manhole.callRemote("run", source, console)
        await manhole.callRemote("run", "t = asyncio.create_task(tell()); seen.append(t)", console)
        await console.until("tick\n")
        await manhole.broker.connection.close()
        count = len(seen)
        async with asyncio.timeout(20):
            while len(seen) < count + 1000:
                await asyncio.sleep(0)
        task = next(each for each in seen if isinstance(each, asyncio.Task))
        assert not task.done()
        task.cancel()
    assert capsys.readouterr().out == ""
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_a_line_of_a_connection_that_ends(tmp_path: Path) -> None:
    """A line that awaits is cancelled at the end of its connection."""
    async with operated(tmp_path, asyncio=asyncio, seen=(seen := [])) as (_, enter):
        manhole = await enter()
        source = "try: seen.append(1); await asyncio.sleep(600)\nfinally: seen.append(2)\n"
        manhole.callRemote("run", source).addErrback(lambda _: None)
        async with asyncio.timeout(20):
            while not seen:
                await asyncio.sleep(0)
            await manhole.broker.connection.close()
            while len(seen) < 2:
                await asyncio.sleep(0)
        assert seen == [1, 2]


async def test_much_output(tmp_path: Path) -> None:
    """A line has 64 KiB of output, over all ways; the next line has as much again."""
    async with operated(tmp_path) as (_, enter):
        manhole = await enter()
        for source in (
            "for _ in range(100_000): print('é' * 10)\n",
            "print('x' * 10_000_000)",
            "'x' * 10_000_000",
            "for _ in range(100_000): 'xxxxx'\n",
            "raise Exception('x' * 10_000_000)",
            "print('x' * 60_000); '\\udcff' * 60_000",
        ):
            console = Console()
            state, text = await manhole.callRemote("run", source, console)
            size = len((console.text + text).encode())
            assert MOST - 2 <= size <= MOST + 100, source
            assert "is cut at 64 KiB" in console.text + text
            assert state == ("error" if source.startswith("raise") else "done")
        assert await manhole.callRemote("run", "print(1)", None) == ("done", "1\n")


@DIALECTS
async def test_wrong_arguments(tmp_path: Path, dialect: str) -> None:
    """A source that is no text, or too long, and a console that is no object are refused."""
    async with operated(tmp_path, dialect) as (_, enter):
        manhole = await enter()
        wrong: list[tuple[Any, ...]] = [
            (5,), (b"1",), (None,), ("x" * (LONGEST + 1),), ("1", "console"), ("1", 5), (),
            ("1", None, 1),
        ]  # fmt: skip
        for arguments in wrong:
            with pytest.raises((Error, broker.WrongArguments)):
                await manhole.callRemote("run", *arguments)
        with pytest.raises(Error):
            await manhole.callRemote("complete", 5)
        assert (await manhole.callRemote("run", "#" * LONGEST))[0] == "done"


async def test_completion(tmp_path: Path) -> None:
    """The names of the namespace are completed, and their attributes."""
    async with operated(tmp_path, asyncio=asyncio) as (_, enter):
        manhole = await enter()
        assert await manhole.callRemote("complete", "print(async") == ["async", "asyncio"]
        assert await manhole.callRemote("complete", "asyncio.slee") == ["asyncio.sleep"]


class Member(broker.Avatar):
    """A user."""

    def perspective_manhole(self) -> broker.Manhole:
        """Return a manhole, without a condition of its own."""
        return broker.Manhole({})

    def perspective_named(self) -> broker.Manhole:
        """Return one for a group."""
        return broker.Manhole({}, group="admins")

    @broker.allow("admins")
    def perspective_guarded(self) -> broker.Manhole:
        """Return one."""
        return broker.Manhole({"a": 1})


class Checker(InMemoryUsernamePasswordDatabaseDontUse):
    """Has a user in each group of that name."""

    async def requestAvatarId(self, credentials: Any) -> Any:
        """Return name and groups."""
        name = await super().requestAvatarId(credentials)
        text = name.decode() if isinstance(name, bytes) else str(name)
        return Identity(text, groups=frozenset({text} - {"alice"}))


@asynccontextmanager
async def members(certificate: Pair | None, *addresses: str) -> AsyncIterator[Any]:
    """A server with logins."""
    checker = Checker(admins="a", alice="b", clerks="c")
    portal = Portal(broker.realm(lambda name, mind: Member()), [checker])
    tls = None
    if certificate is not None:
        tls = broker.TLS.server(certificate.certificate_path, certificate.key_path)
    async with broker.serve(portal, *addresses, tls=tls) as server:
        yield server


USERS = {"admins": "a", "alice": "b", "clerks": "c"}


@pytest.mark.parametrize("user", USERS)
async def test_groups(tmp_path: Path, user: str, authority: Authority) -> None:
    """After a login a member of a group may run lines, if need be of the named group, on TLS."""
    certificate = authority.issue()
    async with members(certificate, "pbs://127.0.0.1:0", f"pb+unix://{tmp_path}/s") as server:
        client = broker.TLS.client(ca=authority.ca_path)
        for address in server.addresses:
            tls = client if address.startswith("pbs") else None
            credentials = UsernamePassword(user, USERS[user])
            async with broker.connect(address, credentials, tls=tls) as connection:
                await allowed(connection.avatar, "manhole", user != "alice")
                await allowed(connection.avatar, "named", user == "admins")
                await allowed(connection.avatar, "guarded", user == "admins")


async def allowed(avatar: Any, method: str, is_allowed: bool) -> None:
    """Check whether lines run."""
    if is_allowed:
        manhole = await avatar.callRemote(method)
        assert await manhole.callRemote("run", "1 + 1") == ("done", "2\n")
        return
    with pytest.raises(Unauthorized):
        manhole = await avatar.callRemote(method)
        await manhole.callRemote("run", "1 + 1")


async def test_plain_tcp() -> None:
    """Outside of TLS nobody may call any of its methods, on the loopback interface neither."""
    async with members(None, "pb://127.0.0.1:0") as server:
        credentials = UsernamePassword("admins", "a")
        async with broker.connect(server.addresses[0], credentials) as connection:
            for method in ("manhole", "named", "guarded"):
                manhole = await connection.avatar.callRemote(method)
                for call in (("run", "1"), ("complete", "a"), ("interrupt",), ("run", "x" * 10**6)):
                    with pytest.raises(Unauthorized, match="needs TLS, or a UNIX socket"):
                        await manhole.callRemote(*call)
    async with (
        broker.serve(House(broker.Manhole()), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        manhole = await connection.root.callRemote("manhole")
        with pytest.raises(Unauthorized):
            await manhole.callRemote("run", "1")


async def test_no_login_on_tls(authority: Authority) -> None:
    """TLS without a login is not enough, nor is a UNIX socket for a manhole of a group."""
    pair = authority.issue()
    tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    ours = broker.TLS.client(ca=authority.ca_path)
    async with (
        broker.serve(House(broker.Manhole()), "pbs://127.0.0.1:0", tls=tls) as server,
        broker.connect(server.addresses[0], tls=ours) as connection,
    ):
        manhole = await connection.root.callRemote("manhole")
        with pytest.raises(Unauthorized, match="is for a group of operators"):
            await manhole.callRemote("run", "1")


async def test_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each line that runs, or is no Python, is an INFO record and an audit line, cut at 200."""
    caplog.set_level(logging.INFO)
    async with operated(tmp_path) as (_, enter):
        manhole = await enter()
        for source in ("a = 'x'", "for i in ():", "for i in ():\n  i\n", "a +", "y" * 1000):
            await manhole.callRemote("run", source)
    told = [each for each in caplog.records if "manhole" in each.getMessage()]
    lines = [each.getMessage() for each in told if each.name == "broker.server"]
    audited = [json.loads(each.getMessage()) for each in told if each.name == "broker.audit"]
    shown = ["a = 'x'", r"for i in ():\n  i\n", "a +"]
    assert [each["line"] for each in audited][:3] == shown
    assert len(audited) == 4 and len(audited[3]["line"]) <= SHOWN + 1
    assert all(each["act"] == "manhole" and each["from"].startswith("unix") for each in audited)
    assert [line.partition(": line ")[2] for line in lines][:3] == shown
    assert all(each.levelno == logging.INFO for each in told) and len(lines) == 4


async def test_the_log_names_the_operator(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The records have the avatar id."""
    caplog.set_level(logging.INFO)
    async with members(None, f"pb+unix://{tmp_path}/s") as server:
        credentials = UsernamePassword("admins", "a")
        async with broker.connect(server.addresses[0], credentials) as connection:
            manhole = await connection.avatar.callRemote("named")
            await manhole.callRemote("run", "1")
    told = [each for each in caplog.records if "manhole" in each.getMessage()]
    assert [each.getMessage() for each in told if each.name == "broker.server"] == [
        "manhole by admins: line 1"
    ]
    (line,) = [json.loads(each.getMessage()) for each in told if each.name == "broker.audit"]
    assert line["operator"] == "admins"


async def test_the_socket_of_operators(tmp_path: Path) -> None:
    """``serve(manhole=names)`` puts it there, with the server; without, the socket has none."""
    admin = f"pb+unix://{tmp_path}/admin"
    for names in ({"a": 1}, None):
        serving = broker.serve(broker.Root(), "pb://127.0.0.1:0", admin=admin, manhole=names)
        async with serving as server, broker.connect(admin) as operator:
            if names is None:
                with pytest.raises(Error, match="has no manhole: pb serve --admin"):
                    await operator.root.callRemote("manhole")
                continue
            manhole = await operator.root.callRemote("manhole")
            shown = await manhole.callRemote("run", "a, server.addresses")
            assert shown == ("done", f"(1, {server.addresses!r})\n")


def test_what_serve_refuses(tmp_path: Path) -> None:
    """Names without a socket, and names that are no names."""
    with pytest.raises(broker.ConfigError, match=r"manhole= needs admin=; hand out"):
        broker.serve(broker.Root(), manhole={})
    for wrong in ([], "a", {1: 2}):
        with pytest.raises(broker.ConfigError, match="manhole= takes a mapping"):
            broker.serve(broker.Root(), admin=f"pb+unix://{tmp_path}/a", manhole=wrong)
