"""The loop of the synchronous API, its thread, its end, forks, and misuse."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support.programs import environment
from support.shop import DIALECTS, Shop, shop

import broker
from broker import blocking
from broker.blocking.loop import _process, background


def run(program: str) -> str:
    """Run a program that must end well and say nothing on standard error; return its output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=50,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0), done.stdout
    return done.stdout


@pytest.fixture
def unwarned() -> Any:
    """The warning about blocked loops has not been given."""
    before, _process.has_warned = _process.has_warned, False
    yield
    _process.has_warned = before


def in_loop(function: Callable[[], Any]) -> Any:
    """Call a function in the thread of the loop."""

    async def call() -> Any:
        return function()

    return asyncio.run_coroutine_threadsafe(call(), blocking.loop()).result(20)


def test_one_loop() -> None:
    """There is one loop in a process, in one daemon thread, whichever thread asks first."""
    program = """
    import threading
    from concurrent.futures import ThreadPoolExecutor
    from broker import blocking
    print(threading.active_count())
    start = threading.Barrier(20)
    def ask():
        start.wait()
        return blocking.loop()
    with ThreadPoolExecutor(20) as pool:
        loops = {future.result() for future in [pool.submit(ask) for _ in range(20)]}
    print(len(loops), loops == {blocking.loop()})
    (thread,) = [one for one in threading.enumerate() if one.name == "broker.blocking"]
    print(thread.daemon)
    """
    assert run(program).split() == ["1", "1", "True", "True"]


def test_it_is_an_attribute() -> None:
    """``import broker`` does not load it, and ``broker.blocking`` does."""
    program = """
    import sys, broker
    print("broker.blocking" in sys.modules, "asyncio" in sys.modules, "blocking" in dir(broker))
    print(broker.blocking.connect.__module__)
    import broker.blocking
    from broker import blocking
    print(blocking is broker.blocking, callable(blocking.loop))
    """
    assert (
        run(program).split()
        == ["False", "False", "True", "broker.blocking.connection"] + ["True"] * 2
    )


AT_EXIT = """
import atexit, threading, time

def left():
    print("left:", [thread.name for thread in threading.enumerate()][1:])

# Called after the end of broker.blocking, which is loaded later.
atexit.register(left)
"""


@pytest.mark.parametrize(
    "program",
    [
        "from broker import blocking; blocking.loop()",
        """
from support.shop import shop
with shop() as (here, connection):
    connection.root.callRemote("echo", 1)
""",
        """
from support.shop import Shop
import broker
from broker import blocking
server = blocking.serve(Shop(), "pb://127.0.0.1:0")
connection = blocking.connect(server.addresses[0])
connection.serve_callbacks(in_thread=True)
print(connection.root.callRemote("call_back", broker.callback(lambda: 3), "call"))
rows = iter(connection.root.callRemote("rows", 100000))
print(next(rows))
""",
    ],
)
def test_no_thread_is_left_at_exit(program: str) -> None:
    """At exit everything is closed, and the threads end, also if the program closes nothing."""
    assert run(AT_EXIT + program).splitlines()[-1] == "left: []"


class Asking(Shop):
    """Calls the client, and notes what it returns."""

    async def remote_ask(self, there: Any) -> None:
        """Call the client."""
        self.note(await there.callRemote("work"))


def test_exit_drains() -> None:
    """At exit a running call of the peer has a second to end, and its answer is sent."""
    here = Asking()
    with blocking.serve(here, "pb://127.0.0.1:0", drain=0) as server:
        program = f"""
        import asyncio, threading
        import broker
        from broker import blocking

        class Slow(broker.Referenceable):
            async def remote_work(self):
                began.set()
                await asyncio.sleep(0.1)
                return "done"

        began = threading.Event()
        blocking.connect({server.addresses[0]!r}).root.send("ask", Slow())
        began.wait()
        """
        run(program)
        here.until("done")


def test_exit_does_not_wait_for_ever() -> None:
    """A callback that does not end delays the exit for a few seconds only."""
    program = """
    import threading
    import broker
    from support.shop import Shop
    from broker import blocking
    began = threading.Event()
    def stuck():
        began.set()
        threading.Event().wait()
    server = blocking.serve(Shop(), "pb://127.0.0.1:0")
    connection = blocking.connect(server.addresses[0])
    connection.serve_callbacks(in_thread=True)
    connection.root.send("call_back", broker.callback(stuck), "call")
    began.wait()
    print("end")
    """
    assert run(program) == "end\n"


LOOPS_THREAD = "blocking.{} in the loop's thread would wait for itself; use {}"


