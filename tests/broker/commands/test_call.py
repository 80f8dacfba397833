"""``pb call``: what it sends and prints, and the status that it ends with."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import signal
import socket
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.runner import Runner
from support.terminal import at_a_terminal

import broker
from broker.commands.call import call
from cred.certificates import CertificateChecker
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal


class Shelf(broker.Root):
    """What is called."""

    def remote_both(self, *args: Any, **kw: Any) -> Any:
        """Return what came."""
        return {"args": args, "kw": kw}

    def remote_reference(self) -> Any:
        """Return an object of the server's."""
        return broker.Referenceable()

    def remote_raise(self) -> None:
        """Raise what the client does not know."""
        raise KeyError("price")

    def remote_error(self) -> None:
        """Raise what is meant for the client."""
        raise broker.Error("sold out")

    async def remote_wait(self) -> None:
        """Never answer."""
        await asyncio.Event().wait()


class Member(broker.Avatar):
    """Knows who it is for."""

    def __init__(self, name: Any, mind: Any):
        self.name = name

    def perspective_who(self) -> Any:
        """Return the user's name."""
        return self.name if isinstance(self.name, str) else "a guest"


async def run(
    target: Any,
    *arguments: str,
    typed: str = "",
    tls: broker.TLS | None = None,
    options: tuple[str, ...] = (),
) -> tuple[int, str, str]:
    """Call a method of a server that runs meanwhile; return status, output and errors."""

    address = "pb://127.0.0.1:0" if tls is None else "pbs://localhost:0"
    async with broker.serve(target, address, tls=tls) as server:
        command = [server.addresses[0], *arguments, *options]
        result = await asyncio.to_thread(Runner().invoke, call, command, input=typed)
    return result.exit_code, result.stdout, result.stderr


def portal() -> Portal:
    """Return a portal for alice and for guests."""
    passwords = InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    return Portal(broker.realm(Member), [passwords, AllowAnonymousAccess()])


async def test_arguments() -> None:
    """Arguments are JSON, and those with a name are keywords."""
    arguments = ("both", "3", '"a b"', "[1, null]", '"x=1"', 'name="alice"', 'deep={"a": 2.5}')
    status, printed, errors = await run(Shelf(), *arguments)
    assert (status, errors) == (0, "")
    assert json.loads(printed) == {
        "args": [3, "a b", [1, None], "x=1"],
        "kw": {"name": "alice", "deep": {"a": 2.5}},
    }


async def test_a_negative_number() -> None:
    """After -- an argument may begin with a dash."""
    status, printed, _ = await run(Shelf(), "both", "--", "-1")
    assert (status, json.loads(printed)["args"]) == (0, [-1])


async def test_a_reference() -> None:
    """An object of the server's is shown as what it is here."""
    status, printed, _ = await run(Shelf(), "reference")
    assert status == 0
    assert "RemoteReference" in json.loads(printed)


@pytest.mark.parametrize(
    "method, error",
    [
        ("raise", "internal error (id "),
        ("error", "Error: sold out"),
        ("missing", "NoSuchMethod: no remote method 'missing'"),
    ],
)
async def test_the_method_raises(method: str, error: str) -> None:
    """What the method raises is told, and the status is 1."""
    status, printed, errors = await run(Shelf(), method)
    assert (status, printed) == (1, "")
    assert errors.startswith(error)


async def test_no_answer_in_time() -> None:
    """Without an answer in time the status is 5."""
    assert (await run(Shelf(), "wait", "--timeout", "0.2"))[0] == 5


