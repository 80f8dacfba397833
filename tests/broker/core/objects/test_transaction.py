"""A transaction: whole or not at all."""

from __future__ import annotations

from typing import Any

from broker.core.objects.transaction import Transaction
from broker.core.wire.messages import RequestId


def test_rollback_is_newest_first_and_once() -> None:
    """What was done is undone in the opposite order, one time."""
    transaction, undone = Transaction(), []
    for number in range(3):
        transaction.on_rollback(lambda number=number: undone.append(number))
    assert transaction.roll_back() == []
    assert undone == [2, 1, 0]
    assert transaction.roll_back() == []
    assert len(undone) == 3


def test_a_hook_that_raises_stops_nothing() -> None:
    """All is undone, and what hooks raised is returned."""
    transaction, undone = Transaction(), []
    error = ValueError()

    def broken() -> None:
        raise error

    transaction.on_rollback(lambda: undone.append(1))
    transaction.on_rollback(broken)
    transaction.on_rollback(lambda: undone.append(2))
    assert transaction.roll_back() == [error]
    assert undone == [2, 1]


def test_join() -> None:
    """A message made inside another waits behind it, and shares its fate."""
    undone: list[str] = []
    outer = Transaction(None, "perspective")
    outer.on_rollback(lambda: undone.append("outer"))
    inner = Transaction(outer)
    inner.on_rollback(lambda: undone.append("inner"))
    inner.behind.append(b"behind the inner")
    inner.requests.append(RequestId(2))
    inner.join(b"inner", RequestId(1))
    assert outer.behind == [b"inner", b"behind the inner"]
    assert outer.requests == [1, 2]
    assert undone == []
    outer.roll_back()
    assert undone == ["inner", "outer"]


def test_a_message_that_wants_no_answer_joins_without_id() -> None:
    """An expression that was only made, and a call without answer, leave nothing to wait for."""
    outer = Transaction()
    Transaction(outer).join(None, None)
    assert (outer.behind, outer.requests) == ([], [])


def test_what_hooks_see() -> None:
    """A transaction has the attributes that hooks read."""
    transaction: Any = Transaction(None, "perspective", "method", (1,), {"a": 1})
    seen = (transaction.perspective, transaction.method, transaction.args, transaction.kw)
    assert seen == ("perspective", "method", (1,), {"a": 1})
