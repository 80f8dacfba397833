"""The handlers of incoming messages: one table by message type for each state of a session.

A message that is not allowed in a state raises ProtocolError there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.calls.login_gate import gated
from broker.core.events import (
    CallAnswered,
    CallRaised,
    Misunderstood,
    PeerDrains,
    PeerLeaves,
)
from broker.core.host import takes_messages
from broker.core.queued import Barrier, Handlers, Released
from broker.core.wire import messages
from broker.core.wire.commands import records
from broker.core.wire.terms import read_terms
from broker.core.work import WorkLeft
from jelly.atoms import text_of
from jelly.errors import ProtocolError

if TYPE_CHECKING:
    from broker.core.session import Session

__all__ = ["BEFORE_VERSION", "GATED", "GATED_BEFORE_VERSION", "OPEN"]


def _on_version(session: Session, message: messages.Version) -> None:
    if message.number != messages.PROTOCOL_VERSION:
        raise ProtocolError(
            f"the peer speaks version {message.number}, not {messages.PROTOCOL_VERSION}"
        )
    terms = read_terms(message.terms)
    if terms != session.outbox.terms:
        session.outbox.take_terms(terms)
    if session.gate is None:
        session.inbox.handlers = OPEN
        session.allow_lane()
    else:
        session.inbox.handlers = GATED
    session.terms_came()


def _on_second_version(session: Session, message: messages.Version) -> None:
    raise ProtocolError("a second version")


def _too_early(session: Session, message: messages.Message) -> None:
    raise ProtocolError("the first frame is not the version")


def _on_plain_call(session: Session, message: messages.PlainCall) -> WorkLeft:
    return session.incoming.receive_plain(message, True)


def _on_plain_send(session: Session, message: messages.PlainSend) -> WorkLeft:
    return session.incoming.receive_plain(message, False)


def _on_call(session: Session, message: messages.GraphCall) -> WorkLeft:
    return session.incoming.receive(message, message.wants_answer)


def _on_call_to_cache(session: Session, message: messages.GraphCallToCache) -> WorkLeft:
    if session.incoming.used_promises and session.incoming.keeps_behind(message.object_id, message):
        return None
    return session.incoming.receive(message, message.wants_answer)


def _on_plain_call_to_cache(session: Session, message: messages.PlainCallToCache) -> WorkLeft:
    if session.incoming.used_promises and session.incoming.keeps_behind(message.object_id, message):
        return None
    return session.incoming.receive_plain(message, True, True)


def _on_plain_send_to_cache(session: Session, message: messages.PlainSendToCache) -> WorkLeft:
    if session.incoming.used_promises and session.incoming.keeps_behind(message.object_id, message):
        return None
    return session.incoming.receive_plain(message, False, True)


def _on_plain_answer(session: Session, message: messages.PlainAnswer | messages.PlainTuple) -> None:
    session.outgoing.on_plain_answer(message)


def _on_answer(session: Session, message: messages.GraphAnswer) -> WorkLeft:
    return session.outgoing.on_answer(message)


def _on_failed(session: Session, message: messages.GraphError) -> WorkLeft:
    return session.outgoing.on_failed(message)


def _on_did_not_understand(session: Session, message: messages.DidNotUnderstand) -> None:
    session.host.on_event(Misunderstood(text_of(message.command)))


def _on_raw(session: Session, raw: messages.Raw) -> None:
    if takes_messages(session.host):
        session.host.expressionReceived(raw.expression)


def _on_unknown_command(session: Session, message: messages.UnknownCommand) -> None:
    session.outbox.send(messages.DidNotUnderstand(message.command))


def _on_cancel(session: Session, message: messages.Cancel) -> None:
    session.incoming.cancel(message.request_id)


def _on_ping(session: Session, message: messages.Ping) -> None:
    session.count_ping()
    session.outbox.say(messages.Pong(message.token))


def _on_pong(session: Session, message: messages.Pong) -> None:
    """Report it; the layer that passes in bytes has noticed that the peer answers."""
    if session.on_pong is not None:
        session.on_pong(message.token)


def _on_goodbye(session: Session, message: messages.Goodbye) -> None:
    # Later messages are ignored.
    session.forget_received()
    session.host.on_event(PeerLeaves(message.code, message.text))


def _on_draining(session: Session, message: messages.Draining) -> None:
    session.host.on_event(PeerDrains(message.after, message.elsewhere))


def _on_credit(session: Session, message: messages.Credit) -> None:
    session.streaming.on_credit(message)


def _on_items(session: Session, message: messages.Items) -> None:
    if not session.incoming.keeps_behind(message.stream, message):
        session.streaming.on_items(message)


def _on_item_graph(session: Session, message: messages.ItemGraph) -> None:
    if not session.incoming.keeps_behind(message.stream, message):
        session.streaming.on_item_graph(message)


def _on_piece(session: Session, message: messages.Piece) -> None:
    if not session.incoming.keeps_behind(message.stream, message):
        session.streaming.on_piece(message)


def _on_end(session: Session, message: messages.End) -> None:
    if not session.incoming.keeps_behind(message.stream, message):
        session.streaming.on_end(message)


def _on_stop(session: Session, message: messages.Stop) -> None:
    session.streaming.on_stop(message)


def _on_home(session: Session, message: messages.Home) -> None:
    session.outgoing.on_home(message)


def _on_decref(session: Session, message: messages.Decref) -> None:
    session.translator.exports.release(message.object_id, message.times)


def _on_decache(session: Session, message: messages.Decache) -> None:
    entry = session.translator.cacheables.release(message.cache_id, message.times)
    if entry is not None:
        # The hook runs first, as in Twisted: its messages are sent before the id becomes invalid.
        try:
            entry.stop()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the hook is the application's, not the peer's
            session.host.on_event(CallRaised("stoppedObserving", error, None))
        session.outbox.send(messages.Uncache(message.cache_id))


def _on_uncache(session: Session, message: messages.Uncache) -> None:
    if session.incoming.used_promises and session.incoming.keeps_behind(message.cache_id, message):
        return
    value = session.translator.remote_caches.remove(message.cache_id)
    if value is not None:
        value.broker = None


def _on_released(session: Session, message: Released) -> WorkLeft:
    return session.incoming.start(message)


def _on_barrier(session: Session, message: Barrier) -> None:
    session.inbox.has_barrier = False
    session.incoming.refuses_sends = True
    session.host.on_event(CallAnswered())


OPEN: Handlers = {
    Barrier: _on_barrier,
    Released: _on_released,
    messages.Version: _on_second_version,
    messages.DidNotUnderstand: _on_did_not_understand,
    messages.UnknownCommand: _on_unknown_command,
    messages.PlainCall: _on_plain_call,
    messages.PlainSend: _on_plain_send,
    messages.PlainCallToCache: _on_plain_call_to_cache,
    messages.PlainSendToCache: _on_plain_send_to_cache,
    messages.GraphCall: _on_call,
    messages.GraphCallToCache: _on_call_to_cache,
    messages.PlainAnswer: _on_plain_answer,
    messages.PlainTuple: _on_plain_answer,
    messages.GraphAnswer: _on_answer,
    messages.GraphError: _on_failed,
    messages.Decref: _on_decref,
    messages.Decache: _on_decache,
    messages.Uncache: _on_uncache,
    messages.Cancel: _on_cancel,
    messages.Ping: _on_ping,
    messages.Pong: _on_pong,
    messages.Goodbye: _on_goodbye,
    messages.Draining: _on_draining,
    messages.Credit: _on_credit,
    messages.Items: _on_items,
    messages.ItemGraph: _on_item_graph,
    messages.Piece: _on_piece,
    messages.End: _on_end,
    messages.Stop: _on_stop,
    messages.Home: _on_home,
    messages.Raw: _on_raw,
}
"""Handlers once the peer may send all messages."""

GATED = gated(OPEN)
"""Handlers while the gate is shut."""

_AT_FIRST: Handlers = {
    **dict.fromkeys(records(lambda row: not row.before_version), _too_early),
    messages.UnknownCommand: _too_early,
    messages.Version: _on_version,
}
BEFORE_VERSION: Handlers = {**OPEN, **_AT_FIRST}
GATED_BEFORE_VERSION: Handlers = {**GATED, **_AT_FIRST}
"""Handlers until the peer has sent its version, its first message; the second with a gate."""
