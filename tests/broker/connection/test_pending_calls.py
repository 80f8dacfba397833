"""Calls of ours: each has a Deferred, which fires once, whatever becomes of the call."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest

from broker.connection.peer import Peer
from broker.connection.pending_calls import PendingCalls
from broker.core.calls.attached import attach
from broker.core.calls.deadline import DEADLINE
from broker.core.stats import Stats
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import Feature
from broker.defer import Deferred
from broker.errors import ConfigError, DeadReferenceError, Error, PBConnectionLost, RemoteError
from broker.failure import Failure
from broker.flavors.failures import CopiedFailure
from broker.net.log_throttle import LogThrottle
from jelly.errors import CannotJelly


class Owner:
    """A connection, as the log has it."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.log_throttle = LogThrottle()


class FakeSession:
    """Notes the calls that it is asked to make, and numbers them; refuses those of "unsendable"."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.attached: list[Any] = []
        self.features = frozenset(Feature)
        self.abandoned: list[int] = []
        self.passed: tuple[()] = ()
        self.stats = self.counters = Stats()
        self.outbox: Any = self
        self.outgoing: Any = self
        self.inbox: Any = SimpleNamespace(lane=None)
        self.host: Any = Owner()
        self.takes_notices = True
        self.tracing = None

    def call(
        self,
        object_id: Any,
        name: str,
        args: Any,
        kw: Any,
        perspective: Any,
        wants_answer: bool,
        deadline: int | None = None,
        to_cache: bool = False,
        credit: tuple[int, int] | None = None,
        meta: dict[str, str] | None = None,
    ) -> int:
        """Note it."""
        if name == "unsendable":
            raise CannotJelly("object of type X")
        self.made.append((object_id, name, args, kw, perspective, wants_answer, deadline, to_cache))
        self.attached.append((credit, meta))
        return len(self.made)

    def broadcast(self, object_id: Any, notice: Broadcast, number: int) -> bool:
        """Note it, if it can be sent without a jellier."""
        if self.takes_notices:
            self.made.append((object_id, notice))
        return self.takes_notices

    def abandon(self, request_id: int) -> None:
        """Note it."""
        self.abandoned.append(request_id)


class Line:
    """The calls of a connection that is open, and how often they were flushed, soon or later."""

    def __init__(self) -> None:
        self.session = FakeSession()
        self.flushes: list[str] = []
        session: Any = self.session
        self.calls = PendingCalls(self.session.host, session, self)
        self.calls.is_open = True

    def soon_flush(self) -> None:
        """Count it."""
        self.flushes.append("soon")

    def flush_later(self) -> None:
        """Count it."""
        self.flushes.append("later")

    def call(self, name: str | bytes = "m", *args: Any, **kw: Any) -> Any:
        """Call a method of object 5 through somebody's eyes."""
        return self.calls.call("eyes", 5, name, args, kw)


def outcomes(deferred: Deferred[Any]) -> list[Any]:
    """The results that a Deferred has had, and will have."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


def test_a_call_and_its_answer() -> None:
    """A call is made and sent; its answer fires its Deferred, once."""
    line = Line()
    first, second = (outcomes(line.call("m", n, k=n)) for n in (1, 2))
    assert line.session.made == [
        (5, "m", (n,), {"k": n}, "eyes", True, None, False) for n in (1, 2)
    ]
    assert line.flushes == ["soon", "soon"]
    line.calls.answered(2, "two")
    assert (first, second) == ([], ["two"])
    line.calls.answered(1, None)
    line.calls.answered(1, "again")
    line.calls.refused(2, ValueError())
    line.calls.lost({1: True, 2: True}, None)
    assert (first, second) == ([None], ["two"])


def test_a_name_may_be_bytes() -> None:
    """As Twisted's callers give it."""
    line = Line()
    line.call(b"m\xc3\xa9")
    assert line.session.made[0][1] == "mé"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_refusal_that_is_an_exception(error: BaseException) -> None:
    """It is what the Deferred fails with."""
    line = Line()
    results = outcomes(line.call())
    line.calls.refused(1, error)
    assert [failure.value for failure in results] == [error]
    line.calls.answered(1, "late")
    assert len(results) == 1


