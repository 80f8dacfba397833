"""``pb call`` of a method that returns a stream: each item is one line, printed when it comes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.runner import Runner
from support.terminal import at_a_terminal

import broker
from broker.commands.call import call


async def run(
    target: Any,
    *arguments: str,
    policy: broker.Policy = broker.STRICT,
) -> tuple[int, str, str]:
    """Call a method of a server that runs meanwhile; return status, output and errors."""
    async with broker.serve(target, "pb://127.0.0.1:0", policy=policy) as server:
        command = [server.addresses[0], *arguments]
        result = await asyncio.to_thread(Runner().invoke, call, command)
    return result.exit_code, result.stdout, result.stderr


def shared(levels: int) -> Any:
    """Return a list that holds another one twice, and so on."""
    inner: Any = [1, 2]
    for _ in range(levels - 1):
        inner = [inner, inner]
    return inner


class Plain(broker.Root):
    """Has no stream."""

    def remote_both(self) -> dict[str, int]:
        """Return a dict."""
        return {}


class Feed(broker.Root):
    """Has methods that return streams."""

    def __init__(self) -> None:
        self.ended = 0
        self.closed = asyncio.Event()
        self.go_on = asyncio.Event()

    async def remote_items(self, items: list[Any], error: str | None = None) -> AsyncIterator[Any]:
        """Yield each, then raise."""
        for item in items:
            # Each item comes in a turn of its own.
            await asyncio.sleep(0)
            yield item
        if error is not None:
            raise broker.Error(error)

    async def remote_count(self, waits: bool = False) -> AsyncIterator[int]:
        """Count, without an end; perhaps wait before each number."""
        try:
            number = 0
            while True:
                yield number
                number += 1
                if waits:
                    await self.go_on.wait()
        finally:
            self.ended += 1
            self.closed.set()

    async def remote_bytes(self) -> AsyncIterator[bytes]:
        """Yield bytes."""
        yield b"\xff"


DIALECTS = ("msgpack/1", "pb")


def dialect_and_option(dialect: str) -> tuple[broker.Policy, tuple[str, ...]]:
    """Return the policy of a server with a dialect, and the option to call its streams with."""
    return broker.STRICT.but(dialects=(dialect,)), ("--stream",) if dialect == "pb" else ()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream(dialect: str) -> None:
    """The items of a stream are JSON, one a line."""
    policy, options = dialect_and_option(dialect)
    items = '[1, "a\\nb\\u001b", [1, {"x": [], "y": null}], {}]'
    status, printed, errors = await run(Feed(), "items", items, *options, policy=policy)
    assert (status, errors) == (0, "")
    assert printed == '1\n"a\\nb\\u001b"\n[1, {"x": [], "y": null}]\n{}\n'
    assert [json.loads(line) for line in printed.splitlines()] == json.loads(items)


async def test_an_empty_stream() -> None:
    """A stream without items prints nothing."""
    assert await run(Feed(), "items", "[]") == (0, "", "")


async def test_bytes_of_a_stream() -> None:
    """Items have the forms that answers have."""
    assert await run(Feed(), "bytes") == (0, '"/w=="\n', "")


async def test_an_error_behind_items() -> None:
    """The items before an error are printed, then the error; the status is 1."""
    status, printed, errors = await run(Feed(), "items", "[1, 2]", '"sold out"')
    assert (status, printed, errors) == (1, "1\n2\n", "Error: sold out\n")


async def test_an_item_that_is_cut() -> None:
    """An item in which one list occurs many times is cut, and that is told once."""
    status, printed, errors = await run(Shared(), "items")
    assert status == 0
    assert [json.loads(line)[-1] for line in printed.splitlines()] == ["… 131,072 more"] * 2
    assert errors == "pb call: the answer is cut; --all prints all of it\n"


class Shared(broker.Root):
    """Has a stream of lists that are small as a message."""

    async def remote_items(self) -> AsyncIterator[Any]:
        """Yield two."""
        yield shared(18)
        yield shared(18)


@pytest.mark.parametrize("method", ["both", "wait"])
async def test_no_stream(method: str) -> None:
    """With --stream another answer is an error."""
    target = Plain() if method == "both" else Feed()
    status, printed, errors = await run(target, method, "--stream")
    assert (status, printed) == (1, "")
    assert errors.startswith(
        "Error: the answer is of type dict, not a stream" if method == "both" else "NoSuchMethod"
    )


async def test_many_items() -> None:
    """A stream that is faster than the output is printed whole, and in order."""
    items = list(range(30_000))
    status, printed, _ = await run(Many(), "items")
    assert status == 0
    assert [int(line) for line in printed.splitlines()] == items


class Many(broker.Root):
    """Has a long stream."""

    async def remote_items(self) -> AsyncIterator[int]:
        """Yield 30,000 numbers."""
        for number in range(30_000):
            yield number


async def streaming(server: broker.Server, *arguments: str) -> asyncio.subprocess.Process:
    """Start ``pb call`` of the stream without an end as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "broker", "call", server.addresses[0], "count", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def line_of(process: asyncio.subprocess.Process) -> bytes:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    return await asyncio.wait_for(process.stdout.readline(), 30)


