"""The lane: an end with the lane in C, and one without a lane, do the same with the same bytes."""

from __future__ import annotations

from typing import Any

from fuzz.lane_frames import Plan, plan_of
from fuzz.lane_room import POLICIES, Quiet, Room

__all__ = ["difference", "fuzz"]

# Ends that are as they were after the handshake, by form, which end, and policy: to make new ones
# takes longer than most inputs.
_ROOMS: dict[tuple[str, bool, int], Room] = {}
_FORMS = ("none", "c")


def fuzz(data: bytes) -> None:
    """Run one input."""
    with Quiet():
        found = difference(plan_of(data), _FORMS)
    assert found is None, found


def difference(plan: Plan, forms: tuple[str, str], *, is_fresh: bool = False) -> str | None:
    """Return what differs between ends of two forms, or None.

    Args:
        plan: what is done with each.
        forms: of ``support.lane_forms``.
        is_fresh: whether new ends are made.
    """
    rooms = [_room(form, plan, is_fresh) for form in forms]
    for step in plan.steps:
        for room in rooms:
            if type(step) is bytes:
                room.feed(step)
            else:
                room.act(step)  # type: ignore[arg-type]
                room.run()
    one, other = (room.shown() for room in rooms)
    if one != other:
        _ROOMS.clear()
        return _told(one, other)
    if rooms[0].is_over or rooms[1].is_over:
        for room, form in zip(rooms, forms, strict=True):
            room.end()
            _ROOMS.pop((form, plan.is_client, plan.policy), None)
        one, other = (room.shown() for room in rooms)
        for room in rooms:
            room.release()
        if one != other:
            return _told(one, other)
    return None


def _room(form: str, plan: Plan, is_fresh: bool) -> Room:
    key = form, plan.is_client, plan.policy
    room = None if is_fresh else _ROOMS.get(key)
    if room is None:
        room = _ROOMS[key] = Room(form, plan.is_client, POLICIES[plan.policy])
    else:
        room.renew()
    return room


def _told(one: tuple[Any, ...], other: tuple[Any, ...]) -> str:
    index = next(index for index in range(len(one)) if one[index] != other[index])
    return f"field {index} differs: {str(one[index])[-300:]} | {str(other[index])[-300:]}"