def test_a_refusal_that_is_a_failure() -> None:
    """It is passed on; what else a peer fails a call with is an Error that shows it."""
    line = Line()
    results = [outcomes(line.call()) for _ in range(2)]
    given = Failure(ValueError("no"))
    line.calls.refused(1, given)
    assert results[0] == [given]
    line.calls.refused(2, "text of the peer's")
    (failure,) = results[1]
    assert (type(failure), type(failure.value)) == (Failure, Error)
    assert str(failure.value) == "text of the peer's"


def test_no_answer_wanted() -> None:
    """With ``pbanswer=False`` there is no Deferred, and the keyword is not sent."""
    line = Line()
    assert line.call("m", 1, pbanswer=False, k=2) is None
    assert line.call("m", 1, pbanswer=0) is None
    assert outcomes(line.call("m", pbanswer=True)) == []
    assert [made[3:6] for made in line.session.made] == [
        ({"k": 2}, "eyes", False),
        ({}, "eyes", False),
        ({}, "eyes", True),
    ]
    assert line.flushes == ["soon"] * 3
    line.calls.lost({1: True, 2: True, 3: True}, None)


def test_what_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """It fails the Deferred, or is logged where there is none; nothing is flushed."""
    line = Line()
    (failure,) = outcomes(line.call("unsendable"))
    assert type(failure.value) is CannotJelly
    assert caplog.records == []
    with caplog.at_level(logging.ERROR):
        assert line.call("unsendable", pbanswer=False) is None
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert "unsendable" in caplog.text
    assert line.flushes == []


def test_an_error_knows_its_method() -> None:
    """A RemoteError has the method's name; so has the text of a TypeError, which says little."""
    line = Line()
    texts = []
    for number, kind in enumerate(("builtins.TypeError", "builtins.KeyError"), 1):
        called = line.call("add")
        copied = CopiedFailure.__new__(CopiedFailure)
        copied.setCopyableState({"type": kind, "value": "text"})
        line.calls.refused(number, copied)
        error = called.result.as_exception()
        assert error.method == "add"
        texts.append(str(error))
        called.addErrback(lambda _: None)
    assert texts == [
        "builtins.TypeError: text (raised by the remote method 'add')",
        "builtins.KeyError: text",
    ]
    assert str(RemoteError("builtins.TypeError", "text")) == "text"


def test_what_cannot_be_sent_one_way(caplog: Any) -> None:
    """An event that cannot be sent is raised, and judged above; for one reference it is logged."""
    line = Line()
    line.session.takes_notices = False
    line.calls.send("eyes", 5, "unsendable", (), {})
    assert "call of 'unsendable' without answer was not sent" in caplog.text
    with pytest.raises(CannotJelly):
        line.calls.notify("eyes", 5, Broadcast("unsendable", (), {}))
    assert line.flushes == []


def test_send() -> None:
    """A call that wants no answer, sent soon."""
    line = Line()
    line.calls.send("eyes", 5, "m", (1,), {"k": 2})
    assert line.session.made == [(5, "m", (1,), {"k": 2}, "eyes", False, None, False)]
    assert line.flushes == ["soon"]


def test_notify() -> None:
    """A call to many is sent at the end of the turn, as it is or by a jellier, and counted."""
    line = Line()
    notice = Broadcast("m", (1,), {"k": 2})
    line.calls.notify("eyes", 5, notice)
    assert line.session.made == [(5, notice)]
    assert line.session.counters.calls_made == 1
    line.session.takes_notices = False
    line.calls.notify("eyes", 5, notice)
    assert line.session.made[1:] == [(5, "m", (1,), {"k": 2}, "eyes", False, None, False)]
    # The session itself counts what it is asked to call.
    assert line.session.counters.calls_made == 1
    assert line.flushes == ["later", "later"]