async def test_items_come_one_by_one() -> None:
    """An item is printed before the next one comes, and after the time limit of the call, too."""
    feed = Feed()
    async with broker.serve(feed, "pb://127.0.0.1:0") as server:
        process = await streaming(server, "true", "--timeout", "0.5")
        assert await line_of(process) == b"0\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 1.0)
        feed.go_on.set()
        assert await line_of(process) == b"1\n"
        process.send_signal(signal.SIGINT)
        await process.communicate()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("waits", ["true", "false"])
async def test_a_stream_is_interrupted(dialect: str, waits: str) -> None:
    """Ctrl-C stops a stream at the server, whose generator is closed once; the status is 130."""
    policy, options = dialect_and_option(dialect)
    feed = Feed()
    async with broker.serve(feed, "pb://127.0.0.1:0", policy=policy) as server:
        process = await streaming(server, waits, *options)
        assert await line_of(process) == b"0\n"
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        await asyncio.wait_for(feed.closed.wait(), 30)
    assert (process.returncode, errors, feed.ended) == (130, b"", 1)


async def test_a_reader_that_goes_away() -> None:
    """If the reader of the output ends, so does the stream at the server, and the command."""
    feed = Feed()
    async with broker.serve(feed, "pb://127.0.0.1:0") as server:
        process = await asyncio.create_subprocess_shell(
            f"{sys.executable} -m broker call {server.addresses[0]} count false | head -n 2",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, errors = await asyncio.wait_for(process.communicate(), 30)
        await asyncio.wait_for(feed.closed.wait(), 30)
    assert (printed, errors, feed.ended) == (b"0\n1\n", b"", 1)


async def test_a_server_that_goes_away() -> None:
    """If the connection ends in the middle of a stream, the status is 3, after the items."""
    feed = Feed()
    async with broker.serve(feed, "pb://127.0.0.1:0") as server:
        process = await streaming(server, "true")
        assert await line_of(process) == b"0\n"
        await server.close(drain=0)
        printed, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, printed) == (3, b"")
    assert errors.startswith(b"pb call: ")
    assert feed.ended == 1


async def test_a_stream_at_a_terminal(tmp_path: Path) -> None:
    """At a terminal an item that is a text keeps its quotes: each line is JSON."""
    async with broker.serve(Feed(), "pb://127.0.0.1:0") as server:
        command = [
            sys.executable,
            "-m",
            "broker",
            "call",
            server.addresses[0],
            "items",
            '["a", [1]]',
        ]
        seen = await asyncio.to_thread(at_a_terminal, command, tmp_path, os.environ, {})
    assert seen == ('"a"\n[1]\n', 0)
