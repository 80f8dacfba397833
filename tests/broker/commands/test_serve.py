"""``pb serve``, as a process: what it serves to whom, how it ends, and what it refuses."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

import broker
from broker.commands.cert import cert
from broker.commands.serve import serve
from broker.commands.users import users
from cred.credentials import ClientCertificate, UsernamePassword

MODULE = """
import asyncio
import time
from contextlib import asynccontextmanager
import broker
from cred.checkers import AllowAnonymousAccess
from cred.portal import Portal

class Echo(broker.Root):
    def remote_echo(self, text):
        return text

    def remote_hold(self):
        time.sleep(0.15)
        return "held"

    async def remote_wait(self):
        await asyncio.sleep(0.2)
        return "waited"

class Member(broker.Avatar):
    def __init__(self, name, mind):
        self.name = name

    def perspective_who(self):
        return self.name

@asynccontextmanager
async def around():
    print("entered", flush=True)
    try:
        yield Echo()
    finally:
        print("left", flush=True)

class AroundIt:
    async def __aenter__(self):
        return Echo()

    async def __aexit__(self, *about):
        print("left", flush=True)

Around = AroundIt()

@asynccontextmanager
async def broken():
    raise OSError("no database")
    yield

@asynccontextmanager
async def wrong():
    yield 5

@asynccontextmanager
async def members():
    yield Member

@asynccontextmanager
async def house():
    yield Portal(broker.realm(Member), [AllowAnonymousAccess()])
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Write the module that is served, and return its folder."""
    (tmp_path / "served.py").write_text(MODULE)
    return tmp_path


def address_of(process: subprocess.Popen[str]) -> str:
    """Return the address that a server prints when it is up."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving at "), process.communicate()
    return line.removeprefix("serving at ").strip()


async def test_a_root(start: Callable[..., Any], module: Path) -> None:
    """A Root class is served to everybody; a signal lets a call end, and then the status is 0."""
    process = start("serve", "served:Echo", "pb://127.0.0.1:0")
    address = address_of(process)

    async def ask() -> tuple[Any, Any]:
        async with broker.connect(address) as connection:
            echo = await connection.root.callRemote("echo", "hi")
            waiting = connection.root.callRemote("wait")
            # Answered after the call before it has started.
            await connection.root.callRemote("echo", "")
            process.terminate()
            return echo, await waiting

    assert await ask() == ("hi", "waited")
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert errors.rstrip().endswith("ended, after 1 connections")


async def test_calls_at_most_once(start: Callable[..., Any], module: Path) -> None:
    """With --replies the server takes calls that run at most once."""
    address = address_of(start("serve", "served:Echo", "pb://127.0.0.1:0", "--replies", "60"))
    async with broker.Link(address) as link, broker.once():
        assert await link.root.callRemote("echo", "hi") == "hi"


@pytest.mark.parametrize("name", ["around", "Around"])
async def test_a_context_manager(name: str, start: Callable[..., Any], module: Path) -> None:
    """What it gives is served; it is left when the server has ended its calls."""
    process = start("serve", f"served:{name}", "pb://127.0.0.1:0")
    if name == "around":
        assert process.stdout.readline() == "entered\n"
    async with broker.connect(address_of(process)) as connection:
        waiting = connection.root.callRemote("wait")
        await connection.root.callRemote("echo", "")
        process.terminate()
        assert await waiting == "waited"
    printed, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert printed == "left\n"


async def test_a_context_manager_with_checkers(start: Callable[..., Any], module: Path) -> None:
    """What it gives stands behind a portal then."""
    checker = "memory:alice:wonderland"
    process = start("serve", "served:members", "pb://127.0.0.1:0", "--checker", checker)
    alice = UsernamePassword("alice", "wonderland")
    async with broker.connect(address_of(process), alice) as connection:
        assert await connection.avatar.callRemote("who") == "alice"
    process.terminate()
    process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broken", "served:broken raised "),
        ("wrong", "served:wrong is of type int, not a Root or a Portal"),
    ],
)
def test_a_context_manager_that_does_not_work(
    name: str, text: str, start: Callable[..., Any], module: Path
) -> None:
    """The status is 2, and one line says why."""
    process = start("serve", f"served:{name}", "pb://127.0.0.1:0")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.splitlines()[-1].startswith(f"pb serve: {text}")
    if name == "broken":
        assert "OSError: no database when it was entered" in errors


