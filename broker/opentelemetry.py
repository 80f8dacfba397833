"""Traces by OpenTelemetry: an observer that makes spans of calls and streams.

Theory of operation. The span of an outgoing call begins before the call is encoded, and its context
goes along in the metadata of the call, as W3C trace context. The span of an incoming call is that
of its method, whose contextvars are of this call alone: so nothing has to be taken back.

Needs the package opentelemetry-api: the extra ``opentelemetry``. Without an SDK nothing is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from broker.config_error import ConfigError
from broker.connection.peer import Call
from broker.core.tracer import Outcome
from broker.failure import Failure
from broker.observers import ObservedStream, Observer
from broker.printable import printable, text_of_value

try:
    from opentelemetry import baggage as _baggage
    from opentelemetry import context as _context
    from opentelemetry import trace as _trace
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise ConfigError(
        "broker.opentelemetry needs the package opentelemetry-api:"
        " install perspective-broker[opentelemetry]"
    ) from error

__all__ = ["Tracing"]

_SYSTEM = "perspective_broker"
_OTHER = "_OTHER"
_KEYS = ("traceparent", "tracestate", "baggage")
_PREFIXES = ("remote_", "perspective_", "view_")
_LONGEST = 100

# The grammars of W3C's Trace Context and Baggage. A value of metadata has 512 characters at most.
_MOST_STATES = 32
_is_state = re.compile(
    r"(?:[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}|[a-z][a-z0-9_*/-]{0,255})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
).fullmatch
_KEY = r"[ \t]*[\x21\x23-\x27*+.0-9A-Z^-z|~-]+[ \t]*"
_VALUE = r"[ \t]*(?:[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+[ \t]*)?"
_is_baggage = re.compile(f"{_KEY}={_VALUE}(?:;{_KEY}(?:={_VALUE})?)*").fullmatch

_trace_context = TraceContextTextMapPropagator()
_baggage_context = W3CBaggagePropagator()


class Tracing(Observer):
    """Makes a span of each call and each stream; pass it to ``serve`` and ``connect``.

    ::

        broker.serve(…, observers=[broker.opentelemetry.Tracing()])
        broker.connect(…, observers=[broker.opentelemetry.Tracing()])

    An outgoing call is a CLIENT span, from its sending to its outcome. An incoming call is a SERVER
    span around its method, which is the current span there. Its parent is that of ``traceparent``
    in the metadata of the call. If that says that the trace is not sampled, there is no SERVER
    span, and the calls of the method belong to the same trace. The names of spans are ``CONTRACT/
    METHOD``, or with the class of the object where there is no contract.

    Args:
        tracer_provider: makes the tracer; default the global one.
    """

    def __init__(self, tracer_provider: _trace.TracerProvider | None = None):
        self._tracer = _trace.get_tracer("broker", tracer_provider=tracer_provider)
        # The spans of calls that are being sent, and of those that have not ended.
        self._spans: dict[Call, _trace.Span] = {}
        self._streams: dict[ObservedStream, _trace.Span] = {}

    # Outgoing calls.

    def before_call(self, call: Call) -> Mapping[str, str]:
        """Begin the span of a call, and return what names it for the peer."""
        span = self._tracer.start_span(
            _name_of(call), kind=_trace.SpanKind.CLIENT, attributes=_attributes(call)
        )
        self._spans[call] = span
        return _carried(_with(span, _context.get_current()))

    def not_sent(self, call: Call, error: BaseException | None) -> None:
        """End the span of a call that could not be sent; drop that of one that is sent later."""
        span = self._spans.pop(call, None)
        if error is not None:
            self._end(span, Outcome.NOT_RUN, error)

    # All calls.

    def call_started(self, call: Call) -> _trace.Span | None:
        """Begin the span of an incoming call, and make it the current one."""
        if not call.is_incoming:
            return self._spans.get(call)
        parent = _parent_of(call.meta)
        remote = _trace.get_current_span(parent).get_span_context()
        if remote.is_valid and not remote.trace_flags.sampled:
            _context.attach(parent)
            return None
        span = self._tracer.start_span(
            _name_of(call),
            context=parent,
            kind=_trace.SpanKind.SERVER,
            attributes=_attributes(call),
        )
        self._spans[call] = span
        _context.attach(_with(span, parent))
        return span

    def call_ended(
        self, token: _trace.Span | None, call: Call, outcome: Outcome, error: object
    ) -> None:
        """End the span."""
        self._spans.pop(call, None)
        self._end(token, outcome, error)

    # Streams.

    def stream_opened(self, stream: ObservedStream) -> None:
        """Begin the span of a stream."""
        call = stream.call
        of_call = None if call is None else self._spans.get(call)
        context = _context.get_current()
        if of_call is not None:
            context = _trace.set_span_in_context(of_call, context)
        above = _trace.get_current_span(context).get_span_context()
        if above.is_valid and not above.trace_flags.sampled:
            return
        name = printable(stream.name, _LONGEST) if call is None else _name_of(call)
        attributes: dict[str, Any] = {} if call is None else _attributes(call)
        attributes["rpc.system.name"] = _SYSTEM
        attributes["pb.stream.direction"] = "received" if stream.is_incoming else "sent"
        span = self._tracer.start_span(f"{name} stream", context=context, attributes=attributes)
        self._streams[stream] = span
        if not stream.is_incoming:
            # In the context of the code that makes the items.
            _context.attach(_with(span, context))

    def stream_ended(self, stream: ObservedStream, outcome: Outcome, error: object) -> None:
        """End it, with the counts of items and bytes."""
        span = self._streams.pop(stream, None)
        if span is not None:
            span.set_attribute("pb.stream.items", stream.items)
            span.set_attribute("pb.stream.bytes", stream.bytes)
            # It is not an error that a reader has enough.
            if outcome is Outcome.CANCELLED:
                outcome = Outcome.ANSWERED
            self._end(span, outcome, error)

    def _end(self, span: _trace.Span | None, outcome: Outcome, error: object) -> None:
        if span is None:
            return
        if outcome is not Outcome.ANSWERED and span.is_recording():
            span.set_attribute("error.type", _error_type(outcome, error))
            span.set_status(_trace.StatusCode.ERROR)
        span.end()


def _with(span: _trace.Span, context: _context.Context) -> _context.Context:
    """Return a context with a span; the same one if the span has no ids, as without an SDK."""
    has_ids = span.get_span_context().is_valid
    return _trace.set_span_in_context(span, context) if has_ids else context


def _carried(context: _context.Context) -> dict[str, str]:
    """Return what a context is for the peer, the most important first."""
    carrier: dict[str, str] = {}
    _trace_context.inject(carrier, context)
    if _baggage.get_all(context):
        _baggage_context.inject(carrier, context)
    return {key: carrier[key] for key in _KEYS if carrier.get(key)}


def _parent_of(meta: Mapping[str, str] | None) -> _context.Context:
    """Return the context that the metadata of a peer names; an empty one for what is malformed."""
    context = _context.Context()
    carrier = _checked(meta) if meta else {}
    if carrier:
        context = _trace_context.extract(carrier, context)
        context = _baggage_context.extract(carrier, context)
    return context


def _checked(meta: Mapping[str, str]) -> dict[str, str]:
    """Return what metadata says of a trace, without what is malformed.

    OpenTelemetry would log that with a warning, which has the text of the peer.
    """
    carrier = {key: meta[key] for key in _KEYS if key in meta}
    states = [each.strip(" \t") for each in carrier.pop("tracestate", "").split(",")]
    states = [each for each in states if each]
    keys = {each.partition("=")[0] for each in states}
    if 0 < len(states) == len(keys) <= _MOST_STATES and all(map(_is_state, states)):
        carrier["tracestate"] = ",".join(states)
    entries = carrier.pop("baggage", "").split(",")
    entries = [each.strip(" \t") for each in entries if _is_baggage(each)]
    if entries:
        carrier["baggage"] = ",".join(entries)
    return carrier


def _name_of(call: Call) -> str:
    """Return the name of the spans of a call, which a peer can choose among methods only."""
    owner = call.contract or ("" if call.target is None else call.target.__name__)
    method = _method_of(call)
    return f"{owner}/{method}" if owner else method


def _method_of(call: Call) -> str:
    if call.is_incoming:
        found = (getattr(call.target, f"{prefix}{call.name}", None) for prefix in _PREFIXES)
        if call.target is None or not any(map(callable, found)):
            return _OTHER
    return printable(call.name, _LONGEST)


def _attributes(call: Call) -> dict[str, Any]:
    made: dict[str, Any] = {"rpc.system.name": _SYSTEM, "rpc.method": _method_of(call)}
    broker = call.connection.broker
    own = None if broker.transport is None else broker.transport.getHost()
    there = call.peer.address
    server, client = (own, there) if call.is_incoming else (there, own)
    ends: tuple[tuple[Any, str], ...] = ((server, "server"), (client, "client"))
    for end, name in ends:
        if getattr(end, "host", None) is not None:
            made[f"{name}.address"] = printable(end.host, _LONGEST)
            if name == "server":
                made["server.port"] = end.port
    return made


def _error_type(outcome: Outcome, error: object) -> str:
    if error is None:
        return outcome.value
    parents = Failure.of(error).parents
    return printable(text_of_value(parents[0], _LONGEST + 1), _LONGEST) if parents else _OTHER
