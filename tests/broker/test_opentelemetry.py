"""Traces: the spans of calls at both ends, and what goes along with a call."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import StatusCode
from support.spans import Kept
from support.ticket_office import DIALECTS
from support.traced_shop import PARENT, SPAN, TRACE, Shop, connected, current, key_of

import broker
from broker.once_calls import call_with_meta
from broker.opentelemetry import Tracing

LOOPBACK = "pb://127.0.0.1:0"
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@each_dialect
async def test_both_ends_of_a_call(dialect: str) -> None:
    """Each has a span; the server's is the current one in its method, and a child if it can be."""
    far, near = Kept(), Kept()
    async with connected(far, near, dialect) as connection:
        told = await connection.root.callRemote("plain", "a secret")
        three = await connection.root.callRemote("async", b"bytes", {1})
        port = connection.peer.address.port
    for name, seen in (("plain", [told]), ("async", three)):
        server, client = far.one(f"Shop/{name}"), near.one(name)
        assert set(seen) == {key_of(server)}
        assert (server.kind.name, client.kind.name) == ("SERVER", "CLIENT")
        assert client.parent is None
        if dialect == "msgpack/1":
            assert server.parent is not None
            assert server.parent.span_id == client.get_span_context().span_id  # type: ignore[union-attr]
            assert server.parent.is_remote
        else:
            assert server.parent is None
        for span in (server, client):
            facts = dict(span.attributes or {})
            assert facts["rpc.system.name"] == "perspective_broker"
            assert (facts["rpc.method"], facts["server.port"]) == (name, port)
            assert facts["server.address"] == "127.0.0.1"
            assert span.status.status_code is StatusCode.UNSET
            assert "secret" not in span.to_json()


@each_dialect
async def test_nothing_leaks(dialect: str) -> None:
    """A span is current in its method only; the code of the client keeps its own."""
    far, near = Kept(), Kept()
    async with connected(far, near, dialect) as connection:
        with near.provider.get_tracer("app").start_as_current_span("work") as work:
            before = current()
            calls = [connection.root.callRemote("plain") for _ in range(5)]
            assert len({await call for call in calls}) == 5
            assert current() == before
        parents = {s.parent.span_id for s in near.spans if s.name == "plain" and s.parent}
        assert parents == {work.get_span_context().span_id}
    assert len(near.spans) == 6
    assert (near.tracing._spans, far.tracing._spans) == ({}, {})


@each_dialect
async def test_errors(dialect: str) -> None:
    """A span has the type of the error; its text, which may be a secret, is nowhere."""
    far, near = Kept(), Kept()
    async with connected(far, near, dialect) as connection:
        for name in ("fail", "missing"):
            with pytest.raises((broker.NoSuchMethod, broker.RemoteError)):
                await connection.root.callRemote(name)
        waiting = connection.root.callRemote("wait")
        await asyncio.sleep(0)
        waiting.cancel()
        waiting.addErrback(lambda _: None)
    kinds = {s.name: dict(s.attributes or {})["error.type"] for s in far.spans}
    assert kinds["Shop/fail"] == "builtins.ValueError"
    # A name that no class has is text of the peer.
    assert kinds["Shop/_OTHER"] == "twisted.spread.flavors.NoSuchMethod"
    assert {s.status.status_code for s in near.spans} == {StatusCode.ERROR}
    assert dict(near.one("wait").attributes or {})["error.type"] == "cancelled"
    told = "".join(s.to_json() for s in (*far.spans, *near.spans))
    assert "secret" not in told
    assert "missing" not in "".join(s.to_json() for s in far.spans)


async def test_a_connection_that_is_lost() -> None:
    """The spans of calls that have not ended end with it."""
    far, near = Kept(), Kept()
    async with connected(far, near) as connection:
        call = connection.root.callRemote("wait")
        call.addErrback(lambda _: None)
        await connection.root.callRemote("self")
        connection.broker.port.abortConnection()
        await call
        await connection.wait_closed()
        while "Shop/wait" not in {span.name for span in far.spans}:
            await asyncio.sleep(0)
    assert dict(near.one("wait").attributes or {})["error.type"] == "lost"


