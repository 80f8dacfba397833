"""The rules: of each, a history that it lets pass and one that it finds."""

from __future__ import annotations

from typing import Any

import pytest
from simulation.history import Event, History
from simulation.rules import DRAINS, RULES, violations

# A call that goes well: made at the client's end, run at the server's.
CALL = [
    ("invoke", "c0", 1, "echo"),
    ("wire", "c0", 0, 30),
    ("start", "s0", 1, None),
    ("finish", "s0", 1, ("returned", "5")),
    ("outcome", "c0", 1, ("answer", "5")),
]
NEXT = [(kind, party, number and 2, detail) for kind, party, number, detail in CALL]


def found(*rows: tuple[str, str, int, Any]) -> dict[str, str]:
    """Return the rules that a history of these events breaks, and how."""
    history = History()
    history.events = [Event(0.0, *row) for row in rows]
    return {violation.rule: violation.text for violation in violations(history)}


def ended(kind: str, what: str) -> tuple[str, str, int, Any]:
    """Return the event of the first call's end."""
    return ("outcome", "c0", 1, (kind, what))


# A stream that is read to its end: made at the client's end, read at the server's.
MADE = ("stream", "c0", 0, ("c0.9", 2, "returns", 256, 1000))
BEGUN = ("begun", "c0", 0, ("c0.9",))
YIELDS = [("yield", "c0", 0, ("c0.9", place, 10)) for place in range(2)]
OVER = ("over", "c0", 0, ("c0.9", "returned"))
READING = ("reading", "s0", 0, ("c0.9",))
TAKEN = [("taken", "s0", 0, ("c0.9", place, 10)) for place in range(2)]


def read_out(how: str, what: str = "") -> tuple[str, str, int, Any]:
    """Return the event of the end of the reader."""
    return ("read out", "s0", 0, ("c0.9", how, what))


def made(ending: str, items: int = 256, window: int = 1000) -> tuple[str, str, int, Any]:
    """Return the event of a stream with this ending and this credit."""
    return ("stream", "c0", 0, ("c0.9", 2, ending, items, window))


MADE_AND_READ = [MADE, BEGUN, *YIELDS, OVER, READING, *TAKEN]
STREAM = [*MADE_AND_READ, read_out("complete")]
RAISED = ("over", "c0", 0, ("c0.9", "raised"))
CLOSED = ("over", "c0", 0, ("c0.9", "closed"))

LOST = ("lost", "c0", 0, "ConnectionLost")
CUT = ("fault", "c0", 0, "cut")
QUIET = ("quiet", "c0", 0, {})

# A call of a link, which it repeats with a key; one that it makes as soon as it can; and a call on
# the result of the first.
BUY = [("invoke", "l0", 1, "buy"), ("about", "l0", 1, (None, (), "once"))]
LINKED = [("invoke", "l0", 1, "echo"), ("about", "l0", 1, (None, (), "linked"))]
ON_FIRST = [NEXT[0], ("about", "c0", 2, ("promise of 1", (1,), ""))]
KEEPS = ("keeps", "A1", 0, 120)
FAILS = [*CALL[:3], ("finish", "s0", 1, ("raised", "E")), ended("error", "E")]


def lost_at(party: str, kind: str, what: str = "PBConnectionLost") -> tuple[str, str, int, Any]:
    """Return the event of the end of the first call, of another party."""
    return ("outcome", party, 1, (kind, what))


