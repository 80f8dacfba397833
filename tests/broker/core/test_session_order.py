"""A session: answers that come later, references, what waits for what, and the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.memory import ROOT, SessionPair, make_end
from support.session_ends import (
    Calling,
    Later,
    Pending,
    Server,
    feed,
    message,
    ready_server,
    sent,
)

from broker.core.events import CallPending, CallRaised
from broker.core.policy import STRICT
from broker.core.wire.dialects import PB
from broker.flavors.referenceable import Referenceable, Root
from jelly.errors import CannotJelly, ProtocolError
from jelly.limits import Limits

# Answers that come later.


def test_pending_calls() -> None:
    """A method that returns an awaitable is answered by ``finish`` or ``fail``, once."""
    pair = SessionPair(Later())
    ids = [pair.client.outgoing.call(ROOT, "later", (), {}) for _ in range(2)]
    pair.exchange()
    one, two = pair.server_host.of(CallPending)
    assert isinstance(one.result, Pending)
    assert pair.server.running == 2
    assert pair.call("echo", 5) == 5
    pair.server.fail(two.ticket, KeyError("x"))
    pair.server.finish(one.ticket, ["value"])
    pair.server.finish(one.ticket, "again")
    pair.server.fail(two.ticket, KeyError("again"))
    pair.exchange()
    assert pair.server.running == 0
    assert pair.client_host.outcome(ids[0]) == ["value"]
    assert pair.client_host.outcome(ids[1]) == "KeyError: 'x'"
    assert len(pair.client_host.outcomes) == 3


def test_an_old_ticket_does_not_answer_a_new_call() -> None:
    """A call that was answered cannot answer another that has its id."""
    session = ready_server(Later())
    feed(session, message(7, b"later"))
    old = session.host.pending()
    session.finish(old, 1)
    feed(session, message(7, b"later"))
    new = session.host.pending()
    sent(session)
    session.finish(old, 2)
    assert sent(session) == []
    session.finish(new, 3)
    assert sent(session) in ([], [[b"answer", 7, 3]])


def test_too_many_calls() -> None:
    """Above max_calls a call is refused, and did not run; the others go on."""
    root = Later()
    session = ready_server(root, max_calls=2)
    feed(session, message(1, b"later"), message(2, b"later"), message(3, b"echo", 1))
    assert sent(session)[0][2][1] == b"ServerBusy: 2 calls in flight (max_calls)"
    assert root.log == []
    session.finish(session.host.pending(), None)
    feed(session, message(3, b"echo", 1))
    assert root.log == [(1,)]


def test_draining() -> None:
    """While it drains, a session refuses new calls, and answers those that run."""
    root = Later()
    session = ready_server(root)
    feed(session, message(1, b"later"))
    session.drain()
    feed(session, message(2, b"echo", 1))
    assert root.log == []
    session.finish(session.host.pending(), 5)
    error, answer = sent(session)
    assert error[2][1] == b"ServerDraining: not run: the server is shutting down"
    assert answer == [b"answer", 1, 5]


def test_abandoning() -> None:
    """The answer to a call that was given up is dropped, but what it refers to is released."""
    pair = SessionPair(Server())
    request_id = pair.client.outgoing.call(ROOT, "make", (), {})
    pair.client.outgoing.abandon(request_id)
    pair.exchange()
    assert pair.client_host.events == []
    assert len(pair.server.translator.exports) == 0
    assert len(pair.client.outgoing.open_calls) == 0


# References.


def test_counts_on_the_wire() -> None:
    """Each reception is one decref, once the one reference to the object is collected."""
    root = Server()
    pair = SessionPair(root)
    mine = Referenceable()
    for _ in range(3):
        pair.call("keep", mine)
    assert len(set(map(id, root.kept))) == 1
    exports = pair.client.translator.exports
    assert exports.entry_of(id(mine)).count == 3
    assert pair.server_host.released == 0
    root.kept.clear()
    assert pair.server_host.released == 1
    before = len(pair.wire["server"])
    pair.exchange()
    assert pair.wire["server"][before:] == PB.writer(Limits()).write_expression([b"decref", 1]) * 3
    assert len(exports) == 0


@pytest.mark.parametrize("policy", [{"is_draining": True}, {"max_calls": 0}, {}])
@pytest.mark.parametrize("target", [ROOT, 99])
def test_a_refused_call_lets_its_arguments_go(policy: dict[str, Any], target: Any) -> None:
    """What the arguments of a refused call refer to is released, since its sender counted it."""
    limits = {key: value for key, value in policy.items() if key == "max_calls"}
    pair = SessionPair(Server(), policy=STRICT.but(**limits))
    if policy.get("is_draining"):
        pair.server.drain()
    request_id = pair.client.outgoing.call(
        target, "nothing", (Referenceable(),), {"k": [Referenceable()]}
    )
    assert len(pair.client.translator.exports) == 2
    pair.exchange()
    assert isinstance(pair.client_host.outcome(request_id), str)
    # The event holds the error, and that the frame in which it was raised.
    pair.server_host.events.clear()
    pair.exchange()
    assert len(pair.client.translator.exports) == 0


def test_releases_after_the_end() -> None:
    """What is collected when the session is over is told to nobody."""
    root = Server()
    pair = SessionPair(root)
    pair.call("keep", Referenceable())
    pair.server.end()
    root.kept.clear()
    assert pair.server_host.released == 0
    assert pair.server.data_to_send() == b""


# Order, and holding back.


def test_methods_wait_for_tasks_that_have_not_begun() -> None:
    """While a task has not begun, no method begins that would begin at once."""
    root = Server()
    session = ready_server(root)
    session.inbox.has_unstarted_tasks = True
    feed(session, message(1, b"wait", 1), message(2, b"echo", 2), message(3, b"wait", 3))
    assert [event.ticket.request_id for event in session.host.of(CallPending)] == [1]
    assert session.pump() is True
    assert root.log == []
    session.inbox.has_unstarted_tasks = False
    session.pump()
    assert root.log == [(2,)]
    for event in session.host.of(CallPending):
        event.result.close()
    assert len(session.host.of(CallPending)) == 2


def test_answers_do_not_wait_for_tasks() -> None:
    """What runs no method goes on meanwhile, as far as order allows."""
    session = ready_server(Server())
    request_id = session.outgoing.call(1, "m", (), {})
    session.inbox.has_unstarted_tasks = True
    feed(session, [b"answer", request_id, 5], message(2, b"nothing"), message(3, b"echo", 1))
    assert session.host.outcomes == [(request_id, True, 5)]
    assert len(session.host.of(CallRaised)) == 1


class Hooked(Referenceable):
    """Handles its calls itself."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def remoteMessageReceived(self, broker: Any, message: Any, args: Any, kw: Any) -> Any:
        """Answer with an expression."""
        self.log.append((message, args, kw))
        if message == "bad":
            return object()
        return [b"list", b"expression"]