async def test_a_context_manager_whose_port_is_taken(
    start: Callable[..., Any], module: Path
) -> None:
    """The status is 1, and it is left."""
    async with broker.serve(broker.Root(), "pb://127.0.0.1:0") as server:
        process = start("serve", "served:Around", server.addresses[0])
        printed, errors = await asyncio.to_thread(process.communicate, timeout=20)
    assert process.returncode == 1
    assert printed == "left\n"
    assert "in use" in errors


async def test_over_websocket(start: Callable[..., Any], module: Path) -> None:
    """It serves at a WebSocket address, with the origins and the proxies that are given."""
    process = start(
        "serve", "served:Echo", "ws://127.0.0.1:0/pb", "--origin", "https://broker.example",
        "--trusted-proxy", "127.0.0.1", "--trusted-proxy", "unix", "--forwarded", "forwarded",
    )  # fmt: skip
    address = address_of(process)
    with pytest.raises(broker.ConnectError, match="the server answers 400 Bad Request"):
        await broker.connect(address)
    other = start("serve", "served:Echo", "ws://127.0.0.1:0/pb")
    async with broker.connect(address_of(other)) as connection:
        assert await connection.root.callRemote("echo", "hi") == "hi"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--origin", "broker.example"], "is not an origin; write https://broker.example"),
        (["--trusted-proxy", "proxy"], "write an address, a network"),
        (["--forwarded", "X-Real-IP"], "it is X-Forwarded-For or Forwarded"),
    ],
)
def test_wrong_settings_of_the_web(
    start: Callable[..., Any], module: Path, options: list[str], text: str
) -> None:
    """A wrong setting has status 2."""
    process = start("serve", "served:Echo", "ws://127.0.0.1:0/pb", *options)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert text in errors


async def test_users_and_certificates(
    start: Callable[..., Any], module: Path, certificates: Path
) -> None:
    """Users of a store and owners of certificates both log in; each gets an avatar of their own."""
    store = ("--store", f"file:{module}/users.db", "--verifier", "argon2id")
    added = CliRunner().invoke(
        users, ["add", "bob", *store, "--password-file", "-"], input="builder\n"
    )
    assert added.exit_code == 0, added.output
    process = start(
        "serve", "served:Member", "pbs://127.0.0.1:0",
        "--checker", "file:users.db", "--checker", "cert:ca.pem?by=dns",
        "--tls-cert", "server.pem", "--tls-key", "server.key",
    )  # fmt: skip
    address = address_of(process)

    async def who(credentials: Any, **shown: Any) -> Any:
        tls = broker.TLS.client(ca=module / "ca.pem", **shown)
        async with broker.connect(address, credentials, tls=tls) as connection:
            return await connection.avatar.callRemote("who")

    async def ask() -> list[Any]:
        shown = {"certificate": module / "alice.pem", "key": module / "alice.key"}
        return [
            await who(UsernamePassword("bob", "builder")),
            await who(ClientCertificate(), **shown),
        ]

    assert await ask() == ["bob", "alice"]


async def test_new_certificates_by_signal(
    start: Callable[..., Any], module: Path, certificates: Path
) -> None:
    """SIGHUP takes new certificates for new connections; those that are open go on."""
    process = start(
        "serve", "served:Echo", "pbs://127.0.0.1:0",
        "--tls-cert", "server.pem", "--tls-key", "server.key",
    )  # fmt: skip
    address = address_of(process)

    async def ask() -> list[Any]:
        old_trust = broker.TLS.client(ca=(module / "ca.pem").read_bytes())
        async with broker.connect(address, tls=old_trust) as open_one:
            for arguments in (["ca"], ["server", "127.0.0.1"]):
                renewed = [*arguments, "--force", "--dir", str(module)]
                assert CliRunner().invoke(cert, renewed).exit_code == 0
            process.send_signal(signal.SIGHUP)
            new_trust = broker.TLS.client(ca=module / "ca.pem")
            async with broker.connect(address, tls=new_trust) as new_one:
                return [
                    await open_one.root.callRemote("echo", "open"),
                    await new_one.root.callRemote("echo", "new"),
                ]

    assert await ask() == ["open", "new"]


