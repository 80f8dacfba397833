"""The rules that every history must obey, each a function from a history to what violates it.

What the events mean:

====================  ==============================================================================
``invoke``, ``send``  a call is about to be made, with an answer or one way; the detail is its name
``start``             its method begins at the other end
``finish``            its method is over: ``("returned", value)``, ``("raised", type)`` or
                      ``("cancelled", "")``
``outcome``           the caller learns how it ended: ``(kind, what)``, a kind of `OUTCOMES`
``wire``, ``read``    an end gives bytes to the network, or takes them
``fault``             the scenario harms a connection, or closes it before its calls have ended
``lost``              a Broker is told that its connection has ended
``observe``           a cache got an observer, and ``stopped`` was told that it has gone: its number
``login``             an avatar was made, and ``logout`` was called: its number
``event``             an office tells its subscribers: its number, and their names
``heard``             a subscriber is told: its name, and the number
``stream``            a generator was made: number, items, ending, and the credit in items and bytes
``begun``             its code begins; ``over``, its ``finally`` runs: number, and how
``yield``, ``taken``  it yields an item, or its reader has got it: number, place, and bytes
``reading``           a reader begins; ``read out``, it takes no more: number, and how
``about``             more of a call: its line, its sources, and its kind; see ``story.Call``
``link``              a program begins to use its link: the seconds in which it has to come back
``state``             the link tells its state
``serves``            a server listens, also again; ``gone``, it ends; ``unreachable``, for a while
``keeps``             it keeps replies: for how many seconds
``connects``          a link connects: the name of the server
``up``                the task of a link begins on a connection
``recipe``            a recipe is made: its name
``rest``              all have done what they do: the recipes of a link
``closes``            a link is closed
``quiet``             all calls have ended on a connection that lives; detail: what both ends hold
``ended``             all connections have ended; detail: what is left of the run
``log``               the broker logged a warning or an error that the scenario did not cause
``wrong``             the workload itself saw something that must not be
====================  ==============================================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from simulation.history import History
from simulation.link_rules import LINK_RULES
from simulation.story import Call, Rule, Story
from simulation.stream_rules import STREAM_RULES

__all__ = ["DRAINS", "OUTCOMES", "RULES", "Violation", "violations"]

OUTCOMES = {
    "answer": "the method returned; what is the value",
    "error": "the method raised; what is the name of the error",
    "refused": "the peer says that the method did not run; what is the name of the error",
    "not run": "this end says so: it was not sent, or never written",
    "may have run": "the connection was lost",
    "result lost": "it was in `broker.once`, and has run; its result cannot be repeated",
    "given up": "the caller waits no longer: it was cancelled, or its time is over",
}


DRAINS = "the server drains"
"""The detail of the fault that is a server which closes in good order."""

_NEED_NO_START = ("not run", "refused", "given up")


class Violation(NamedTuple):
    """A rule that a history breaks, and how."""

    rule: str
    text: str


def ends_once(story: Story) -> Iterator[str]:
    """Each call ends exactly once; one without answer never does."""
    for call in story.calls.values():
        due = 0 if call.is_one_way else 1
        if len(call.outcomes) != due:
            ends = ", ".join(event.detail[0] for _, event in call.outcomes) or "nothing"
            yield f"{call} ended {len(call.outcomes)} times, not {due}: {ends}"


def ends_in_a_known_way(story: Story) -> Iterator[str]:
    """Each call ends as answer, error, refused, not run, may have run, or is given up."""
    for call in story.calls.values():
        for _, event in call.outcomes:
            if event.detail[0] not in OUTCOMES:
                yield f"{call} ended as {event.detail!r:.200}"


def starts_once(story: Story) -> Iterator[str]:
    """No method starts twice for one call, or without one."""
    for call in story.calls.values():
        if len(call.starts) > 1:
            yield f"{call} started {len(call.starts)} times"
        if call.starts and call.made is None:
            yield f"{call} started"
        if len(call.finishes) > len(call.starts):
            yield f"{call} finished without having started"


def starts_in_order(story: Story) -> Iterator[str]:
    """Calls start in the order in which they were made: of one end, or of one line if it has some.

    The calls on a promise, and then on the reference that it became, are such a line; and those of
    a link on one reference. The order holds on each connection.
    """
    newest: dict[tuple[str, ...], Call] = {}
    for _, event in story.by_kind["start"]:
        call = story.calls[event.call]
        if call.line is None:
            continue
        line = (call.party, call.line, event.party) if call.line else (call.party,)
        before = newest.get(line)
        if before is not None and before.number > call.number:
            yield f"{call} started after {before}"
        newest[line] = call


def answers_match(story: Story) -> Iterator[str]:
    """An answer is what the method returned, an error what it raised, and neither comes before."""
    expected = {"answer": "returned", "error": "raised"}
    for call in story.calls.values():
        for place, event in call.outcomes:
            kind, what = event.detail
            if kind not in expected or (kind == "error" and call.sources and not call.starts):
                # The error may be that of a promised call: see `promised_calls_fail_alike`.
                continue
            if not call.starts or not call.finishes or call.finishes[0][0] > place:
                yield f"{call} has an {kind}, and its method was not over"
            elif call.finishes[0][1].detail != (expected[kind], what):
                yield (
                    f"{call} has the {kind} {what!r:.120}, and its method"
                    f" {' '.join(map(str, call.finishes[0][1].detail)):.120}"
                )


def not_run_did_not_start(story: Story) -> Iterator[str]:
    """What is said not to have run never started."""
    for call in story.calls.values():
        for _, event in call.outcomes:
            if event.detail[0] in ("not run", "refused") and call.starts:
                yield f"{call} ended as {' '.join(event.detail)}, and it started"


def refusals_have_a_reason(story: Story) -> Iterator[str]:
    """A call is refused because there is no such method, or its server drains; else never.

    What a party may call is held by it, so its object is there; and the calls are few.
    """
    drains = {event.party[1:] for _, event in story.by_kind["fault"] if event.detail == DRAINS}
    drains |= {number.partition(".")[0] for number in drains}
    for call in story.calls.values():
        for _, event in call.outcomes:
            kind, what = event.detail
            if kind != "refused" or call.made is None:
                continue
            is_absent = what.endswith("NoSuchMethod") and _is_absent(story, call)
            is_late = what.endswith("ServerDraining") and call.party[1:] in drains
            is_broken = what == "BrokenPromise" and bool(call.sources)
            if not is_absent and not is_late and not is_broken:
                yield f"{call} was refused with {what}"


def _is_absent(story: Story, call: Call) -> bool:
    """Return whether a method is not there, or that of the call on whose result it is made."""
    name = None if call.made is None else call.made[1].detail
    return name == "absent" or any(_is_absent(story, story.calls[each]) for each in call.sources)


def may_have_run_was_written(story: Story) -> Iterator[str]:
    """What may have run was written; and its caller was told that the connection is lost."""
    written: dict[str, list[int]] = defaultdict(list)
    for place, event in story.by_kind["wire"]:
        written[event.party].append(place)
        link = event.party.partition(".")[0]
        if link != event.party:
            written[link].append(place)
    for call in story.calls.values():
        for place, event in call.outcomes:
            if event.detail[0] != "may have run" or call.made is None:
                continue
            if any(story.ended(number, "may have run") for number in call.sources):
                # It fails as the call on whose result it was to be made.
                continue
            if not any(call.made[0] < wire < place for wire in written[call.party]):
                yield f"{call} is said to have perhaps run, and was never written"


def healthy_loses_nothing(story: Story) -> Iterator[str]:
    """A connection without a fault or a close stays open, and all its calls start."""
    harmed = {event.party[1:] for _, event in story.by_kind["fault"]}
    quiet = {event.party: place for place, event in story.by_kind["quiet"]}
    for place, event in story.by_kind["lost"]:
        if event.party[1:] not in harmed and event.party not in quiet:
            yield f"{event.party} lost its connection at {event.when:.4f} s: {event.detail}"
        elif event.party in quiet and place < quiet[event.party]:
            yield f"{event.party} was quiet after it had lost its connection"
    for call in story.calls.values():
        if call.party not in quiet or call.made is None or call.made[0] > quiet[call.party]:
            continue
        ends = [event.detail for _, event in call.outcomes]
        needs_start = not call.sources and not any(kind in _NEED_NO_START for kind, _ in ends)
        if needs_start and not call.starts:
            yield f"{call} never started, and its connection was healthy"
        if ("not run", "DeadReferenceError") in ends:
            yield f"{call} was not made, and its connection was healthy"


def drained_answers(story: Story) -> Iterator[str]:
    """A server that drains answers what it has started, if the network lets the answers through."""
    drained = {event.party for _, event in story.by_kind["drained"]}
    for call in story.calls.values():
        if call.party not in drained or not call.starts:
            continue
        for _, event in call.outcomes:
            if event.detail[0] == "may have run":
                yield f"{call} was started by a server that drained, and has no answer"


def observers_are_told_once(story: Story) -> Iterator[str]:
    """Each observer of a cache is told exactly once that it is over; each avatar logs out once."""
    for begun, ended in (("observe", "stopped"), ("login", "logout")):
        counts: dict[Any, int] = defaultdict(int)
        for _, event in story.by_kind[begun]:
            counts[event.detail] += 0
        for _, event in story.by_kind[ended]:
            counts[event.detail] += 1
        for number, times in counts.items():
            if times != 1:
                yield f"{ended} came {times} times for {begun} {number}"


def events_arrive(story: Story) -> Iterator[str]:
    """A subscriber hears of each event once and in order; of every one if its connection lasts."""
    sent: dict[str, list[int]] = defaultdict(list)
    heard: dict[str, list[int]] = defaultdict(list)
    for _, event in story.by_kind["event"]:
        number, names = event.detail
        for name in names:
            sent[name].append(number)
    for _, event in story.by_kind["heard"]:
        name, number = event.detail
        heard[name].append(number)
    healthy = {event.party for _, event in story.by_kind["quiet"]}
    for name in sent.keys() | heard.keys():
        # Each event has a number that is higher than that of the one before.
        due = sent[name] if name.partition(".")[0] in healthy else sorted(set(heard[name]))
        if heard[name] != due or not set(due) <= set(sent[name]):
            yield f"{name} heard of {heard[name]}, and was told of {sent[name]}"


def both_ends_agree(story: Story) -> Iterator[str]:
    """When a connection is quiet, each end holds what the other has given, and nothing pends."""
    for _, event in story.by_kind["quiet"]:
        for name, (have, due) in event.detail.items():
            if have != due:
                yield f"{event.party} at rest: {name} {have}, not {due}"


def nothing_is_left(story: Story) -> Iterator[str]:
    """When all has ended there is no reference, task, timer, question or Deferred left."""
    for _, event in story.by_kind["ended"]:
        for name, left in event.detail.items():
            if left:
                yield f"at the end {event.party} has {name}: {left!r:.300}"


def nothing_else_is_wrong(story: Story) -> Iterator[str]:
    """Nothing was logged that the scenario did not cause, and the workload saw what it should."""
    for kind in ("log", "wrong"):
        for _, event in story.by_kind[kind]:
            yield f"{kind} at {event.when:.4f} s of {event.party}: {event.detail!s:.2000}"


RULES: tuple[Rule, ...] = (
    ends_once,
    ends_in_a_known_way,
    starts_once,
    starts_in_order,
    answers_match,
    not_run_did_not_start,
    refusals_have_a_reason,
    may_have_run_was_written,
    healthy_loses_nothing,
    drained_answers,
    observers_are_told_once,
    events_arrive,
    *STREAM_RULES,
    *LINK_RULES,
    both_ends_agree,
    nothing_else_is_wrong,
    nothing_is_left,
)


def violations(history: History) -> list[Violation]:
    """Return what violates the rules, in the order of the rules."""
    story = Story(history)
    return [Violation(rule.__name__, text) for rule in RULES for text in rule(story)]
