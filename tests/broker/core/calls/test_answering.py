"""Answers: their bytes are counted, and a result that cannot be sent is refused in its place."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ROOT, FakeHost, SessionPair

from broker.core.calls.answering import Answers
from broker.core.calls.dispatch import Route
from broker.core.calls.incoming_call import IncomingCall
from broker.core.events import CallRaised
from broker.core.principal import OnBehalf, Principal
from broker.flavors.referenceable import Referenceable, Root


class Answering(Root):
    """Methods with every kind of answer."""

    def remote_first(self, value: Any = None) -> Any:
        """Return the argument."""
        return value

    def remote_raise(self) -> None:
        """Raise an error."""
        raise ValueError("as asked")

    def remote_graph(self) -> Any:
        """Return what needs a jellier."""
        return [Referenceable(), {1, 2}]

    def remote_unsendable(self) -> Any:
        """Return what cannot be sent."""
        return [object()]


def answers_of(pair: SessionPair) -> Answers:
    """The answers of the server."""
    return pair.server.incoming.answers


ANSWERED: list[tuple[str, tuple[Any, ...]]] = [
    ("first", ("x" * 50,)), ("first", ()), ("raise", ()), ("graph", ()), ("unsendable", ()),
    ("missing", ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), ANSWERED)
def test_bytes_are_counted(name: str, args: tuple[Any, ...]) -> None:
    """The bytes of answers and of errors are counted, for a peer that may not read them."""
    pair = SessionPair(Answering())
    answers_of(pair).size = 0
    sent = len(pair.wire["server"])
    pair.call(name, *args)
    assert answers_of(pair).size == len(pair.wire["server"]) - sent > 0


def test_one_way_calls_are_not_counted() -> None:
    """A one-way call has no answer, also if it fails."""
    pair = SessionPair(Answering())
    answers_of(pair).size = 0
    pair.client.outgoing.call(ROOT, "first", (5,), {}, wants_answer=False)
    pair.client.outgoing.call(ROOT, "raise", (), {}, wants_answer=False)
    pair.exchange()
    assert answers_of(pair).size == 0


def test_a_result_that_cannot_be_sent() -> None:
    """Its call is refused, with the place in the result as a note for this side only."""
    pair = SessionPair(Answering())
    assert pair.call("unsendable").startswith("CannotJelly")
    (event,) = [each for each in pair.server_host.events if isinstance(each, CallRaised)]
    assert event.error.__notes__ == ["result[0] of 'unsendable'"]  # type: ignore[attr-defined]


class Fielded(FakeHost):
    """A host whose errors have a field that cannot be sent, or that has none left."""

    def __init__(self, has_fields: bool):
        super().__init__()
        self.has_fields = has_fields

    def shown_error(self, error: Any) -> tuple[Any, str | None]:
        """Show an object that cannot be sent, until its field is dropped."""
        if isinstance(error, RuntimeError):
            return str(error), "id"
        self.shown: list[Any] = ["shown", object()]
        return self.shown, None

    def drop_fields(self, shown: object, fault: BaseException) -> bool:
        """Drop the field, if that helps."""
        if self.has_fields:
            self.shown[1] = "dropped"
        return self.has_fields


@pytest.mark.parametrize("has_fields", [True, False])
def test_an_error_that_cannot_be_sent(has_fields: bool) -> None:
    """It is sent without its fields; if that does not help, an error that says so is sent."""
    pair = SessionPair(Answering())
    host = Fielded(has_fields)
    answers = answers_of(pair)
    answers._host = host
    call = IncomingCall(7, "name", True)
    error = ValueError("with fields")
    size = answers._outbox.unsent.size
    answers.refuse(call, error)
    assert answers._outbox.unsent.size > size
    (event,) = host.events
    assert isinstance(event, CallRaised)
    if has_fields:
        assert (event.error, event.error_id) == (error, None)
    else:
        assert str(event.error) == "the error cannot be sent: CannotJelly"
        assert event.error_id == "id"
        assert isinstance(event.error, RuntimeError) and event.error.__cause__ is error


def test_who_owns_what_an_answer_sends() -> None:
    """The principal of the call owns it, or the one that the method gives; it can be undone."""
    pair = SessionPair(Answering())
    answers, translator = answers_of(pair), pair.server.translator
    caller, other = (Principal(translator, pair.server.incoming.context.copy()) for _ in range(2))
    mine, given = Referenceable(), Referenceable()
    call = IncomingCall(7, "name", True)
    call.principal, call.route = caller, Route(mine, "remote_")
    assert answers.send(call, mine) is None
    assert translator.exports.entry_of(mine.processUniqueID(), caller) is not None
    call = IncomingCall(8, "name", True)
    call.principal, call.route = caller, Route(mine, "remote_")
    undone: list[str] = []
    assert answers.send(call, OnBehalf(other, given, lambda: undone.append("first"))) is None
    assert translator.exports.entry_of(given.processUniqueID(), other) is not None
    assert translator.exports.entry_of(given.processUniqueID(), caller) is None
    assert undone == []
    call = IncomingCall(9, "name", True)
    call.route = Route(mine, "remote_")
    answers.send(call, OnBehalf(other, object(), lambda: undone.append("second")))
    assert undone == ["second"]
