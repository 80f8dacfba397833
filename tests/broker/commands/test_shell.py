"""``pb shell``: the prompt of the client, and the one inside the server, typed at a terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.prompts import Terminal

MODULE = """
import asyncio
import broker

class Echo(broker.Root):
    def remote_echo(self, value):
        return value

    async def remote_wait(self):
        await asyncio.sleep(600)

class Desk(broker.Avatar):
    def __init__(self, name, mind):
        self.name = name

    def perspective_echo(self, value):
        return value
"""


@pytest.fixture
def served(tmp_path: Path, start: Callable[..., Any]) -> Callable[..., Any]:
    """Start a server; it returns the address and the process."""
    (tmp_path / "served.py").write_text(MODULE)

    def begin(*arguments: str) -> tuple[str, Any]:
        process = start("serve", *arguments)
        line = process.stdout.readline()
        assert line.startswith("serving at "), process.communicate()
        return line.split()[-1], process

    return begin


def piped(folder: Path, text: str, *arguments: str) -> tuple[int, str, str]:
    """Run the command with these lines as its input; return status, output and errors."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "broker", "shell", *arguments],
        cwd=folder, input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


def test_the_client(tmp_path: Path, served: Callable[..., Any]) -> None:
    """Calls are awaited at the prompt; statements have several lines; Ctrl-C ends an await."""
    address, _ = served("served:Echo", "pb://127.0.0.1:0")
    with Terminal.of_pb(tmp_path, "shell", address) as terminal:
        terminal.until(f"{address}: root is the server's object. Ctrl-D leaves.\n>>> ")
        terminal.line('await root.callRemote("echo", 6) * 7')
        terminal.until("\n42\n>>> ")
        terminal.line("for i in range(2):")
        terminal.until("... ")
        terminal.line("    print('line', i)")
        terminal.until("... ")
        terminal.line("")
        assert terminal.until(">>> ").endswith("line 0\nline 1\n>>> ")
        terminal.line("1/0")
        assert "broker/" not in terminal.until("ZeroDivisionError: division by zero\n>>> ")
        terminal.type("connection.dial\t\n")
        terminal.until("'msgpack/1'\n>>> ")
        terminal.line('print("begun"); await root.callRemote("wait")')
        terminal.until("\nbegun\n")
        terminal.type("\x03")
        terminal.until("KeyboardInterrupt\n>>> ")
        terminal.type("half a line")
        terminal.until("half a line")
        terminal.interrupt("KeyboardInterrupt\n>>> ")
        terminal.line("raise SystemExit")
        terminal.until("SystemExit\n>>> ")
        terminal.type("\x04")
        assert terminal.ended() == 0
    with Terminal.of_pb(tmp_path, "shell", address) as terminal:
        terminal.until(">>> ")
        # The line before the last one of the session before.
        terminal.type("\x1b[A" * 2)
        terminal.until('await root.callRemote("wait")')
        terminal.interrupt("KeyboardInterrupt\n>>> ")
        terminal.line("exit()")
        assert terminal.ended() == 0


def test_inside_the_server(tmp_path: Path, served: Callable[..., Any]) -> None:
    """Lines run in the server, by its socket for operators; the audit log has each."""
    admin = f"pb+unix://{tmp_path}/admin"
    log = tmp_path / "audit"
    options = ("--admin", admin, "--manhole", "--audit-log", str(log))
    address, process = served("served:Echo", "pb://127.0.0.1:0", *options)
    with Terminal.of_pb(tmp_path, "shell", admin, "--server") as terminal:
        terminal.until(f"{admin}: inside the server. Ctrl-D leaves.\n>>> ")
        terminal.line("import os; os.getpid()")
        terminal.until(f"\n{process.pid}\n>>> ")
        terminal.line("server.addresses, root")
        terminal.until(address)
        terminal.until(">>> ")
        terminal.line("async def f():")
        terminal.until("... ")
        terminal.line("    print('hello'); return 8")
        terminal.until("... ")
        terminal.line("")
        terminal.until(">>> ")
        terminal.line("await f()")
        assert terminal.until(">>> ").endswith("hello\n8\n>>> ")
        terminal.type("server.addr\t\n")
        terminal.until(address)
        terminal.line("import asyncio; print('begun'); await asyncio.sleep(600)")
        terminal.until("\nbegun\n")
        terminal.type("\x03")
        terminal.until("KeyboardInterrupt\n>>> ")
        terminal.line(r"print('\x1b[2J\x9b')")
        terminal.until("\n\\x1b[2J\\x9b\n>>> ")
        terminal.line("1/0")
        terminal.until("division by zero\n>>> ")
        terminal.type("\x04")
        assert terminal.ended() == 0
    assert '"act": "manhole", "line": "await f()"' in log.read_text()
    process.terminate()
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, "")
    assert "hello" not in re.sub("manhole by .*|.*broker.audit.*", "", errors)