def test_a_connection_that_has_ended() -> None:
    """A call that wants an answer raises, and so does a notice; one-way calls do nothing."""
    line = Line()
    line.calls.is_open = False
    assert line.call(pbanswer=False) is None
    assert line.calls.send("eyes", 5, "m", (), {}) is None
    for call in (line.call, lambda: line.calls.notify("eyes", 5, Broadcast("m", (), {}))):
        with pytest.raises(DeadReferenceError, match="connection of this reference has ended"):
            call()
    assert (line.session.made, line.flushes) == ([], [])


def test_cancelling() -> None:
    """A Deferred that is cancelled is forgotten, the session told, and the peer soon."""
    line = Line()
    deferred = line.call()
    results = outcomes(deferred)
    deferred.cancel()
    assert line.session.abandoned == [1]
    assert line.flushes == ["soon", "soon"]
    assert len(results) == 1
    line.calls.answered(1, "late")
    line.calls.lost({1: True}, None)
    assert len(results) == 1
    assert line.calls.waiting == {}


def test_the_end() -> None:
    """Calls that will have no answer fail, and say why, and whether they may have run."""
    line = Line()
    results = [outcomes(line.call()) for _ in range(3)]
    line.calls.answered(2, "two")
    reason = ValueError("cut")
    line.calls.lost({1: True, 2: True, 3: False, 99: True}, reason)
    assert results[1] == ["two"]
    lost = [results[n][0].value for n in (0, 2)]
    assert [type(error) for error in lost] == [PBConnectionLost] * 2
    assert [error.may_have_run for error in lost] == [True, False]
    assert ["cut" in str(error) for error in lost] == [True, True]
    assert line.calls.waiting == {}


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (None, None),
        (100.0, 1),
        (100.25, 251),
        (99.0, 0),
        (0.0, 0),
        (1e6, 999_900_001),
        (1e12, None),
        (math.inf, None),
    ],
)
def test_deadlines(ends: float | None, told: int | None) -> None:
    """The session is told how many milliseconds are left, rounded up; one without end is none."""
    line = Line()
    line.calls.now = lambda: 100.0
    token = DEADLINE.set(ends)
    try:
        line.call()
    finally:
        DEADLINE.reset(token)
    assert line.session.made[0][6] == told


def test_what_is_attached() -> None:
    """A call has the metadata of the running code and its own; one without an answer no credit."""
    line = Line()
    with attach(credit=(1, 2), meta={"x-a": "1", "x-b": "1"}):
        line.call()
        line.call(pbanswer=False)
        line.calls.send("eyes", 5, "m", (), {})
        line.calls.make_call("eyes", 5, "m", (), {}, meta={"x-b": "2", "once": "k"})
    line.calls.make_call("eyes", 5, "m", (), {}, meta={"x-c": "3"})
    line.call()
    meta = {"x-a": "1", "x-b": "1"}
    assert line.session.attached == [
        ((1, 2), meta),
        (None, meta),
        (None, meta),
        ((1, 2), {"x-a": "1", "x-b": "2", "once": "k"}),
        (None, {"x-c": "3"}),
        (None, None),
    ]


def test_calls_in_once() -> None:
    """Without a key of it, a call that wants an answer is refused before anything is sent."""
    line = Line()
    with attach(is_once=True):
        with pytest.raises(ConfigError, match=r"^once needs the avatar, a named object or a rec"):
            line.call()
        assert line.session.made == []
        line.calls.make_call("eyes", 5, "m", (), {}, meta={"once": "k"})
        line.calls.send("eyes", 5, "m", (), {})
    assert line.session.attached == [(None, {"once": "k"}), (None, None)]