def refused(*arguments: str) -> tuple[int, str]:
    """Run ``pb serve`` here; return its status and its last line."""
    result = CliRunner().invoke(serve, arguments)
    return result.exit_code, result.output.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments, error",
    [
        (["served"], "served is not MODULE:NAME; write echo:Echo for the class Echo of echo.py"),
        (
            ["nowhere:Echo"],
            "there is no module nowhere, neither in this folder nor on Python's path",
        ),
        (["broker:Nothing"], "the module broker has no Nothing"),
        (
            ["asyncio:Lock"],
            "asyncio:Lock makes avatars for users who log in: set --checker (--checker anonymous"
            " accepts every client)",
        ),
        (["sys:path"], "sys:path is of type list, not a Root or a Portal"),
        (
            ["broker:Root", "pb://0.0.0.0:0"],
            "listening on 0.0.0.0 without TLS; use pbs:// with --tls-cert and --tls-key, or"
            " --insecure-plaintext",
        ),
        (
            ["broker:Root", "pbs://127.0.0.1:0"],
            "pbs://127.0.0.1:0 needs a certificate: give --tls-cert and --tls-key",
        ),
        (
            ["broker:Root", "--checker", "nobody:"],
            "there is no checker 'nobody'; known are anonymous, cert, file, jwt, memory, sql",
        ),
        (
            ["broker:Root", "--checker", "file:missing.db"],
            "file: missing.db is not a file; no user can log in; create a store of users with pb"
            " users add",
        ),
        (
            ["sys:path", "--checker", "anonymous"],
            "sys:path is of type list; with --checker it must be a Root, a realm, or a function"
            " or Avatar"
            " class that is called with the avatar id and the mind",
        ),
        (
            ["broker:Root", "--tls-cert", "missing.pem", "--tls-key", "missing.key"],
            "cannot read the certificate missing.pem: No such file or directory; give the path of a"
            " PEM file",
        ),
    ],
)
def test_refused(arguments: list[str], error: str) -> None:
    """What cannot be served is refused with status 2, and in the words of the command line."""
    assert refused(*arguments) == (2, f"pb serve: {error}")


def test_half_a_pair() -> None:
    """A certificate without its key is wrong use."""
    assert refused("broker:Root", "--tls-cert", "server.pem") == (
        2,
        "Error: certificates need both --tls-cert and --tls-key",
    )


def test_two_authorities(certificates: Path) -> None:
    """TLS asks for certificates by one file of authorities."""
    other = certificates / "other.pem"
    other.write_bytes((certificates / "ca.pem").read_bytes())
    pair = ("--tls-cert", str(certificates / "server.pem"), "--tls-key")
    checkers = ("--checker", f"cert:{certificates}/ca.pem", "--checker", f"cert:{other}")
    status, error = refused(
        "broker:Root", "pbs://127.0.0.1:0", *pair, str(certificates / "server.key"), *checkers
    )
    assert (status, error) == (
        2,
        "Error: 2 client authorities: put all of them into one file for --client-ca",
    )


