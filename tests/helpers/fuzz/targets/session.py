"""A whole connection in each dialect: a peer says anything, and the tables are as they should."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from support.memory import FakeTransport, ManualScheduler

from broker import errors
from broker.connection.broker import Broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.core.session import Session
from broker.defer import CancelledError
from broker.errors import ConnectionDone, PBConnectionLost
from broker.failure import Failure
from broker.net.socket_addresses import IPv4Address
from broker.replies import KeptReplies, Replies
from broker.running_server import Server
from cred.error import LoginFailed, Unauthorized, UnhandledCredentials
from fuzz.bending import bent, pieces
from fuzz.conversation import Conversation, as_banana, as_frame
from fuzz.dice import Dice
from fuzz.office import CLASSES, Expected, Office, portal_of
from jelly.errors import BananaError, DecodeError, EncodeError, LimitExceeded
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

__all__ = ["DIALECTS"]

PEER = IPv4Address("TCP", "127.0.0.1", 8787)
Writer = Callable[[Dice, list[Any]], bytes]
_SMALL = {"max_refs": 4, "max_calls": 3, "max_backlog": 2000, "high_water": 500}
_POLICIES = (STRICT, PUBLISHED, STRICT.but(**_SMALL), PUBLISHED.but(**_SMALL))
# What a call may fail with: by its own fault, on purpose, or by a limit.
_FAMILY = (
    DecodeError, BananaError, EncodeError, Expected, errors.Error, errors.NoSuchMethod,
    errors.NoSuchObject, errors.WrongArguments, errors.ServerBusy, errors.CallTimeout,
    errors.DeadReferenceError,
    # Of a method that the peer has cancelled while it waited.
    CancelledError,
    LoginFailed, Unauthorized, UnhandledCredentials,
)  # fmt: skip


class _Lines(logging.Handler):
    """Looks at what is logged: each line of a peer's fault is short, and no fault is ours."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        assert len(text) <= 400, "a log line of more than 400 bytes"
        is_fault = record.levelno >= logging.ERROR and not _is_refused_send(record)
        assert not is_fault, f"a fault of ours was logged: {text}"

    def handleError(self, record: logging.LogRecord) -> None:
        raise AssertionError("a log line that cannot be made")


def _is_refused_send(record: logging.LogRecord) -> bool:
    """Whether the peer holds so many objects that a call without an answer could not be sent."""
    error = record.exc_info[1] if record.exc_info else None
    return type(error) is LimitExceeded and error.limit == "max_refs"


def _watch_log() -> None:
    logger = logging.getLogger("broker")
    if not any(isinstance(handler, _Lines) for handler in logger.handlers):
        logger.addHandler(_Lines())
        logger.setLevel(logging.INFO)
        logger.propagate = False


class Watched(Broker):
    """A Broker that lets no fault of ours pass for one of a call's."""

    def shown_error(self, error: Any) -> tuple[Any, str | None]:
        """Look at the exception first."""
        # The end of the connection ends the streams that a method reads; nobody is told of that.
        is_end = self.session.outbox.unsent.is_closed and _is_lost(error)
        if not is_end:
            _check_family(error)
        return super().shown_error(error)


# Exceptions that the house did not raise on purpose, and that became answers of calls.
_FAULTS: list[BaseException] = []


def _watch(broker: Broker) -> Broker:
    """Look at what refuses a call of ours first."""
    take = broker.refused

    def refused(request_id: Any, failure: Any) -> None:
        if isinstance(failure, BaseException):
            _check_family(failure)
        take(request_id, failure)

    broker.refused = refused
    broker.__class__ = Watched
    return broker


def _is_lost(error: Any) -> bool:
    """Tell whether a connection has ended."""
    return isinstance(Failure.of(error).value, PBConnectionLost)


def _check_family(error: Any) -> None:
    value = Failure.of(error).value
    if isinstance(value, BaseException) and not isinstance(value, _FAMILY):
        # Not raised here, where a Deferred would keep it for itself.
        _FAULTS.append(value)


