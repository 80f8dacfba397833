"""A history, sorted by call, by party and by stream, for the rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from simulation.history import Event, History

__all__ = ["Call", "Rule", "Story", "StreamStory"]

_OF_STREAMS = {
    "stream": "made",
    "begun": "begun",
    "over": "over",
    "yield": "moves",
    "taken": "moves",
    "reading": "readings",
    "read out": "ends",
}


class Call:
    """What a history says of one call; events with their places.

    Attributes:
        line: the calls of one line start in their order; ``""`` for all calls of one end that have
            no other line, None for a call that has no order.
        sources: the calls on whose results it depends.
        kind: ``"linked"``, ``"once"`` or ``""``; see ``simulation.links.caller``.
    """

    def __init__(self, number: int):
        self.number = number
        self.made: tuple[int, Event] | None = None
        self.starts: list[tuple[int, Event]] = []
        self.finishes: list[tuple[int, Event]] = []
        self.outcomes: list[tuple[int, Event]] = []
        self.line: str | None = ""
        self.sources: tuple[int, ...] = ()
        self.kind = ""

    def __str__(self) -> str:
        name = "never made" if self.made is None else f"{self.made[1].detail} of {self.party}"
        return f"call {self.number} ({name})"

    @property
    def party(self) -> str:
        """Who made it."""
        return "?" if self.made is None else self.made[1].party

    @property
    def is_one_way(self) -> bool:
        """Whether no answer is due."""
        return self.made is not None and self.made[1].kind == "send"


class StreamStory:
    """What a history says of one stream; events with their places."""

    def __init__(self, number: str):
        self.number = number
        self.made: list[tuple[int, Event]] = []
        self.begun: list[tuple[int, Event]] = []
        self.over: list[tuple[int, Event]] = []
        self.moves: list[tuple[int, Event]] = []
        self.readings: list[tuple[int, Event]] = []
        self.ends: list[tuple[int, Event]] = []

    def __str__(self) -> str:
        return f"stream {self.number}"

    def count(self, kind: str, before: int | None = None) -> int:
        """Return how many items were yielded, or taken; before a place, or in all."""
        return sum(
            event.kind == kind and (before is None or place < before) for place, event in self.moves
        )


class Story:
    """A history, sorted by call and by party."""

    def __init__(self, history: History):
        self.events = history.events
        self.by_kind: dict[str, list[tuple[int, Event]]] = defaultdict(list)
        self.calls: dict[int, Call] = {}
        self.streams: dict[str, StreamStory] = {}
        lists = {"start": "starts", "finish": "finishes", "outcome": "outcomes"}
        for place, event in enumerate(self.events):
            self.by_kind[event.kind].append((place, event))
            if event.kind in _OF_STREAMS:
                self._note_stream(place, event)
            if not event.call:
                continue
            call = self.calls.get(event.call)
            if call is None:
                call = self.calls[event.call] = Call(event.call)
            if event.kind == "about":
                call.line, call.sources, call.kind = event.detail
            elif event.kind in lists:
                getattr(call, lists[event.kind]).append((place, event))
            else:
                call.made = place, event

    def _note_stream(self, place: int, event: Event) -> None:
        number = event.detail[0]
        stream = self.streams.get(number)
        if stream is None:
            stream = self.streams[number] = StreamStory(number)
        getattr(stream, _OF_STREAMS[event.kind]).append((place, event))

    def ended(self, number: int, kind: str) -> bool:
        """Return whether a call has ended in some way."""
        return any(event.detail[0] == kind for _, event in self.calls[number].outcomes)

    def first(self, kind: str, party: str) -> int | None:
        """Return where an event first occurs, or None."""
        for place, event in self.by_kind[kind]:
            if event.party == party:
                return place
        return None


Rule = Callable[[Story], Iterator[str]]