def test_a_port_in_use(start: Callable[..., Any], module: Path) -> None:
    """A port that another has ends the command with status 1."""
    address = address_of(start("serve", "served:Echo", "pb://127.0.0.1:0"))
    second = start("serve", "served:Echo", address)
    _, errors = second.communicate(timeout=10)
    assert second.returncode == 1
    assert "pb serve: " in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    "text, error",
    [
        ("1 +", "/broken.py, line 1: invalid syntax"),
        ("import nothing", "line 1: ModuleNotFoundError: No module named 'nothing'"),
        ("\nraise KeyError('x')", "/broken.py, line 2: KeyError: 'x'"),
        ("import broker\nclass Echo(broker.Root):\n  def __init__(self): 1 / 0\n",
         "/broken.py, line 3: ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_a_broken_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, error: str
) -> None:
    """Whatever a module raises is told in the last line, with its place."""
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    status, printed = refused("broken:Echo")
    assert status == 2
    assert error in printed


def test_the_traceback_of_a_module(tmp_path: Path, start: Callable[..., Any]) -> None:
    """Before that line comes the traceback, from the module to whichever other one raised."""
    (tmp_path / "served_badly.py").write_text("import deeper\n\nclass Echo: pass\n")
    (tmp_path / "deeper.py").write_text("raise ValueError('too deep')\n")
    process = start("serve", "served_badly:Echo")
    _, errors = process.communicate(timeout=30)
    lines = [line for line in errors.splitlines() if not line.startswith("    ")]
    assert lines == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/served_badly.py", line 1, in <module>',
        f'  File "{tmp_path}/deeper.py", line 1, in <module>',
        "ValueError: too deep",
        "pb serve: served_badly cannot be imported:"
        f" {tmp_path}/deeper.py, line 1: ValueError: too deep",
    ]


def test_a_signal_at_once(start: Callable[..., Any], module: Path) -> None:
    """Whoever has read where it serves may end it: signals are handled from then on."""
    for _ in range(3):
        process = start("serve", "served:Echo", "pb://127.0.0.1:0")
        address_of(process)
        process.terminate()
        process.communicate(timeout=10)
        assert process.returncode == 0


def fetched(address: str, path: str) -> str:
    """Return the body of a page."""
    with urlopen(f"{address}{path}", timeout=20) as answer:
        return str(answer.read().decode())


def pages_of(process: subprocess.Popen[str]) -> str:
    """Return the address of the HTTP port, from the log of a server."""
    assert process.stderr is not None
    while "pages at " not in (line := process.stderr.readline()):
        assert line, process.communicate()
    return line.rpartition("pages at ")[2].strip()


async def test_an_http_port(start: Callable[..., Any], module: Path) -> None:
    """With --http there are pages; slow calls are told; a port that is in use is an error."""
    process = start("serve", "served:Echo", "pb://127.0.0.1:0", "--http", "http://127.0.0.1:0")
    address, http = address_of(process), pages_of(process)
    async with broker.connect(address) as connection:
        assert await connection.root.callRemote("echo", "hi") == "hi"
        assert await connection.root.callRemote("hold") == "held"
    assert 'method="echo",outcome="answered"} 1' in fetched(http, "/metrics")
    assert fetched(http, "/ready") == "ready\n"
    other = start("serve", "served:Echo", "pb://127.0.0.1:0", "--http", http)
    _, errors = other.communicate(timeout=20)
    assert (other.returncode, "in use" in errors) == (1, True)
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert "remote method 'hold' of Echo held the loop for 0.1" in errors


@pytest.mark.parametrize(
    "arguments", [["served:house"], ["served:members", "--checker", "anonymous"]]
)
def test_the_page_of_a_context_manager(
    arguments: list[str], start: Callable[..., Any], module: Path
) -> None:
    """What it gives may have a login, so that the page of operators is not refused before."""
    pages = ("--http", "http://127.0.0.1:0", "--admin-page")
    process = start("serve", *arguments, "pb://127.0.0.1:0", *pages)
    assert "<title>" in fetched(pages_of(process), "/admin")


def test_a_context_manager_without_logins(start: Callable[..., Any], module: Path) -> None:
    """If what it gives has no login, settings for users are refused when it has been entered."""
    process = start("serve", "served:around", "pb://127.0.0.1:0", "--manhole")
    printed, errors = process.communicate(timeout=20)
    assert (process.returncode, printed) == (1, "entered\nleft\n")
    assert errors.endswith("pb serve: --manhole needs --admin, or users who log in\n")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--admin-page"], "admin_page=True needs a login: serve a Portal"),
        (["--http", "http://0.0.0.0:9100"], "would show operators' data to others"),
    ],
)
def test_wrong_pages(
    options: list[str], text: str, start: Callable[..., Any], module: Path
) -> None:
    """A wrong combination is status 2, with the fix."""
    process = start("serve", "served:Echo", "pb://127.0.0.1:0", *options)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, text in errors) == (2, True)