@pytest.mark.parametrize(
    "arguments, error",
    [
        (("both", "hello"), "argument 1 is not JSON"),
        (("both", "1", "x=hello"), "argument 2 is not JSON"),
        (("both", "[" * 100_000), "argument 1 is not JSON"),
        (("both", "x=1", "x=2"), "argument 2: x= is given twice"),
        (("both", "--user", "alice", "--anonymous"), "choose one of --user, --token-file"),
        (("both", "--password-file", "-"), "--password-file needs --user"),
        (("both", "--user", "alice"), "there is no terminal to ask for the password"),
        (("both", "--token-file", "missing"), "the token cannot be read"),
        (("both", "--ca", "missing.pem"), "cannot read the CA certificate missing.pem"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], error: str) -> None:
    """What cannot be asked for has status 2, and no connection is made."""
    result = Runner().invoke(call, ["pbs://127.0.0.1:1", *arguments])
    assert result.exit_code == 2
    assert error in result.stderr


@pytest.mark.parametrize(
    "address, status, error",
    [
        ("nowhere", 2, "pb call: address 'nowhere' is not understood"),
        ("pb://192.0.2.1", 2, "use pbs://, or --insecure-plaintext"),
        ("pb+unix:///nowhere/socket", 3, "pb call: "),
    ],
)
def test_addresses(address: str, status: int, error: str) -> None:
    """A wrong address has status 2, one where nobody is status 3."""
    result = Runner().invoke(call, [address, "both"])
    assert result.exit_code == status
    assert error in result.stderr


@pytest.mark.parametrize(
    "options, typed, printed",
    [
        (("--user", "alice", "--password-file", "-"), "wonderland\n", '"alice"\n'),
        (("--anonymous",), "", '"a guest"\n'),
    ],
)
async def test_logging_in(options: tuple[str, ...], typed: str, printed: str) -> None:
    """After a login the method is one of the avatar's."""
    assert await run(portal(), "who", options=options, typed=typed) == (0, printed, "")


@pytest.mark.parametrize(
    "options, typed, error",
    [
        (
            ("--user", "alice", "--password-file", "-"),
            "looking glass\n",
            "pb call: wrong user name or password\n",
        ),
        (
            (),
            "",
            "pb call: this server asks for a login: log in with --user, --token-file, --cert or"
            " --anonymous\n",
        ),
    ],
)
async def test_not_let_in(options: tuple[str, ...], typed: str, error: str) -> None:
    """Who is not let in gets status 4, in the words of the command line."""
    assert await run(portal(), "who", options=options, typed=typed) == (4, "", error)


async def test_a_login_where_there_is_none() -> None:
    """A server without a login says so."""
    status, _, errors = await run(Shelf(), "both", options=("--anonymous",))
    assert (status, errors) == (
        4,
        "pb call: this server asks for no login: omit --user, --token-file and --anonymous, and"
        " add --no-login to --cert\n",
    )


def shown(folder: Path) -> tuple[str, ...]:
    """Return the options of alice's certificate."""
    return "--cert", str(folder / "alice.pem"), "--key", str(folder / "alice.key")


async def test_by_certificate(certificates: Path) -> None:
    """A certificate is a login; with --no-login it is for TLS alone; trust is by --ca."""
    tls = broker.TLS.server(
        certificates / "server.pem", certificates / "server.key", client_ca=certificates / "ca.pem"
    )
    trusting = ("--ca", str(certificates / "ca.pem"), *shown(certificates))
    realm = Portal(broker.realm(Member), [CertificateChecker(by="dns")])
    assert await run(realm, "who", tls=tls, options=trusting) == (0, '"alice"\n', "")
    bare = await run(Shelf(), "both", tls=tls, options=(*trusting, "--no-login"))
    assert (bare[0], json.loads(bare[1])) == (0, {"args": [], "kw": {}})
    status, _, errors = await run(Shelf(), "both", tls=tls, options=shown(certificates))
    assert (status, errors) == (
        3,
        "pb call: certificate of localhost is not signed by a trusted CA; if its CA is yours,"
        " give --ca\n",
    )


# What is bounded: what is printed, and how long it takes.


class Hostile(broker.Root):
    """Answers with what is hard to print, or not at all."""

    def __init__(self, answer: Any = None):
        self.answer = answer
        self.called = asyncio.Event()

    def remote_give(self) -> Any:
        """Return it."""
        return self.answer

    def remote_refuse(self) -> None:
        """Raise it."""
        raise broker.Error(self.answer)

    async def remote_wait(self) -> None:
        """Say that it is called, and never answer."""
        self.called.set()
        await asyncio.Event().wait()


def shared(levels: int) -> Any:
    """Return a list that holds another one twice, and so on."""
    inner: Any = [1, 2]
    for _ in range(levels - 1):
        inner = [inner, inner]
    return inner


async def test_shared_parts() -> None:
    """A small message that is large as a tree is cut, for a program too, and that is told."""
    status, printed, errors = await run(Hostile(shared(18)), "give")
    assert status == 0
    assert len(printed) < 2_000_000
    assert json.loads(printed)[-1] == "… 131,072 more"
    assert errors == "pb call: the answer is cut; --all prints all of it\n"


async def test_all_of_it() -> None:
    """With --all nothing is left out."""
    status, printed, errors = await run(Hostile(shared(14)), "give", "--all")
    assert (status, errors) == (0, "")
    assert json.loads(printed) == shared(14)


async def test_a_large_answer_is_whole() -> None:
    """An answer in which nothing is shared is whole for a program, however long."""
    answer = [{"name": f"item {number}", "price": number} for number in range(5_000)]
    status, printed, errors = await run(Hostile(answer), "give")
    assert (status, errors) == (0, "")
    assert json.loads(printed) == answer


@pytest.mark.parametrize("method", ["give", "refuse"])
async def test_nothing_moves_the_cursor(method: str) -> None:
    """Neither an answer nor the text of an error prints a control character of the peer's."""
    text = "a\nb\x1b[2J\u2028\x07\u202e\x9b1m\r"
    _, printed, errors = await run(Hostile(text), method)
    assert (printed + errors).removesuffix("\n").isprintable()
    assert "b" in printed + errors


async def test_a_long_error() -> None:
    """Of a long text of an error the beginning is printed."""
    status, _, errors = await run(Hostile("x" * 100_000), "refuse")
    assert status == 1
    assert errors.startswith("Error: xxx")
    assert len(errors) < 5_000


def test_a_server_that_says_nothing() -> None:
    """The limit of time holds while connecting, too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"pb://127.0.0.1:{silent.getsockname()[1]}"
        result = Runner().invoke(call, [address, "x", "--timeout", "0.3"])
    assert result.exit_code in (3, 5)


async def test_the_limit_holds_for_printing() -> None:
    """Text of an answer is made no longer than the limit says, and the rest is not printed."""

    async def ask() -> Any:
        async with broker.serve(Hostile(shared(17)), "pb://127.0.0.1:0") as server:
            command = [server.addresses[0], "give", "--all", "--timeout", "0.2"]
            return await asyncio.to_thread(Runner().invoke, call, command)

    result = await ask()
    assert result.exit_code == 5
    assert result.stderr == "pb call: not done in 0.2 s\n"


async def started(root: Hostile, server: Any, *options: str) -> Any:
    """Start ``pb call`` as a process, and return it when its call has arrived."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "broker", "call", server.addresses[0], "wait", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await asyncio.wait_for(root.called.wait(), 30)
    return process


async def test_interrupted() -> None:
    """Ctrl-C ends the command at once, with status 130 and without a traceback."""

    async def interrupt() -> Any:
        root = Hostile()
        async with broker.serve(root, "pb://127.0.0.1:0") as server:
            process = await started(root, server)
            process.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(process.communicate(), 10)
            return process.returncode, out, err

    assert await interrupt() == (130, b"", b"")


@pytest.mark.parametrize(
    ("answer", "options", "seen"),
    [
        ("plain text", (), "plain text\n"),
        ("a\n\tb\x1b[2J", (), "a\n\tb\\x1b[2J\n"),
        ("plain text", ("--json",), '"plain text"\n'),
        (Decimal("1.10"), (), "1.10\n"),
        (datetime.date(2026, 1, 2), (), "2026-01-02\n"),
        ([1, "a\x1b\u202e"], (), '[\n  1,\n  "a\\u001b\\u202e"\n]\n'),
        (5, (), "5\n"),
    ],
)
async def test_at_a_terminal(
    answer: Any, options: tuple[str, ...], seen: str, tmp_path: Path
) -> None:
    """At a terminal a text has no quotes, unless --json asks for them; control characters never."""

    async def look() -> Any:
        async with broker.serve(Hostile(answer), "pb://127.0.0.1:0") as server:
            command = [sys.executable, "-m", "broker", "call", server.addresses[0], "give"]
            return await asyncio.to_thread(
                at_a_terminal, [*command, *options], tmp_path, os.environ, {}
            )

    # The terminal itself turns tabs and line breaks into what it has for them.
    assert await look() == (seen, 0)


async def test_a_long_answer_at_a_terminal(tmp_path: Path) -> None:
    """At a terminal a long answer is cut, unless --json or --all asks for all of it."""

    async def look(*options: str) -> Any:
        async with broker.serve(Hostile(list(range(2_000))), "pb://127.0.0.1:0") as server:
            command = [sys.executable, "-m", "broker", "call", server.addresses[0], "give"]
            return await asyncio.to_thread(
                at_a_terminal, [*command, *options], tmp_path, os.environ, {}
            )

    seen, status = await look()
    assert status == 0
    assert '  "… 1,000 more"\n]\n' in seen
    for option in ("--json", "--all"):
        assert json.loads((await look(option))[0]) == list(range(2_000))


async def later(target: Any, port: int, seconds: float, *arguments: str) -> tuple[int, str, str]:
    """Call a method of a server that is started some time after the command."""
    command = [f"pb://127.0.0.1:{port}", *arguments]
    asking = asyncio.create_task(asyncio.to_thread(Runner().invoke, call, command))
    await asyncio.sleep(seconds)
    async with broker.serve(target, f"pb://127.0.0.1:{port}"):
        result = await asking
    return result.exit_code, result.stdout, result.stderr


def free_port() -> int:
    """A port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


async def test_retry_waits_for_a_server() -> None:
    """With ``--retry`` the command waits until the server is there; without, it fails at once."""
    status, output, _ = await later(Shelf(), free_port(), 0.5, "both", "3", "--retry")
    assert (status, json.loads(output)["args"]) == (0, [3])
    command = [f"pb://127.0.0.1:{free_port()}", "both"]
    result = await asyncio.to_thread(Runner().invoke, call, command)
    assert result.exit_code == 3


async def test_retry_ends_with_the_time_limit() -> None:
    """The status and the text are those of the last attempt."""
    command = [f"pb://127.0.0.1:{free_port()}", "both", "--retry", "--timeout", "1"]
    result = await asyncio.to_thread(Runner().invoke, call, command)
    assert result.exit_code == 3
    assert "connection refused by 127.0.0.1" in result.stderr


async def test_retry_does_not_repeat_what_may_have_run() -> None:
    """A call that was sent is not sent again, and a refused login is not tried again."""
    calls: list[int] = []

    class Cutting(broker.Root):
        """Cuts the connection of its caller."""

        def remote_cut(self) -> None:
            """Cut it."""
            calls.append(1)
            broker.current_call().connection.broker.transport.abortConnection()

    status, _, errors = await run(Cutting(), "cut", options=("--retry",))
    assert (status, calls) == (3, [1])
    assert errors
    target = portal()
    status, _, errors = await run(
        target,
        "who",
        options=("--user", "alice", "--password-file", "-", "--retry"),
        typed="guess\n",
    )
    assert status == 4
    assert "wrong user name or password" in errors
