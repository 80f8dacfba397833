"""The table "Sizes of one message": each limit holds, in both dialects, under both policies."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from attacks.attacker import BOTH, POLICIES, Speaker, Target, Victim, binds, flat, taming
from attacks.catalogue import nested, shared

from broker.core.wire.messages import GraphAnswer, GraphError
from broker.errors import TooLarge
from jelly.limits import Limits

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "limits.md"


class Case(NamedTuple):
    """A setting, with values within and beyond it.

    Attributes:
        value: of the setting.
        within, beyond: values as expressions.
        plain: pairs of the same kind as values, for the form of msgpack/1 without a graph.
        sent: a value that may not be sent; None if the limit applies only to received values.
        settings: further ones.
    """

    value: int
    within: Any
    beyond: tuple[Any, ...]
    plain: tuple[tuple[Any, Any], ...] = ()
    sent: Any = None
    settings: dict[str, int] = {}  # noqa: RUF012 - of a NamedTuple, and never changed


def deep(depth: int) -> Any:
    """Lists inside each other."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def deep_dict(depth: int) -> Any:
    """Dicts inside each other."""
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


CASES = {
    "max_prefix": Case(10, [b"list", 1 << 60], ([b"list", 1 << 75], [b"list", -(1 << 75)]),
                       sent=1 << 75),
    "max_string": Case(
        1_000,
        [b"list", bytes(900)],
        (
            [b"list", bytes(1_100)],
            [b"unicode", b"x" * 1_100],
            [b"dictionary", [[b"unicode", b"x" * 1_100], 1]],
            [b"list", [b"reference", 1, [b"unicode", b"x" * 1_100]]],
        ),
        (("x" * 900, "x" * 1_100), (["x"], ["ä" * 550]), ({"a": 1}, {"a": "x" * 1_100}),
         ({"x" * 900: 1}, {"x" * 1_100: 1})),
        "x" * 1_100,
    ),
    "max_list": Case(
        100,
        [b"list", *range(80)],
        (
            [b"list", *range(120)],
            [b"tuple", *range(120)],
            [b"set", *range(120)],
            [b"dictionary", *([n, n] for n in range(120))],
            [b"list", [b"list", *range(120)]],
        ),
        (([1] * 80, [1] * 120), ([[1]], [[1] * 120]),
         ({"a": 1}, {str(n): n for n in range(120)})),
        [1] * 120,
    ),
    "max_depth": Case(6, nested(1), (nested(8), nested(30), [b"tuple", [b"tuple", nested(6)]]),
                      ((deep(1), deep(5)), ({}, deep_dict(5))), deep(8)),
    "max_expression": Case(
        2_000,
        [b"list", *[bytes(300)] * 4],
        ([b"list", *[bytes(300)] * 8],),
        ((["x" * 300] * 4, ["x" * 300] * 8),),
        ["x" * 300] * 8,
    ),
    "max_nodes": Case(
        200,
        [b"list", [b"list", *range(60)]],
        ([b"list", *[[b"list", *range(60)]] * 5], [b"list", *[[b"list"]] * 300]),
        (([[1] * 60], [[1] * 60 for _ in range(5)]), ([{}], [{"a": 1} for _ in range(300)])),
        [[1] * 60 for _ in range(5)],
    ),
    "max_expanded": Case(200, shared(3, b"list"), (shared(12, b"list"), shared(12))),
    "max_key_nodes": Case(
        20,
        [b"set", [b"tuple", 1, 2]],
        ([b"set", [b"tuple", *range(50)]], [b"dictionary", [[b"tuple", *range(50)], 1]],
         [b"frozenset", [b"tuple", [b"tuple", *range(50)]]]),
    ),
    "max_decimal_digits": Case(5, [b"decimal", 12_345, 0], ([b"decimal", 1_234_567, 0],
                                                            [b"decimal", -1_234_567, -7])),
    "max_decimal_exponent": Case(10, [b"decimal", 1, 9], ([b"decimal", 1, 50],
                                                         [b"decimal", 1, -50])),
}  # fmt: skip


def table() -> dict[str, str]:
    """The settings in the table, and their descriptions."""
    text = PAGE.read_text("utf-8").partition("## Sizes of one message")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(max_\w+)` \| \d+ \| (.*?) \| `", text, re.MULTILINE))


ROWS = table()


def policy_of(name: str, policy: str) -> Any:
    """A policy in which one setting is small."""
    case = CASES[name]
    return POLICIES[policy].but(limits=Limits(**{name: case.value, **case.settings}))


def test_the_page_has_all_settings() -> None:
    """The table names every attribute of Limits and nothing else, and each is tested here."""
    assert set(ROWS) == set(Limits.__struct_fields__) == set(CASES)


