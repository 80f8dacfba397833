"""The pytest plugin, in runs of pytest of their own: the fixture, and what fails a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import broker

HERE = Path(broker.__file__).parents[1]

TESTS = """
import asyncio
from typing import Protocol

import pytest

import broker
from broker.testing import peer
from cred.portal import Portal


made = []


class Thing(broker.Referenceable):
    def remote_ping(self):
        return "pong"


class Member(broker.Avatar):
    def perspective_whoami(self):
        return broker.current_call().peer.avatar_id


class Club(broker.Root):
    kept = []

    def remote_echo(self, value):
        return value

    def remote_keep(self, value):
        self.kept.append(value)

    async def remote_wait(self):
        await asyncio.Event().wait()


class Desk(Protocol):
    async def reserve(self, seats: int) -> int: ...


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_passes(broker_pair, dialect, tmp_path):
    pair = await broker_pair(Club(), dialect=dialect)
    other = await broker_pair(Portal(broker.realm(lambda *_: Member())), user="bob")
    thing = await pair.client.root.callRemote("echo", Thing())
    assert thing.remote_ping() == "pong"
    assert await other.client.avatar.callRemote("whoami") == "bob"
    made.extend([pair, other])


class TestInAClass:
    async def test_passes(self, broker_pair):
        pair = await broker_pair(Club())
        assert pair.client.dialect == "msgpack/1"


async def test_leaks(broker_pair):
    pair = await broker_pair(Club())
    await pair.client.root.callRemote("keep", Thing())


async def test_leaks_and_says_so(broker_pair):
    pair = await broker_pair(Club(), leaks=False)
    await pair.client.root.callRemote("keep", Thing())


async def test_leaks_a_call(broker_pair):
    pair = await broker_pair(Club())
    pair.client.root.callRemote("wait").addErrback(lambda failure: None)


async def test_ends_with_a_cut(broker_pair):
    pair = await broker_pair(Club())
    await pair.client.root.callRemote("keep", Thing())
    pair.network.cut()


async def test_ends_in_a_stall(broker_pair):
    pair = await broker_pair(Club())
    pair.network.stall()
    pair.client.root.send("echo", 1)


async def test_fails_by_itself(broker_pair):
    pair = await broker_pair(Club())
    await pair.client.root.callRemote("keep", Thing())
    raise KeyError("mine")


async def test_does_not_follow_the_script(broker_pair):
    desk = peer(Desk)
    desk.expects("reserve", 1)
    await broker_pair(desk)


async def test_is_refused(broker_pair):
    with pytest.raises(TypeError):
        await broker_pair(Club(), user="bob")


def test_is_not_async(broker_pair):
    assert broker_pair is not None


def test_pairs_were_closed():
    assert len(made) == 4
    assert all(pair.client.is_closed and pair.server.is_closed for pair in made)


def test_nothing_is_loaded():
    import subprocess, sys
    code = "import sys, broker.testing.plugin"
    code += "; print(sorted(name for name in sys.modules if 'broker.' in name))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "['broker.testing', 'broker.testing.plugin']\\n"
"""

CONFTEST = """
import asyncio
import inspect

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def run():
        await pyfuncitem.obj(**arguments)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    return True
"""

FAILED = {
    "test_leaks": "this test leaks",
    "test_leaks_a_call": "client: call 1 wait",
    "test_fails_by_itself": "KeyError: 'mine'",
    "test_does_not_follow_the_script": "not called: reserve(1)",
}


@pytest.mark.parametrize("conftest", ["", CONFTEST], ids=["alone", "beside another plugin"])
def test_the_fixture(tmp_path: Path, conftest: str) -> None:
    """Tests that leak, or do not follow a script, fail with the reason; others pass."""
    (tmp_path / "test_club.py").write_text(TESTS, "utf-8")
    (tmp_path / "conftest.py").write_text(conftest, "utf-8")
    options = ["-p", "broker.testing.plugin", "-c", "/dev/null", f"--rootdir={tmp_path}"]
    options += ["-W", "error", "-q", "-rA", "--tb=line"]
    program = f"import sys; sys.path.insert(0, {str(HERE)!r}); import pytest"
    program += "; sys.exit(pytest.main(sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-c", program, *options],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = run.stdout.splitlines()
    failed = {line.split("::")[-1].split(" ")[0] for line in lines if line.startswith("FAILED")}
    assert failed == set(FAILED), run.stdout + run.stderr
    assert all(any(text in line for line in lines) for text in FAILED.values()), run.stdout
    assert lines[-1].startswith(f"{len(FAILED)} failed, 10 passed"), lines[-1]