async def nothing() -> None:
    """Return None."""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_in_the_thread_of_the_loop(dialect: str) -> None:
    """Each wait in the thread of the loop is a RuntimeError that says what to use there."""
    with shop(dialect) as (_, connection):
        rows = iter(connection.root.callRemote("rows", 3))
        address = connection.connection.broker.peer.address
        misuses: list[tuple[str, str, Callable[[], Any]]] = [
            ("connect", "broker.connect", lambda: blocking.connect(str(address))),
            ("serve", "broker.serve", lambda: blocking.serve(Shop())),
            (
                "callRemote",
                "reference.callRemote",
                lambda: connection.root.callRemote("echo", 1),
            ),
            ("run", "await", lambda: connection.run(nothing())),
            ("iterate", "async for", lambda: next(rows)),
            ("Stream.close", "its async iterator", rows.close),
            ("close", "connection.close", connection.close),
            ("wait_closed", "connection.wait_closed", connection.wait_closed),
            ("serve_callbacks", "connection.wait_closed", connection.serve_callbacks),
        ]
        for what, instead, misuse in misuses:
            with pytest.raises(RuntimeError) as caught:
                in_loop(misuse)
            assert str(caught.value) == LOOPS_THREAD.format(what, instead)
        # What does not wait is allowed there.
        in_loop(lambda: connection.root.send("hear", 1))
        assert in_loop(blocking.loop) is blocking.loop()
        assert list(rows) == [0, 1, 2]


async def test_in_a_coroutine_of_another_loop(unwarned: None) -> None:
    """A coroutine may wait; that blocks its loop, of which one RuntimeWarning a process tells."""
    with pytest.warns(RuntimeWarning) as caught, shop() as (_, connection):
        assert connection.root.callRemote("echo", 1) == 1
    (warning,) = caught
    assert str(warning.message) == (
        "blocking.serve in a coroutine blocks the loop that runs it; use broker.serve"
    )
    assert "shop.py" in warning.filename


async def test_the_warning_names_the_line(unwarned: None) -> None:
    """The warning is of the line that waits."""
    with pytest.warns(RuntimeWarning) as caught, pytest.raises(broker.ConnectError):
        blocking.connect("pb://127.0.0.1:1")
    assert caught[0].filename == __file__


async def test_in_a_notebook(unwarned: None) -> None:
    """A cell of a notebook, which runs inside a loop, waits without a warning."""
    cells = [
        "with shop() as (_, connection): result = connection.root.callRemote('echo', 1)",
        "def work():\n    with shop() as (_, connection): pass\nwork()",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cell in cells:
            names: dict[str, Any] = {"shop": shop}
            exec(compile(cell, "<cell>", "exec"), names)
    assert not _process.has_warned


async def test_in_a_thread_of_a_loop_that_runs_elsewhere(unwarned: None) -> None:
    """A thread beside a running loop waits without a warning."""

    def work() -> Any:
        with shop() as (_, connection):
            return connection.root.callRemote("echo", 2)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await asyncio.to_thread(work) == 2


def test_an_exit_in_the_loop_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """SystemExit in code of the loop is logged, and the loop runs on."""

    def leave() -> None:
        raise SystemExit

    blocking.loop().call_soon_threadsafe(leave)
    with shop() as (_, connection):
        assert connection.root.callRemote("echo", 1) == 1
    assert "SystemExit" in caplog.text


def test_a_task_that_is_dropped_runs_to_its_end() -> None:
    """A task that no one waits for is held until it has ended."""
    ended = threading.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        ended.set()

    background("x", "y").begin(work)
    assert ended.wait(20)


def test_a_fork() -> None:
    """In a forked child the objects of the parent refuse, and a new connection works."""
    program = """
    import os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    from support.shop import Shop, shop
    import broker
    from broker import blocking

    FORKED = "this process was forked after broker.blocking had started; connect in the child"

    async def nothing():
        pass

    def refused(function):
        try:
            function()
        except RuntimeError as error:
            assert str(error) == FORKED, error
        else:
            raise AssertionError(function)

    with blocking.serve(Shop(), "pb://127.0.0.1:0") as server:
        with blocking.connect(server.addresses[0]) as connection:
            root = connection.root
            rows = iter(root.callRemote("rows", 1000))
            print(root.callRemote("echo", "before"), flush=True)
            child = os.fork()
            if not child:
                status = 1
                try:
                    for use in (
                        lambda: root.callRemote("echo", 1),
                        lambda: root.send("hear", 1),
                        lambda: next(rows),
                        lambda: connection.run(nothing()),
                        lambda: connection.serve_callbacks(),
                        connection.close,
                        connection.wait_closed,
                        server.close,
                    ):
                        refused(use)
                    with blocking.connect(server.addresses[0]) as own:
                        print(own.root.callRemote("echo", "child"), flush=True)
                    with shop() as (_, other):
                        print(other.root.callRemote("echo", "its own"), flush=True)
                    del rows, root
                    status = 0
                finally:
                    blocking.loop()
                    sys.stdout.flush()
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            print(root.callRemote("echo", "after"), len(list(rows)))
    """
    assert run(program).splitlines() == ["before", "child", "its own", "after 1000"]


def test_a_forked_child_that_leaves_the_blocks_of_its_parent() -> None:
    """There the end of a block does nothing, so that it hides no exception, and the child exits."""
    program = """
    import os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    from support.shop import shop
    with shop() as (here, connection):
        with iter(connection.root.callRemote("rows", 1000)) as rows:
            next(rows)
            child = os.fork()
            if not child:
                sys.exit(5)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            print(sum(rows))
        print(connection.root.callRemote("echo", "after"))
    """
    assert run(program).split() == ["5", "499500", "after"]