def test_overridden_hooks() -> None:
    """A class with a hook of its own gets, and returns, expressions."""
    root = Hooked()
    pair = SessionPair(root)
    assert pair.call("anything", (1, "a"), k=2) == [b"expression"]
    assert root.log == [
        (
            "anything",
            [b"tuple", [b"tuple", 1, [b"unicode", b"a"]]],
            [b"dictionary", [[b"unicode", b"k"], 2]],
        )
    ]
    assert pair.call("bad").startswith("EncodeError")


def test_overridden_hooks_wait_too() -> None:
    """A hook of the application's begins at once, so it waits for tasks that have not begun."""
    root = Hooked()
    session = ready_server(root)
    session.inbox.has_unstarted_tasks = True
    feed(session, message(1, b"anything"))
    assert root.log == []
    session.inbox.has_unstarted_tasks = False
    session.pump()
    assert len(root.log) == 1


def test_holding_calls() -> None:
    """Held calls wait, and what lets go behind them; answers go on; then all comes in order."""
    root = Server()
    session = ready_server(root)
    kept = Referenceable()
    object_id = session.translator.export(kept, id(kept))
    request_id = session.outgoing.call(1, "m", (), {})
    session.inbox.hold_calls(True)
    feed(
        session,
        message(1, b"echo", 1),
        [b"decref", object_id],
        [b"answer", request_id, 5],
        message(2, b"echo", 2),
        [b"unknown"],
    )
    assert root.log == []
    assert session.host.outcomes == [(request_id, True, 5)]
    assert session.translator.exports.get(object_id) is not None
    assert session.pump() is False
    session.inbox.hold_calls(False)
    feed(session, message(3, b"echo", 3))
    assert root.log == [(1,), (2,), (3,)]
    assert session.translator.exports.get(object_id) is None