def test_a_server_that_ends(tmp_path: Path, served: Callable[..., Any]) -> None:
    """The prompt inside a server ends with status 3 when the server is gone."""
    admin = f"pb+unix://{tmp_path}/admin"
    _, process = served("served:Echo", "pb://127.0.0.1:0", "--admin", admin, "--manhole")
    with Terminal.of_pb(tmp_path, "shell", admin, "--server") as terminal:
        terminal.until(">>> ")
        process.kill()
        process.wait()
        terminal.line("1")
        terminal.until("pb shell: ")
        assert terminal.ended() == 3


def test_a_pipe(tmp_path: Path, served: Callable[..., Any]) -> None:
    """Lines of a pipe run without a prompt; the last one needs no empty line."""
    admin = f"pb+unix://{tmp_path}/admin"
    address, _ = served("served:Echo", "pb://127.0.0.1:0", "--admin", admin, "--manhole")
    text = 'await root.callRemote("echo", 1)\nx\nfor i in "ab":\n    print(i)\n'
    status, output, errors = piped(tmp_path, text, address)
    assert (status, output) == (0, "1\na\nb\n")
    assert errors.endswith("NameError: name 'x' is not defined\n")
    text = "1 + 1\nx\nfor i in 'ab':\n    print(i)\n"
    status, output, errors = piped(tmp_path, text, admin, "--server")
    assert (status, output) == (0, "2\na\nb\n")
    assert errors.endswith("NameError: name 'x' is not defined\n")


def test_no_manhole(tmp_path: Path, served: Callable[..., Any]) -> None:
    """The status is 1 if the server has no manhole, 3 if it cannot be reached."""
    admin = f"pb+unix://{tmp_path}/admin"
    address, _ = served("served:Echo", "pb://127.0.0.1:0", "--admin", admin)
    status, _, errors = piped(tmp_path, "1\n", address, "--server")
    assert (status, errors.startswith("NoSuchMethod: this server gives no manhole")) == (1, True)
    status, _, errors = piped(tmp_path, "1\n", admin, "--server")
    assert (status, "has no manhole: pb serve --admin ADDRESS" in errors) == (1, True)
    status, _, errors = piped(tmp_path, "1\n", f"pb+unix://{tmp_path}/none", "--server")
    assert (status, errors.startswith("pb shell: ")) == (3, True)


def test_by_a_login(tmp_path: Path, served: Callable[..., Any], certificates: Path) -> None:
    """``--manhole`` gives it to users of the group operators on TLS, and to no others."""
    add = [sys.executable, "-m", "broker", "users", "add", "--store", "file:users.db"]
    for name, groups in (("root", ["--group", "operators"]), ("alice", ["--group", "clerks"])):
        subprocess.run(
            [*add, name, *groups, "--password-file", "-"],
            cwd=tmp_path, input="secret\n", text=True, check=True, capture_output=True,
        )  # fmt: skip
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    options = ("--checker", "file:users.db", "--tls-cert", "server.pem", "--tls-key", "server.key")
    address, _ = served("served:Desk", "pbs://127.0.0.1:0", *options, "--manhole")
    client = ("--ca", "ca.pem", "--password-file", "password", "--user")
    text = "server.addresses\n"
    status, output, errors = piped(tmp_path, text, address, "--server", *client, "root")
    assert (status, output) == (0, f"('{address}',)\n"), errors
    status, output, errors = piped(tmp_path, text, address, "--server", *client, "alice")
    assert (status, output, "you may not call 'manhole'" in errors) == (1, "", True), errors
    text = 'await avatar.callRemote("echo", 5)\n'
    status, output, _ = piped(tmp_path, text, address, *client, "alice")
    assert (status, output) == (0, "5\n")
    health = [sys.executable, "-m", "broker", "health", address, *client]
    for user, code in (("root", 0), ("alice", 1)):
        result = subprocess.run([*health, user], cwd=tmp_path, capture_output=True, check=False)
        assert result.returncode == code