class _Play:
    """One connection, from the handshake to its end."""

    def __init__(self, dice: Dice, dialect: str, write: Writer):
        self._dice = dice
        self._write = write
        self._dialect = dialect
        self._policy = dice.pick(_POLICIES)
        self._office = Office()
        self._scheduler = ManualScheduler()
        self._transport = FakeTransport(self._scheduler, PEER)
        self._outcomes: list[int] = []
        self._is_client = dice.once_in(4)
        self._has_login = False
        self._kept: KeptReplies | None = None
        self._broker = self._make_broker()

    def _make_broker(self) -> Broker:
        if self._is_client:
            return _watch(Broker(True, policy=self._policy))
        # As a server makes it, with its login if it has one.
        self._has_login = self._dice.once_in(2)
        target = portal_of([self._office]) if self._has_login else self._office
        replies = Replies(most=40, size=400, each=50) if self._dice.once_in(2) else None
        server = Server(target, self._policy, replies=replies)
        self._kept = server._replies
        broker = server._accept(PEER)
        assert broker is not None
        return _watch(broker)

    def run(self) -> None:
        """Play it all."""
        _FAULTS.clear()
        dice = self._dice
        self._broker.makeConnection(self._transport)
        talk = Conversation(
            dice, CLASSES, dice.once_in(8), self._known, self._dialect == "msgpack/1"
        )
        name = self._dialect.encode("ascii")
        opening: Any = [name] if self._is_client else name
        script = as_banana(NONE_VOCABULARY)(Dice(b""), opening)
        script += self._write(Dice(b""), [b"version", 6])
        self._feed(script)
        if self._has_login and not dice.once_in(8):
            self._feed(self._write(dice, talk.log_in()))
        for _ in range(1 + dice.below(24)):
            if dice.is_empty or self._transport.is_losing:
                break
            if dice.once_in(5):
                self._act()
            else:
                said = self._write(dice, talk.next())
                self._feed(bent(dice, said) if dice.once_in(4) else said)
        self._end()

    def _feed(self, data: bytes) -> None:
        for piece in pieces(self._dice, data):
            if self._transport.is_aborted:
                return
            self._broker.dataReceived(piece)
            self._scheduler.run()
            session = self._broker.session
            _check_tables(session, self._policy)
            # All that is asked of a session that is over is to take no more.
            assert not session.inbox.is_closed or self._transport.is_losing, "a fault ended nothing"

    def _known(self, kind: str) -> list[int]:
        """Return the ids that mean something here now."""
        session = self._broker.session
        if kind == "open_calls":
            return list(session.outgoing.open_calls.open)
        if kind in ("outgoing", "incoming"):
            streams = session.translator.used_streams
            return [] if streams is None else list(getattr(streams, kind))
        table = getattr(session.translator, kind)
        return [each for each in table.by_id if isinstance(each, int)]

    def _act(self) -> None:
        """Do something on this side."""
        dice, broker, office = self._dice, self._broker, self._office
        match dice.below(7):
            case 0 if not self._is_over():
                reference = broker.remoteForName(b"root")
                call = reference.callRemote("echo", office, [1], office.cache)
                self._follow(call)
            case 1 if office.pending:
                office.pending.pop(0).callback(office.kept[:2])
            case 2 if not self._is_over():
                office.remote_change(1)
            case 3:
                office.kept.clear()
            case 4:
                self._scheduler.advance(dice.below(50))
            case 5:
                self._transport.unsent = dice.pick((0, 100_000))
                broker.pump.run()
            case _ if not self._is_over():
                broker.remoteForName(b"root").send("echo", office)
        self._scheduler.run()

    def _is_over(self) -> bool:
        # A peer that said goodbye is not called any more, though the connection may last.
        return not self._broker.calls.is_open

    def _follow(self, call: Any) -> None:
        number = len(self._outcomes)
        self._outcomes.append(0)

        def ended(result: Any) -> None:
            self._outcomes[number] += 1

        call.addBoth(ended)
        if self._dice.once_in(4):
            call.cancel()

    def _end(self) -> None:
        broker, session = self._broker, self._broker.session
        broker.connectionLost(Failure(ConnectionDone()))
        for deferred in self._office.pending:
            deferred.callback(None)
        self._office.kept.clear()
        self._scheduler.run()
        translator = session.translator
        tables = (
            translator.exports,
            translator.imports,
            translator.cacheables,
            translator.remote_caches,
        )
        assert not any(map(len, tables)), "a table holds something after the end"
        streams = translator.used_streams
        assert streams is None or not any(streams), "a stream is left after the end"
        assert not translator.exports.names() or set(translator.exports.names()) == {b"root"}
        assert not len(session.outgoing.open_calls) and not session.running, "calls after the end"
        assert not self._office.cache.observers, "an observer was not told of the end"
        _check_replies(self._kept)
        for fault in _FAULTS:
            raise AssertionError(f"{type(fault).__name__} became an answer") from fault
        assert all(count == 1 for count in self._outcomes), "a call that did not end exactly once"
        # The log tells within a second what it has left out.
        self._scheduler.advance(1.0)
        assert not self._scheduler.waiting, "a timer is left"
        assert not session.data_to_send(), "bytes after the end"
        if self._dice.once_in(128):
            gone = weakref.ref(broker)
            del self._broker, self._transport, broker, session, translator, tables
            gc.collect()
            assert gone() is None, "a broker outlives its connection"


def _check_replies(kept: KeptReplies | None) -> None:
    """Look at the replies of a server whose calls have all ended."""
    if kept is None:
        return
    assert not kept._running, "a call with a key runs after the end"
    keys = [key for owner in kept._owners.values() for nonce in owner.nonces.values()
            for key in nonce.keys.values()]  # fmt: skip
    nonces = sum(len(owner.nonces) for owner in kept._owners.values())
    assert kept.count == len(keys) + nonces <= 4, "a wrong number of keys"
    assert kept.size == sum(key.size for key in keys if key.call.reply) <= 40, "a wrong size"


def _check_tables(session: Session, policy: Policy) -> None:
    translator = session.translator
    assert translator.transaction is None, "a message is in the making"
    assert translator.perspective is None, "a perspective is left"
    for table in (
        translator.exports,
        translator.imports,
        translator.cacheables,
        translator.remote_caches,
    ):
        assert len(table) <= policy.max_refs, "more than max_refs"
    assert session.running <= policy.max_calls, "more than max_calls"
    streams = translator.used_streams
    if streams is not None:
        assert len(streams.outgoing) <= policy.max_streams, "more than max_streams"
        assert streams.held <= streams.most_held, "more bytes of items than are allowed"
        assert streams.held == sum(each.held for each in streams.incoming.values()), "lost bytes"


def _fuzz(dialect: str, write: Writer, data: bytes) -> None:
    _watch_log()
    _Play(Dice(data), dialect, write).run()


DIALECTS: dict[str, Callable[[bytes], None]] = {
    "pb": partial(_fuzz, "pb", as_banana(PB_VOCABULARY)),
    "none": partial(_fuzz, "none", as_banana(NONE_VOCABULARY)),
    "msgpack/1": partial(_fuzz, "msgpack/1", as_frame),
}