@pytest.mark.parametrize(
    ("meta", "parent"),
    [
        ({"traceparent": PARENT}, (TRACE, SPAN)),
        ({"traceparent": f"cc-{TRACE}-{SPAN}-01-what-comes"}, (TRACE, SPAN)),
        ({"traceparent": PARENT, "tracestate": "bad=,=,"}, (TRACE, SPAN)),
        ({"traceparent": PARENT, "tracestate": "a=1,b=2", "baggage": "%%%=,;;"}, (TRACE, SPAN)),
        ({"tracestate": "a=1"}, None),
        *(
            ({"traceparent": bad}, None)
            for bad in (
                "",
                "x" * 512,
                f"ff-{TRACE}-{SPAN}-01",
                f"00-{'0' * 32}-{SPAN}-01",
                f"00-{TRACE}-{'0' * 16}-01",
                f"00-{TRACE.upper()}-{SPAN}-01",
                f"00-{TRACE}-{SPAN}",
                f"00-{TRACE}-{SPAN}-01-more",
                f"00-{TRACE[1:]}-{SPAN}-01",
                PARENT.replace("0a", "٠a"),
                PARENT + "\x00",
            )
        ),
    ],
)
async def test_the_parent(meta: dict[str, str], parent: tuple[str, str] | None) -> None:
    """It is the ``traceparent`` of the call; one that is malformed begins a new trace."""
    far = Kept()
    async with connected(far) as connection:
        await call_with_meta(connection.root, meta, "plain")
    found = far.one("Shop/plain").parent
    assert parent == (
        None if found is None else (f"{found.trace_id:032x}", f"{found.span_id:016x}")
    )


async def test_an_unsampled_parent() -> None:
    """It makes no span; the calls that the method makes belong to the same trace."""
    far = Kept()
    async with connected(far) as connection:
        meta = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
        assert await call_with_meta(connection.root, meta, "plain") == f"{TRACE}-{SPAN}-00"
        assert await call_with_meta(connection.root, meta, "async") == [f"{TRACE}-{SPAN}-00"] * 3
        stream = await call_with_meta(connection.root, meta, "count", (3,))
        assert [item async for item in stream] == [0, 1, 2]
    assert far.spans == ()


async def test_an_unsampled_caller() -> None:
    """Its calls have a traceparent that says so, and no end keeps a span."""
    far, near = Kept(), Kept(sampler=ParentBased(ALWAYS_OFF))
    async with connected(far, near) as connection:
        meta = await connection.root.callRemote("meta")
        assert int(meta["traceparent"][-2:], 16) & trace.TraceFlags.SAMPLED == 0
    assert (far.spans, near.spans) == ((), ())


async def test_without_an_sdk() -> None:
    """With the API package alone a trace is passed on, and nothing is kept."""
    observers = [Tracing(trace.NoOpTracerProvider())]
    async with (
        broker.serve(Shop(), LOOPBACK, observers=observers) as server,
        broker.connect(server.addresses[0], observers=observers) as connection,
    ):
        assert await connection.root.callRemote("meta") == {}
        parent = trace.SpanContext(int(TRACE, 16), int(SPAN, 16), True, trace.TraceFlags(1))
        token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
        try:
            assert await connection.root.callRemote("meta") == {"traceparent": PARENT}
        finally:
            context.detach(token)


async def test_a_tracer_without_ids() -> None:
    """The trace of the caller is passed on where a tracer makes no spans of its own."""

    class Tracer(trace.NoOpTracer):
        def start_span(self, *args: Any, **kw: Any) -> trace.Span:
            return trace.INVALID_SPAN

    class Provider(trace.NoOpTracerProvider):
        def get_tracer(self, *args: Any, **kw: Any) -> trace.Tracer:
            return Tracer()

    observers = [Tracing(Provider())]
    async with (
        broker.serve(Shop(), LOOPBACK, observers=observers) as server,
        broker.connect(server.addresses[0], observers=observers) as connection,
    ):
        ours = trace.SpanContext(int(TRACE, 16), int(SPAN, 16), True, trace.TraceFlags(1))
        token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(ours)))
        try:
            assert await connection.root.callRemote("meta") == {"traceparent": PARENT}
            assert await connection.root.callRemote("plain") == f"{TRACE}-{SPAN}-01"
        finally:
            context.detach(token)


