"""The rules for streams, which each history must obey; see `simulation.rules`."""

from __future__ import annotations

from collections.abc import Iterator

from simulation.history import Event
from simulation.story import Rule, Story, StreamStory

__all__ = ["STREAM_RULES"]

_OVERHEAD = 32
"""Bytes of one item's frame besides the item, at most."""


def items_arrive_in_order(story: Story) -> Iterator[str]:
    """A reader takes the items of a stream from the first on, in order, each once."""
    for stream in story.streams.values():
        due, yielded = 0, 0
        for _, event in stream.moves:
            place = event.detail[1]
            if event.kind == "yield":
                yielded += 1
                continue
            if place != due:
                yield f"{stream}: its reader took item {place}, and item {due} was due"
                break
            if place >= yielded:
                yield f"{stream}: its reader took item {place}, which was not yielded"
                break
            due += 1


def streams_end_once(story: Story) -> Iterator[str]:
    """Who reads a stream ends once: complete, with the error, stopped, or with its connection."""
    for stream in story.streams.values():
        if len(stream.ends) != len(stream.readings) or len(stream.readings) > 1:
            begun, ended = len(stream.readings), len(stream.ends)
            yield f"{stream} was read {begun} times, and its readers ended {ended} times"


def ended_streams_are_complete(story: Story) -> Iterator[str]:
    """A reader that came to the end has all items, and the error of the generator if it raised."""
    for stream in story.streams.values():
        for place, event in stream.ends:
            yield from _wrong_end(story, stream, place, event)


def _wrong_end(story: Story, stream: StreamStory, place: int, event: Event) -> Iterator[str]:
    _, how, what = event.detail
    if not stream.made:
        # The call that had to return it has failed.
        if how == "complete" or stream.moves:
            yield f"{stream} was read, and it was never made"
        return
    _, count, ending, *_ = stream.made[0][1].detail
    taken = stream.count("taken", place)
    ways = [over.detail[1] for before, over in stream.over if before < place]
    if how == "complete" and (ending != "returns" or ways != ["returned"] or taken != count):
        yield f"{stream} ended after {taken} of {count} items, and its generator {ways}"
    elif how == "raised":
        is_due = ending == "raises" and ways == ["raised"] and taken == count
        # An item that cannot be sent ends the stream; its generator is closed.
        if not is_due and ending != "unsendable":
            yield f"{stream} raised {what} after {taken} of {count} items; its generator {ways}"
    elif how == "lost":
        index = event.party[1:]
        faults = story.by_kind["fault"]
        if not any(fault.party[1:] == index and at < place for at, fault in faults):
            yield f"{stream} was lost with {what}, and its connection was healthy"


def generators_end_once(story: Story) -> Iterator[str]:
    """The ``finally`` of a generator that has begun runs once; at rest it has run."""
    quiet = {event.party: place for place, event in story.by_kind["quiet"]}
    for stream in story.streams.values():
        if len(stream.over) != len(stream.begun) or len(stream.begun) > 1:
            yield f"{stream} began {len(stream.begun)} times, and ended {len(stream.over)} times"
        for place, event in stream.over:
            if place > quiet.get(event.party, place):
                yield f"the generator of {stream} was not over at rest"


def credit_is_kept(story: Story) -> Iterator[str]:
    """A generator makes no more items and bytes than its reader has taken and given credit for."""
    for stream in story.streams.values():
        if not stream.made:
            continue
        *_, most, window = stream.made[0][1].detail
        ahead, size = 0, 0
        for _, event in stream.moves:
            if event.kind == "taken":
                ahead -= 1
                size -= event.detail[2] + _OVERHEAD
                continue
            ahead += 1
            if ahead > most or size >= window:
                yield f"{stream}: {ahead} items ahead, and {size} bytes before the last of them"
                break
            size += event.detail[2]


STREAM_RULES: tuple[Rule, ...] = (
    items_arrive_in_order,
    streams_end_once,
    ended_streams_are_complete,
    generators_end_once,
    credit_is_kept,
)