BROKEN: dict[str, list[Any]] = {
    "once_runs_once": [[*BUY, ("start", "s0.1", 1, None), ("start", "s0.2", 1, None)]],
    "once_survives_cuts": [
        [KEEPS, *BUY, lost_at("l0", "may have run")],
        [KEEPS, *BUY, lost_at("l0", "not run")],
        [KEEPS, *BUY, lost_at("l0", "result lost", "ResultLost")],
        [KEEPS, *BUY, CALL[3], lost_at("l0", "result lost", "ResultLost")],
    ],
    "links_make_calls": [
        [*LINKED, lost_at("l0", "not run")],
        [*LINKED, lost_at("l0", "refused", "ServerDraining")],
    ],
    "links_come_back": [[("link", "l0", 0, -1.0), ("serves", "A1", 0, None), *LINKED]],
    "recipes_are_made_once": [
        [("recipe", "s0.1", 0, "l0.r1")] * 2,
        [("up", "l0.1", 0, None)] * 2,
        [("rest", "l0", 0, ())],
        [("up", "l0.1", 0, None), ("rest", "l0", 0, ("l0.r1",))],
    ],
    "promised_calls_follow": [
        [*CALL[:3], *ON_FIRST, *NEXT[1:3]],
        [*FAILS, *ON_FIRST, *NEXT[1:3]],
    ],
    "promised_calls_fail_alike": [
        [*FAILS, *ON_FIRST, ("outcome", "c0", 2, ("error", "F"))],
        [*FAILS, *ON_FIRST, ("outcome", "c0", 2, ("refused", "BrokenPromise"))],
    ],
    "ends_once": [
        [*CALL, CALL[-1]],
        CALL[:-1],
        [("send", "c0", 1, "note"), *CALL[1:]],
    ],
    "ends_in_a_known_way": [[*CALL[:-1], ended("failed", "TypeError")]],
    "starts_once": [
        [*CALL[:2], CALL[2], *CALL[2:]],
        CALL[2:4],
        [*CALL[:2], *CALL[3:]],
    ],
    "starts_in_order": [[CALL[0], NEXT[0], *NEXT[1:], *CALL[1:]]],
    "answers_match": [
        [*CALL[:-1], ended("answer", "6")],
        [*CALL[:-1], ended("error", "Refusal")],
        [*CALL[:3], CALL[4], CALL[3]],
        [*CALL[:2], CALL[4]],
    ],
    "not_run_did_not_start": [
        [CUT, *CALL[:-1], ended("not run", "PBConnectionLost")],
        [*CALL[:-1], ended("refused", "ServerDraining")],
    ],
    "refusals_have_a_reason": [
        [*CALL[:2], ended("refused", "broker.errors.NoSuchObject")],
        [*CALL[:2], ended("refused", "NoSuchMethod")],
        [*CALL[:2], ended("refused", "ServerDraining")],
    ],
    "may_have_run_was_written": [[CUT, CALL[0], ended("may have run", "PBConnectionLost")]],
    "healthy_loses_nothing": [
        [LOST],
        [LOST, QUIET],
        [*CALL[:2], ended("may have run", "PBConnectionLost"), QUIET],
        [CALL[0], ended("not run", "DeadReferenceError"), QUIET],
    ],
    "drained_answers": [
        [*CALL[:3], ended("may have run", "PBConnectionLost"), ("drained", "c0", 0, None)]
    ],
    "observers_are_told_once": [
        [("observe", "s", 0, "s.1")],
        [("observe", "s", 0, "s.1"), *[("stopped", "s", 0, "s.1")] * 2],
        [("login", "s0", 0, 1)],
    ],
    "events_arrive": [
        [("event", "s", 0, (1, ("c0.1",))), *[("heard", "c0", 0, ("c0.1", 1))] * 2],
        [("event", "s", 0, (1, ("c0.1",))), QUIET],
        [("heard", "c0", 0, ("c0.1", 1))],
    ],
    "items_arrive_in_order": [
        [MADE, BEGUN, *YIELDS, OVER, READING, TAKEN[1], read_out("stopped")],
        [MADE, BEGUN, *YIELDS, OVER, READING, TAKEN[0], TAKEN[0], read_out("stopped")],
        [MADE, BEGUN, READING, TAKEN[0], *YIELDS, OVER, read_out("stopped")],
    ],
    "streams_end_once": [
        MADE_AND_READ,
        [*STREAM, STREAM[-1]],
        [*STREAM, READING, read_out("complete")],
    ],
    "ended_streams_are_complete": [
        [MADE, BEGUN, *YIELDS, OVER, READING, TAKEN[0], read_out("complete")],
        [MADE, BEGUN, *YIELDS, READING, *TAKEN, read_out("complete"), OVER],
        [made("raises"), BEGUN, *YIELDS, RAISED, READING, *TAKEN, read_out("complete")],
        [made("raises"), BEGUN, *YIELDS, RAISED, READING, TAKEN[0], read_out("raised", "Refusal")],
        [*MADE_AND_READ, read_out("raised", "Refusal")],
        [*MADE_AND_READ, read_out("lost", "PBConnectionLost")],
        [READING, read_out("complete")],
    ],
    "generators_end_once": [
        [MADE, BEGUN, *YIELDS],
        [MADE, BEGUN, OVER, OVER],
        [MADE, BEGUN, BEGUN, OVER, OVER],
        [MADE, BEGUN, QUIET, CLOSED],
    ],
    "credit_is_kept": [
        [made("returns", items=1), BEGUN, *YIELDS, OVER],
        [made("returns", window=10), BEGUN, *YIELDS, OVER],
    ],
    "both_ends_agree": [[("quiet", "c0", 0, {"exports": ({1: 2}, {1: 1})})]],
    "nothing_else_is_wrong": [
        [("log", "broker", 0, "something")],
        [("wrong", "c0", 0, "something")],
    ],
    "nothing_is_left": [[("ended", "run", 0, {"timers": 1})]],
}

