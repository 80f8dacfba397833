"""Hostile metadata: many keys, large values, a forged trace, text for the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.effort import units
from support.spans import Kept

import broker
from broker.connection.peer import Call, by_names
from broker.core.policy import PUBLISHED, STRICT
from broker.once_calls import call_with_meta
from broker.opentelemetry import Tracing

each_policy = pytest.mark.parametrize("policy", [STRICT, PUBLISHED], ids=["strict", "published"])
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
MEMBERS = [",=", "a=1,a=2", "a=b=c", "=;", "a=1;=", "%", ",".join(f"k{n}=1" for n in range(33))]
HOSTILE = [
    *MEMBERS,
    "\n",
    "\r\nERROR forged",
    "\x1b[2J",
    "\u2028",
    "\x00",
    "\u202e",
    "٠" * 32,
    "x" * 512,
]
FULL = {f"x-{number}": "v" * 512 for number in range(8)}


class Shop(broker.Root):
    """Tells what it gets of the metadata."""

    def remote_meta(self) -> dict[str, str]:
        """Return it by its names."""
        return dict(broker.current_call().metadata)

    async def remote_async(self) -> dict[str, str]:
        """Return it in a task."""
        return dict(broker.current_call().metadata)

    def remote_sent(self) -> dict[str, str]:
        """Return it as it was sent."""
        return dict(broker.current_call().meta or {})


@asynccontextmanager
async def attacked(policy: broker.Policy, *observers: Any) -> AsyncIterator[Any]:
    """Return the connection of an attacker to a server with observers."""
    async with (
        broker.serve(Shop(), "pb://127.0.0.1:0", policy=policy, observers=observers) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        yield connection


@each_policy
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("key", ["traceparent", "tracestate", "baggage", "x-request-id"])
async def test_hostile_values(
    policy: broker.Policy, key: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The call runs, in a trace of its own; the log has one line, and nothing is kept."""
    caplog.set_level(logging.INFO)
    kept = Kept()
    async with attacked(policy, kept.tracing, broker.LogCalls()) as connection:
        for meta in ({key: text}, {"traceparent": PARENT, key: text}):
            assert set((await call_with_meta(connection.root, meta, "sent")).values()) >= {text}
    assert len(kept.spans) == 2
    assert kept.tracing._spans == {}
    told = [record for record in caplog.records if record.name == "broker.calls"]
    assert len(told) == 2
    for record in told:
        facts: Any = record.facts  # type: ignore[attr-defined]
        assert record.getMessage().isprintable()
        assert all(str(value).isprintable() for value in facts.values())
        assert len(str(facts)) < 600
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert all("forged" not in span.to_json() for span in kept.spans)


@each_policy
async def test_full_metadata(policy: broker.Policy) -> None:
    """Eight entries of 512 characters are taken; a trace among them is found."""
    kept = Kept()
    full = {**dict(list(FULL.items())[:7]), "traceparent": PARENT}
    async with attacked(policy, kept.tracing) as connection:
        for name in ("meta", "async"):
            assert len(await call_with_meta(connection.root, FULL, name)) == 8
            assert len(await call_with_meta(connection.root, full, name)) == 7
    parents = [span.parent and f"{span.parent.trace_id:032x}" for span in kept.spans]
    assert sorted(map(str, parents)) == sorted(["None", "None", TRACE, TRACE])


async def test_names_that_meet() -> None:
    """Keys that the library has no name for are no metadata of the application."""
    assert by_names({"a": "1", "x-": "2", "x-a-b": "3", "xa": "4"}) == {"": "2", "a_b": "3"}
    async with attacked(STRICT) as connection:
        meta = {"x-a": "1", "once-more": "2", "x-a-b": "3"}
        assert await call_with_meta(connection.root, meta, "meta") == {"a": "1", "a_b": "3"}


async def test_one_traceparent_for_many_calls() -> None:
    """Calls that claim one parent, and one that claims our own span, make spans of their own."""
    kept = Kept()
    async with attacked(STRICT, kept.tracing) as connection:
        root = connection.root
        for _ in range(50):
            await call_with_meta(root, {"traceparent": PARENT}, "meta")
        own: Any = kept.spans[0].get_span_context()
        forged = f"00-{own.trace_id:032x}-{own.span_id:016x}-01"
        await call_with_meta(root, {"traceparent": forged}, "meta")
    ids = {span.get_span_context().span_id for span in kept.spans}  # type: ignore[union-attr]
    assert len(ids) == len(kept.spans) == 51


async def test_spans_of_calls_that_never_end() -> None:
    """They go with their connection."""
    kept = Kept()

    class Waits(broker.Root):
        async def remote_wait(self) -> None:
            await asyncio.Event().wait()

    policy = STRICT.but(max_calls=100)
    async with broker.serve(
        Waits(), "pb://127.0.0.1:0", policy=policy, observers=[kept.tracing]
    ) as server:
        connection = await broker.connect(server.addresses[0])
        calls = [
            call_with_meta(connection.root, {"traceparent": PARENT}, "wait") for _ in range(150)
        ]
        for call in calls:
            call.addErrback(lambda _: None)
        while len(kept.tracing._spans) < 100 or len(kept.spans) < 50:
            await asyncio.sleep(0)
        assert len(kept.tracing._spans) == 100
        await connection.close()
        while len(kept.spans) < 150:
            await asyncio.sleep(0)
    assert kept.tracing._spans == {}


def test_the_effort_of_hostile_metadata() -> None:
    """The largest metadata costs tracing and the log at most a few times as much as a good one."""
    kept = Kept()
    connection: Any = None

    def effort(meta: dict[str, str]) -> float:
        from broker.observers import _request_id, _trace_id
        from broker.opentelemetry import _parent_of

        def work() -> None:
            call = Call(connection, connection, "meta", meta=meta)
            _request_id(call), _trace_id(call), _parent_of(meta)

        work()
        return units(work)

    good = effort({"traceparent": PARENT, "tracestate": "a=1", "x-request-id": "r-1"})
    for text in (
        ",=" * 256,
        "a=" + " " * 509 + "\x00",
        "a=," * 170,
        ";" * 512,
        "0" * 512,
        f"{PARENT}-" + "-" * 450,
    ):
        bad = {"traceparent": text, "tracestate": text, "baggage": text, "x-request-id": text}
        assert effort({**bad, "traceparent": PARENT}) < 60 * good
        assert effort(bad) < 60 * good
    assert isinstance(kept.tracing, Tracing)