def outcome(victim: Victim) -> Any:
    """The last answer or error of a victim."""
    said = victim.speaker.read(victim.said)
    return [message for message in said if type(message) in (GraphAnswer, GraphError)][-1]


def refused(name: str, policy: str, dialect: str, make: Callable[[Victim], bytes]) -> None:
    """Check that a message is refused as the page says."""
    target = Target()
    target.kept = None
    victim = Victim(dialect, policy_of(name, policy), target)
    victim.hear(make(victim))
    assert target.kept is None
    if "; call" in ROWS[name]:
        assert not victim.is_dead
        assert name.encode() in flat(outcome(victim).failure)
    elif dialect == "pb":
        assert victim.is_dead
    if name != "max_prefix":
        assert victim.broker.session.stats.limits[name] == 1
    victim.end()


@binds("S7")
@pytest.mark.parametrize("name", CASES)
def test_a_value_within(name: str, policy: str, dialect: str) -> None:
    """A value within a limit is accepted."""
    target = Target()
    target.kept = None
    victim = Victim(dialect, policy_of(name, policy), target)
    victim.hear(victim.speaker.call(CASES[name].within, name=b"keep"))
    assert type(outcome(victim)) is GraphAnswer
    assert target.kept is not None
    victim.end()


@binds("S7")
@pytest.mark.parametrize(
    ("name", "index"), [(name, i) for name, case in CASES.items() for i in range(len(case.beyond))]
)
def test_a_value_beyond(
    name: str, index: int, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A value beyond it is refused, in a line that names it; the call fails, or the connection
    ends.
    """
    with taming(caplog) as lines:
        refused(
            name,
            policy,
            dialect,
            lambda victim: victim.speaker.call(CASES[name].beyond[index], name=b"keep"),
        )
    (line,) = lines
    assert name in line or (name, dialect) == ("max_prefix", "pb")


@binds("S7", dialects=())
@pytest.mark.parametrize(
    ("name", "index"), [(name, i) for name, case in CASES.items() for i in range(len(case.plain))]
)
def test_plain_values(name: str, index: int, policy: str, caplog: pytest.LogCaptureFixture) -> None:
    """Values that cross msgpack/1 without a graph have the same limits."""
    within, beyond = CASES[name].plain[index]
    target = Target()
    victim = Victim("msgpack/1", policy_of(name, policy), target)
    victim.hear(plain_call(victim.speaker, within))
    assert target.kept == within
    victim.end()
    with taming(caplog) as lines:
        refused(name, policy, "msgpack/1", lambda victim: plain_call(victim.speaker, beyond))
    (line,) = lines
    assert name in line


def plain_call(speaker: Speaker, value: Any) -> bytes:
    """A call whose argument is in the message as a plain value."""
    frame = speaker._writer.call(1, 1, b"root", "keep", (value,), {}, None)
    assert frame is not None
    return frame


@binds("S7", dialects=())
@pytest.mark.parametrize("form", ["answer", "tuple", "keyword", "arguments"])
def test_plain_values_elsewhere(form: str, policy: str, caplog: pytest.LogCaptureFixture) -> None:
    """Results, keywords, and the arguments as a whole have the same limits."""
    victim = Victim("msgpack/1", policy_of("max_list", policy))
    far = victim.broker.remoteForName(b"theirs")
    errors: list[Any] = []
    far.callRemote("x").addBoth(errors.append)
    victim.scheduler.run()
    many, writer = [1] * 120, victim.speaker._writer
    frame = {
        "answer": lambda: writer.answer(1, many),
        "tuple": lambda: writer.answer(1, tuple(many)),
        "keyword": lambda: writer.call(1, 1, b"root", "echo", (), {"value": many}, None),
        "arguments": lambda: writer.call(1, 1, b"root", "echo", tuple(many), {}, None),
    }[form]()
    assert frame is not None
    with taming(caplog) as lines:
        victim.hear(frame)
    assert any("max_list" in line for line in [*lines, *map(str, errors)])
    assert not any(isinstance(each, list | tuple) for each in errors)
    victim.end()


@pytest.mark.row("S7")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.sent is not None])
def test_a_value_that_is_sent(name: str, dialect: str, policy: str) -> None:
    """A value that the peer would refuse is not sent: the call fails with TooLarge."""
    victim = Victim(dialect, policy_of(name, policy))
    far = victim.broker.remoteForName(b"theirs")
    errors: list[Any] = []
    before = victim.said
    far.callRemote("x", CASES[name].sent).addErrback(errors.append)
    far.callRemote("x", value=CASES[name].sent).addErrback(errors.append)
    victim.scheduler.run()
    assert [type(each.value) for each in errors] == [TooLarge, TooLarge]
    assert victim.said == before
    assert not victim.is_dead
    victim.end()