def test_held_calls_go_on_in_slices() -> None:
    """Held messages are handled before newer ones, however many pump takes."""
    root = Server()
    session = ready_server(root)
    session.inbox.hold_calls(True)
    feed(session, *(message(n, b"echo", n) for n in range(1, 4)))
    session.inbox.hold_calls(False)
    feed(session, message(4, b"echo", 4), pump=False)
    assert session.pump(1) is True
    assert session.pump(2) is True
    assert session.pump(2) is False
    assert root.log == [(n,) for n in range(1, 5)]


def test_two_ends_that_hold_each_others_calls() -> None:
    """Calls made before both ends hold back are still answered: no deadlock."""
    pair = SessionPair(Server())
    request_id = pair.client.outgoing.call(ROOT, "echo", (1,), {})
    pair.client.inbox.hold_calls(True)
    pair.exchange()
    assert pair.client_host.outcome(request_id) == 1


def test_the_backlog() -> None:
    """What waits to be handled is charged against the cap, until all of it is handled."""
    session = ready_server(Server(), max_backlog=100)
    assert session.inbox.wants_data
    feed(session, *(message(n, b"echo", n) for n in range(1, 9)), pump=False)
    assert not session.inbox.wants_data
    session.pump(7)
    assert not session.inbox.wants_data
    session.pump()
    assert session.inbox.wants_data


def test_calls_made_inside_hooks_wait_behind() -> None:
    """A call that a hook makes goes out after the message in whose making it was made."""
    root = Server()
    pair = SessionPair(root)
    hook = Calling(pair.client)
    outer = pair.client.outgoing.call(ROOT, "keep", (hook,), {})
    assert pair.client.outbox.unsent.queued == 2
    pair.exchange()
    outcomes = pair.client_host.outcomes
    assert [request_id for request_id, _, _ in outcomes] == [outer, *hook.request_ids]
    assert root.log == [("inner",)]


def test_calls_made_inside_hooks_end_as_not_run() -> None:
    """If the message is not sent, neither are they; each is told, and nothing is written."""
    pair = SessionPair(Server())
    hook = Calling(pair.client, error=True)
    with pytest.raises(CannotJelly, match="not this one"):
        pair.client.outgoing.call(ROOT, "keep", ([Calling(pair.client), hook],), {})
    assert pair.client.data_to_send() == b""
    refused = pair.client_host.outcomes
    assert len(refused) == 2
    for _, is_answered, failure in refused:
        assert not is_answered
        assert str(failure) == "not run: the message that it belonged to was not sent"
    assert len(pair.client.outgoing.open_calls) == 0
    assert len(pair.client.translator.exports) == 0


def test_calls_made_while_an_answer_is_made() -> None:
    """They wait behind the answer, or end as not run with it."""
    pair = SessionPair(Server())
    pair.client.translator.exports.name(ROOT, Server())
    hook = Calling(pair.server)
    pair.server.translator.exports.name(ROOT, type("R", (Root,), {"remote_get": lambda _: hook})())
    pair.call("get")
    assert pair.server_host.outcome(hook.request_ids[0]) == "inner"
    hook.error = True
    assert pair.call("get").startswith("CannotJelly")
    assert "not run" in str(pair.server_host.outcome(hook.request_ids[1]))


