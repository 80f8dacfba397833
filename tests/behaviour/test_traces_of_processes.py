"""One trace over three processes, each with the SDK of OpenTelemetry and its exporter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.programs import command, environment
from support.traced_relay import provider

import broker


@asynccontextmanager
async def relay(spans: Path, *behind: str) -> AsyncIterator[str]:
    """Run a relay as a process, and return its address."""
    program = await asyncio.create_subprocess_exec(
        *command("support.traced_relay", str(spans), *behind),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert program.stdin is not None and program.stdout is not None
    try:
        address = (await program.stdout.readline()).decode().strip()
        assert address
        yield address
    finally:
        program.stdin.close()
        assert await program.wait() == 0


def read(*files: Path) -> list[dict[str, Any]]:
    """Return the spans of all processes."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def chain(spans: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return process, kind and name of the spans of one trace, each the parent of the next."""
    assert len({span["context"]["trace_id"] for span in spans}) == 1
    by_parent = {span["parent_id"]: span for span in spans}
    assert len(by_parent) == len(spans)
    found, above = [], None
    while (span := by_parent.get(above)) is not None:
        kind = span["kind"].removeprefix("SpanKind.")
        found.append((span["resource"]["attributes"]["service.name"], kind, span["name"]))
        above = span["context"]["span_id"]
    assert len(found) == len(spans)
    return found


async def traced(folder: Path, work: Any) -> list[dict[str, Any]]:
    """Return the spans of what a client does with a server that asks another one."""
    names = [folder / f"{name}.json" for name in ("client", "front", "back")]
    with names[0].open("w") as file:
        own = provider("client", file)
        async with relay(names[2]) as back, relay(names[1], back) as front:
            observers = [broker.opentelemetry.Tracing(own)]
            async with broker.connect(front, observers=observers) as connection:
                await work(connection.root)
        own.shutdown()
    return read(*names)


async def test_a_call(tmp_path: Path) -> None:
    """The span of each end is the child of the one before it, over both servers."""

    async def work(root: Any) -> None:
        assert await root.callRemote("ask", "a secret") == "a secret"

    spans = await traced(tmp_path, work)
    assert chain(spans) == [
        ("client", "CLIENT", "ask"),
        ("front", "SERVER", "Relay/ask"),
        ("front", "CLIENT", "ask"),
        ("back", "SERVER", "Relay/ask"),
    ]
    assert {span["status"]["status_code"] for span in spans} == {"UNSET"}
    assert all(span["start_time"] < span["end_time"] for span in spans)
    assert "secret" not in str(spans)


async def test_an_error(tmp_path: Path) -> None:
    """Each span on its way has its type and no text of it."""

    async def work(root: Any) -> None:
        with pytest.raises(broker.Error, match="not here"):
            await root.callRemote("fail")

    spans = await traced(tmp_path, work)
    assert len(chain(spans)) == 4
    assert {span["status"]["status_code"] for span in spans} == {"ERROR"}
    assert {span["attributes"]["error.type"] for span in spans} == {"twisted.spread.pb.Error"}
    assert "not here" not in str(spans)


async def test_a_call_on_a_promise(tmp_path: Path) -> None:
    """A pipelined call, which is sent before its target is known, has its own span and parent."""

    async def work(root: Any) -> None:
        assert await root.callRemote("next").callRemote("ask", "b") == "b"

    spans = await traced(tmp_path, work)
    traces = {span["context"]["trace_id"]: span["name"] for span in spans if not span["parent_id"]}
    assert sorted(traces.values()) == ["ask", "next"]
    for trace, name in traces.items():
        found = chain([span for span in spans if span["context"]["trace_id"] == trace])
        assert found[:2] == [("client", "CLIENT", name), ("front", "SERVER", f"Relay/{name}")]
        assert len(found) == (4 if name == "ask" else 2)


async def test_a_stream(tmp_path: Path) -> None:
    """The spans of streams belong to the trace, with their items; there is none for each item."""

    async def work(root: Any) -> None:
        assert [item async for item in await root.callRemote("count", 50)] == list(range(50))

    spans = await traced(tmp_path, work)
    assert len({span["context"]["trace_id"] for span in spans}) == 1
    streams = [span for span in spans if span["name"].endswith("stream")]
    assert len(streams) == 4 and len(spans) == 8
    assert {span["attributes"]["pb.stream.items"] for span in streams} == {50}
    assert min(span["attributes"]["pb.stream.bytes"] for span in streams) >= 50
    parents = {span["context"]["span_id"]: span["name"] for span in spans}
    assert all(parents[span["parent_id"]].endswith("count") for span in streams)
    # The front server calls the back one while it makes the items of its own stream.
    [inner] = [
        span
        for span in spans
        if (span["kind"], span["parent_id"]) != ("SpanKind.CLIENT", None)
        and span["kind"] == "SpanKind.CLIENT"
    ]
    assert parents[inner["parent_id"]] == "Relay/count stream"


async def test_a_call_without_an_answer(tmp_path: Path) -> None:
    """It belongs to the trace as well."""

    async def work(root: Any) -> None:
        root.send("hear", "c")
        await root.callRemote("ask", "d")

    spans = await traced(tmp_path, work)
    mine = [span for span in spans if span["name"].endswith("hear")]
    assert [name for _, _, name in chain(mine)] == ["hear", "Relay/hear", "hear", "Relay/hear"]
