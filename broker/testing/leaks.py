"""Leaks: the entries of a connection's tables that the end of a test should not find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from broker.connection.broker import Broker

__all__ = ["Leak", "leaks_of"]


class Leak(NamedTuple):
    """An object, call or task that one end of a connection still has.

    Attributes:
        end: ``"client"`` or ``"server"``.
        kind: ``"export"``, an object that the other end holds; ``"import"``, a reference to an
            object of the other end; ``"cacheable"`` and ``"cache"``, the same for the state of a
            Cacheable; ``"stream"``, one that this end produces or reads; ``"call"``, one without an
            answer; ``"method"``, one that runs for the other end; ``"task"``, a method that runs
            on after its connection has ended, or a generator after its stream was stopped.
        name: the class of the object, or the name of the method.
        number: the id in the conversation; see `broker.testing.record`. 0 for a task, and for a
            method whose caller wants no answer.
    """

    end: str
    kind: str
    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.end}: {self.kind} {self.number} {self.name}".replace(" 0 ", " ")


def leaks_of(
    end: str, broker: Broker, kept: frozenset[object], held: frozenset[object]
) -> list[Leak]:
    """Return the leaks of one end.

    Args:
        end: its name.
        broker: the end.
        kept: the ids of its objects that the other end holds as long as it is connected.
        held: the ids of the other end's objects that this end holds so.
    """
    found = [
        *_objects(broker, kept, held),
        *_streams(broker),
        *_calls(broker),
    ]
    return [Leak(end, *each) for each in found]


def _objects(
    broker: Broker, kept: frozenset[object], held: frozenset[object]
) -> Iterator[tuple[str, str, int]]:
    translator = broker.session.translator
    for number, entry in list(translator.exports.by_id.items()):
        # An object with a name is offered to the peer, and not sent.
        if isinstance(number, int) and entry.identity is not None and number not in kept:
            yield "export", _class_of(entry.value), number
    for key, weak in list(translator.imports._entries.items()):
        reference = weak()
        if isinstance(key[0], int) and key[0] not in held and reference is not None:
            yield "import", _class_of(reference), key[0]
    for number, published in list(translator.cacheables.by_id.items()):
        yield "cacheable", _class_of(published.value), number
    for number, received in list(translator.remote_caches.by_id.items()):
        value = received.value()
        yield "cache", "a cache that was collected" if value is None else _class_of(value), number


def _streams(broker: Broker) -> Iterator[tuple[str, str, int]]:
    streams = broker.session.translator.used_streams
    if streams is not None:
        for outgoing in list(streams.outgoing.values()):
            yield "stream", outgoing.name, outgoing.number
        for incoming in list(streams.incoming.values()):
            yield "stream", "RemoteStream", incoming.number
    producers = broker._producers
    if producers is not None:
        open_streams = () if streams is None else streams.outgoing.values()
        busy = {stream.producer for stream in open_streams}
        for producer in producers._sinks:
            if producer not in busy:
                yield "task", producer.name, 0


def _calls(broker: Broker) -> Iterator[tuple[str, str, int]]:
    for (number, _), name in zip(broker.calls.waiting.items(), broker.calls.names, strict=True):
        yield "call", name, number
    running = list(broker.session.incoming.running.values())
    for call in running:
        yield "method", call.name, call.request_id if call.wants_answer else 0
    if broker._running_methods is not None:
        for call in list(broker._running_methods._started):
            if call not in running:
                yield "task", call.name, 0


def _class_of(value: object) -> str:
    return type(value).__name__
