"""A frame says how its value is finished."""

from __future__ import annotations

from typing import Any

from jelly.frames import Frame
from jelly.unjellier import Unjellier


def test_a_frame_may_go_on() -> None:
    """A frame whose ``finish`` returns another frame goes on with the same value."""
    seen: list[Any] = []

    def second(unjellier: Unjellier, parts: list[Any], target: Any) -> Any:
        return [*target, *parts]

    def first(unjellier: Unjellier, parts: list[Any], target: Any) -> Any:
        seen.append(list(parts))
        return Frame([], iter([[b"list", 3]]), second, parts, None)

    def row(unjellier: Unjellier, expression: list[Any]) -> Any:
        return Frame([], iter(expression[1:]), first, None, None)

    made = Unjellier(rows={b"ours": row}).unjellyFull([b"tuple", [b"ours", 1, [b"list"]], 5])
    assert made == ([1, [], [3]], 5)
    assert seen == [[1, []]]