async def test_the_state_of_a_trace() -> None:
    """The state and the baggage of the caller are those of the method; malformed parts are not."""
    far = Kept()
    async with connected(far) as connection:
        for state, bag, expected in (
            ("a=1,b@c=2", "tenant=a%20b,%%=,x", ("a=1,b@c=2", "a b")),
            (" a=1 ,, b=2", "tenant=a", ("a=1,b=2", "a")),
            ("a=1,a=2", "=;", ("", None)),
            ("a=1,B=2", "tenant", ("", None)),
        ):
            meta = {"traceparent": PARENT, "tracestate": state, "baggage": bag}
            assert await call_with_meta(connection.root, meta, "state") == expected


async def test_what_goes_along() -> None:
    """Baggage and the state of the trace do; metadata of the program comes before them."""
    near = Kept()
    async with connected(near, near) as connection:
        root = connection.root
        state = trace.TraceState([("vendor", "v")])
        parent = trace.SpanContext(
            int(TRACE, 16), int(SPAN, 16), True, trace.TraceFlags(1), trace_state=state
        )
        here = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        token = context.attach(baggage.set_baggage("tenant", "a b", here))
        try:
            assert await root.callRemote("bag") == "a b"
            ours = ["traceparent", "tracestate", "baggage"]
            assert sorted(await root.callRemote("meta")) == sorted(ours)
            for own in (5, 6, 7, 8):
                entries = {f"n{number}": "x" for number in range(own)}
                with broker.metadata(**entries):
                    meta = await root.callRemote("meta")
                assert {key for key in meta if not key.startswith("x-")} == set(ours[: 8 - own])
            # The first credit of streams takes a place of its own.
            with broker.metadata(**{f"n{n}": "x" for n in range(6)}), broker.credit(items=5):
                assert set(ours) & set(await root.callRemote("meta")) == {"traceparent"}
        finally:
            context.detach(token)
        # Too long for an entry: it is left out, and the call is made.
        token = context.attach(baggage.set_baggage("tenant", "x" * 600))
        try:
            assert list(await root.callRemote("meta")) == ["traceparent"]
        finally:
            context.detach(token)


async def test_a_parent_of_the_program() -> None:
    """A ``traceparent`` that the program sends by hand is not replaced."""
    near = Kept()
    async with connected(None, near) as connection:
        assert await call_with_meta(connection.root, {"traceparent": PARENT}, "meta") == {
            "traceparent": PARENT
        }


@pytest.mark.parametrize("raises", ["start_span", "end"])
async def test_a_tracer_that_raises(
    raises: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The calls go on."""
    far, near = Kept(), Kept()

    def fail(*args: Any, **kw: Any) -> Any:
        raise ZeroDivisionError

    for kept in (far, near):
        span = kept.provider.get_tracer("x").start_span("x")
        owner: Any = kept.tracing._tracer if raises == "start_span" else type(span)
        monkeypatch.setattr(owner, raises, fail)
    async with connected(far, near) as connection:
        for _ in range(3):
            await connection.root.callRemote("plain")
            assert [i async for i in await connection.root.callRemote("count", 2)] == [0, 1]
    assert [r.getMessage() for r in caplog.records] == ["the observer Tracing raised"] * 2


def test_without_the_package() -> None:
    """The error names the extra."""
    code = """
import sys
sys.modules["opentelemetry"] = None
import broker
try:
    broker.opentelemetry.Tracing
except broker.ConfigError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip().endswith("install perspective-broker[opentelemetry]")


def test_it_is_loaded_when_it_is_used() -> None:
    """A program that does not trace does not load OpenTelemetry."""
    code = "import sys, broker; broker.serve; print('opentelemetry' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