def test_calls_made_while_the_application_serializes() -> None:
    """They follow what the application sends next; if serializing fails they end as not run."""
    pair = SessionPair(Server())
    hook = Calling(pair.client)
    expression = pair.client.outbox.serialize(hook, None, None, None, None)
    assert expression[0] == b"remote"
    pair.client.outbox.send_expression(message(1000, b"echo", 1, answer=0))
    pair.exchange()
    assert pair.client_host.outcome(hook.request_ids[0]) == "inner"
    root = pair.server.translator.exports.get(ROOT).value
    assert root.log == [(1,), ("inner",)]
    hook.error = True
    with pytest.raises(CannotJelly):
        pair.client.outbox.serialize([hook], None, None, None, None)
    assert "not run" in str(pair.client_host.outcome(hook.request_ids[1]))
    assert pair.client.data_to_send() == b""


# The end.


def test_the_end() -> None:
    """Each call without an answer is handed out, with whether it may have run."""
    pair = SessionPair(Later())
    written = pair.client.outgoing.call(ROOT, "later", (), {})
    pair.client.data_to_send()
    unwritten = pair.client.outgoing.call(ROOT, "later", (), {})
    given_up = pair.client.outgoing.call(ROOT, "later", (), {})
    pair.client.outgoing.abandon(given_up)
    assert pair.client.end() == {written: True, unwritten: False}
    assert pair.client.end() == {}
    assert pair.client.data_to_send() == b""
    pair.client.receive(b"anything")
    assert pair.client.pump() is False


def test_answers_after_the_end() -> None:
    """A method that ends after the connection has nobody to tell, and exports nothing."""
    session = ready_server(Later())
    feed(session, message(1, b"later"))
    call = session.host.pending()
    session.end()
    session.finish(call, Referenceable())
    session.fail(call, ValueError())
    assert session.data_to_send() == b""
    assert len(session.translator.exports) == 0


def test_a_method_that_ends_the_connection() -> None:
    """What it returns is not exported, and no further message is handled."""
    root = Server()
    session = ready_server(root)
    ending = type("Ending", (Root,), {"remote_end": lambda _: (session.end(), Referenceable())[1]})
    session.translator.exports.name(b"ending", ending())
    feed(session, message(1, b"end", target=b"ending"), message(2, b"echo", 1))
    assert root.log == []
    assert len(session.translator.exports) == 0
    assert session.host.of(CallRaised) == []


def test_no_cancellation_gets_out() -> None:
    """Whatever a method raises is its answer, except what ends the process."""
    root = type("R", (Server,), {})()
    pair = SessionPair(root)

    def cancelled(self: Any) -> None:
        raise asyncio.CancelledError("inside")

    type(root).remote_cancelled = cancelled
    assert pair.call("cancelled") == "CancelledError: inside"
    with pytest.raises(KeyboardInterrupt):
        pair.call("exit")


def test_long_answers_are_sent_before_more_calls_are_made() -> None:
    """A pump ends once its answers are beyond the high water mark, however many calls wait."""
    server = Server()
    pair = SessionPair(server)
    for _ in range(5):
        pair.client.outgoing.call(ROOT, "echo", ("x" * (STRICT.high_water // 2),), {})
    pair.server.receive(pair.client.data_to_send())
    counts = []
    while pair.server.pump():
        counts.append(len(server.log))
        assert pair.server.data_to_send()
    assert counts == [2, 4]
    assert len(server.log) == 5


def test_a_dialect_that_is_selected() -> None:
    """Without a handshake a side speaks what it is told to, once, and only what it offers."""
    session = make_end(STRICT, is_client=True)
    with pytest.raises(ProtocolError, match="was not offered"):
        session.select(b"esperanto")
    assert session.dialect is None
    session.select(b"none")
    assert session.dialect is not None
    with pytest.raises(ProtocolError, match="spoken already"):
        session.select(b"pb")
