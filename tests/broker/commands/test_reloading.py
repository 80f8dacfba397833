"""SIGHUP at ``pb serve --config``: what changes at once, and what needs a restart."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import broker
from broker.commands.users import users
from cred.credentials import UsernamePassword
from cred.error import LoginFailed

MODULE = """
import broker

class Member(broker.Avatar):
    def __init__(self, name, mind):
        self.name = name

    def perspective_who(self):
        return self.name

    def perspective_take(self, text):
        return len(text)
"""

CONFIG = """
[serve]
target = "served:Member"
addresses = ["pb://127.0.0.1:0"]
checker = ["file:{users}.db"]
log-level = "{level}"
log-format = "json"
{more}
[limits]
max_string = {most}
"""


def add_user(folder: Path, store: str, name: str) -> None:
    """Add a user with the password "builder"."""
    added = CliRunner().invoke(
        users,
        ["add", name, "--store", f"file:{folder}/{store}.db", "--password-file", "-"],
        input="builder\n",
    )
    assert added.exit_code == 0, added.output


def configure(folder: Path, store: str, level: str, most: int, more: str = "") -> None:
    """Write the configuration file."""
    text = CONFIG.format(users=store, level=level, most=most, more=more)
    (folder / "pb.toml").write_text(text)


def hear(process: Any, text: str) -> dict[str, Any]:
    """Return the next record with a text in its message."""
    for line in process.stderr:
        record: dict[str, Any] = json.loads(line)
        if text in record["message"]:
            return record
    raise AssertionError(f"no record has {text!r}")


async def login(address: str, name: str) -> Any:
    """Log in, and return the connection."""
    return await broker.connect(address, UsernamePassword(name, "builder"))


async def test_reload(start: Callable[..., Any], tmp_path: Path) -> None:
    """Users, limits and the log level change for new logins; connections and calls go on."""
    (tmp_path / "served.py").write_text(MODULE)
    add_user(tmp_path, "old", "alice")
    add_user(tmp_path, "new", "bob")
    configure(tmp_path, "old", "info", 100_000)
    process = start("serve", "--config", "pb.toml")
    address = process.stdout.readline().removeprefix("serving at ").strip()
    kept = await login(address, "alice")
    assert await kept.avatar.callRemote("take", "x" * 5000) == 5000
    answers: list[Any] = []

    async def call_on() -> None:
        while True:
            answers.append(await kept.avatar.callRemote("who"))

    calling = asyncio.create_task(call_on())
    configure(tmp_path, "new", "warning", 1000, "drain = 7")
    process.send_signal(signal.SIGHUP)
    late = await asyncio.to_thread(hear, process, "with a restart only")
    assert late["message"] == "configuration read again: drain changes with a restart only"
    new = await login(address, "bob")
    assert await new.avatar.callRemote("who") == "bob"
    with pytest.raises(Exception, match="max_string"):
        await new.avatar.callRemote("take", "x" * 5000)
    with pytest.raises(LoginFailed):
        await login(address, "alice")
    assert await kept.avatar.callRemote("take", "x" * 5000) == 5000
    count = len(answers)
    while len(answers) == count:
        await asyncio.sleep(0)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert set(answers) == {"alice"}
    await kept.close()
    await new.close()


async def test_a_wrong_file(start: Callable[..., Any], tmp_path: Path) -> None:
    """A file that is not valid changes nothing, and the error is logged."""
    (tmp_path / "served.py").write_text(MODULE)
    add_user(tmp_path, "old", "alice")
    configure(tmp_path, "old", "info", 100_000)
    process = start("serve", "--config", "pb.toml")
    address = process.stdout.readline().removeprefix("serving at ").strip()
    configure(tmp_path, "old", "info", 0)
    process.send_signal(signal.SIGHUP)
    record = await asyncio.to_thread(hear, process, "reading the configuration again")
    assert record["level"] == "error"
    assert "pb.toml: [limits] max_string=0: a limit is 1 at least" in record["message"]
    configure(tmp_path, "missing", "info", 100_000)
    process.send_signal(signal.SIGHUP)
    record = await asyncio.to_thread(hear, process, "reading the configuration again")
    assert "missing.db is not a file" in record["message"]
    for more, error in (
        ("drain = -1", "drain=-1.0: give seconds"),
        ("processes = 0", "Invalid value for '--processes'"),
        ("http = 'http://0.0.0.0:1'", "use 127.0.0.1, or --insecure-plaintext"),
    ):
        # These would change with a restart, but the server would not start.
        configure(tmp_path, "old", "info", 100_000, more)
        process.send_signal(signal.SIGHUP)
        record = await asyncio.to_thread(hear, process, "configuration")
        assert (record["level"], error in record["message"]) == ("error", True)
    async with broker.connect(address, UsernamePassword("alice", "builder")) as connection:
        assert await connection.avatar.callRemote("who") == "alice"


LOADED = """
import broker

class Counter(broker.Root):
    def remote_count(self, number):
        return number

    async def remote_count_up(self, number):
        for each in range(number):
            yield each
"""


@pytest.mark.parametrize("processes", [1, 2])
async def test_nothing_is_lost_under_load(
    processes: int, start: Callable[..., Any], tmp_path: Path
) -> None:
    """While SIGHUPs change the limits, all calls are answered once and in order, streams go on,
    connections stay open, and each new one is let in."""
    (tmp_path / "served.py").write_text(LOADED)

    def configure(most: int) -> None:
        text = (
            "[serve]\ntarget = 'served:Counter'\naddresses = ['pb://127.0.0.1:0']\n"
            f"processes = {processes}\nlog-format = 'json'\n[limits]\nmax_string = {most}\n"
        )
        (tmp_path / "pb.toml").write_text(text)

    configure(10_000)
    process = start("serve", "--config", "pb.toml")
    address = process.stdout.readline().removeprefix("serving at ").strip()
    connections = [await broker.connect(address) for _ in range(8)]
    is_done = False
    asked = 0

    async def call(connection: broker.Connection) -> None:
        nonlocal asked
        numbers = iter(range(1_000_000))
        while not is_done:
            batch = [next(numbers) for _ in range(20)]
            asked += len(batch)
            calls = [connection.root.callRemote("count", number) for number in batch]
            assert [await each for each in calls] == batch

    async def read(connection: broker.Connection) -> None:
        while not is_done:
            count = 0
            async for number in connection.root.callRemote("count_up", 500):
                assert number == count
                count += 1
            assert count == 500

    async def visit() -> int:
        visits = 0
        while not is_done:
            async with broker.connect(address) as connection:
                assert await connection.root.callRemote("count", visits) == visits
            visits += 1
        return visits

    async with asyncio.TaskGroup() as load:
        for each in connections[:6]:
            load.create_task(call(each))
        for each in connections[6:]:
            load.create_task(read(each))
        visiting = load.create_task(visit())
        for turn in range(10):
            configure(10_001 + turn)
            process.send_signal(signal.SIGHUP)
            for _ in range(processes):
                record = await asyncio.to_thread(hear, process, "configuration read again")
                assert record["message"] == "configuration read again: policy"
        is_done = True
    assert asked > 100 and visiting.result() > 0
    for each in connections:
        assert not each.is_closed
        await each.close()
    process.terminate()
    _, errors = await asyncio.to_thread(process.communicate, timeout=20)
    assert process.returncode == 0 and "Traceback" not in errors