ALLOWED: dict[str, list[Any]] = {
    "a call": CALL,
    "two calls": [CALL[0], NEXT[0], *CALL[1:], *NEXT[1:]],
    "one way": [("send", "c0", 1, "note"), *CALL[1:-1]],
    "an error": [*CALL[:3], ("finish", "s0", 1, ("raised", "E")), ended("error", "E")],
    "refused": [("invoke", "c0", 1, "absent"), CALL[1], ended("refused", "NoSuchMethod")],
    "draining": [("fault", "c0", 0, DRAINS), *CALL[:2], ended("refused", "ServerDraining")],
    "not run": [CUT, CALL[0], ended("not run", "PBConnectionLost"), LOST],
    "may have run": [CUT, *CALL[:2], ended("may have run", "PBConnectionLost"), LOST],
    "given up": [*CALL[:2], ended("given up", "CancelledError"), QUIET],
    "a call on a result that fails alike": [
        *FAILS,
        *ON_FIRST,
        ("outcome", "c0", 2, ("error", "E")),
    ],
    "a call on a value": [*CALL, *ON_FIRST, ("outcome", "c0", 2, ("refused", "BrokenPromise"))],
    "a call in once, and a server that ends": [
        KEEPS,
        *BUY,
        ("fault", "l0.1", 0, "killed"),
        ("wire", "l0.1", 0, 30),
        ("gone", "A1", 0, "kill"),
        lost_at("l0", "may have run"),
    ],
    "a link that is closed": [*LINKED, ("closes", "l0", 0, None), lost_at("l0", "not run")],
    "a link that is back": [
        ("link", "l0", 0, 1.0),
        ("serves", "A1", 0, None),
        ("up", "l0.1", 0, None),
        ("recipe", "s0.1", 0, "l0.r1"),
        ("rest", "l0", 0, ("l0.r1",)),
    ],
    "an observer": [("observe", "s", 0, "s.1"), ("stopped", "s", 0, "s.1")],
    "an event": [
        ("event", "s", 0, (1, ("c0.1",))),
        ("heard", "c0", 0, ("c0.1", 1)),
        QUIET,
    ],
    "a lost event": [CUT, ("event", "s", 0, (1, ("c0.1",))), LOST],
    "a stream": STREAM,
    "an error of a stream": [
        made("raises"),
        BEGUN,
        *YIELDS,
        RAISED,
        READING,
        *TAKEN,
        read_out("raised", "Refusal"),
    ],
    "an item that cannot be sent": [
        made("unsendable"),
        BEGUN,
        *YIELDS,
        CLOSED,
        READING,
        TAKEN[0],
        read_out("raised", "no"),
    ],
    "a stopped stream": [
        MADE,
        BEGUN,
        *YIELDS,
        READING,
        TAKEN[0],
        read_out("stopped"),
        CLOSED,
        QUIET,
    ],
    "a stream that is not read": [MADE, BEGUN, *YIELDS, OVER, QUIET],
    "a lost stream": [CUT, *MADE_AND_READ, read_out("lost", "PBConnectionLost")],
    "a stream of a call that failed": [CUT, READING, read_out("lost", "PBConnectionLost")],
    "one item at a time": [
        made("returns", items=1, window=10),
        BEGUN,
        READING,
        YIELDS[0],
        TAKEN[0],
        YIELDS[1],
        TAKEN[1],
        OVER,
        read_out("complete"),
    ],
    "rest": [("quiet", "c0", 0, {"exports": ({1: 1}, {1: 1})}), ("ended", "run", 0, {"timers": 0})],
}


@pytest.mark.parametrize("rule", [rule.__name__ for rule in RULES])
def test_each_rule_finds(rule: str) -> None:
    """Each way to break a rule is found by that rule, and told in one sentence."""
    for rows in BROKEN[rule]:
        assert rule in found(*rows), rows


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed(name: str) -> None:
    """What may happen breaks no rule."""
    assert found(*ALLOWED[name]) == {}
