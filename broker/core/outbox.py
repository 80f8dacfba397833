"""The outbox: messages to send, each whole or not at all, in order.

A message is made in a transaction of the translator, packed, and queued when the transaction is
committed. Messages that hooks sent in that time are queued behind it. If the host overrides
Twisted's ``sendCall``, ``sendEncoded`` or ``serialize``, these are called instead.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from broker.core.events import CallRaised
from broker.core.host import HookedHost, Host, has_hook
from broker.core.objects.releases import PendingReleases, stop_of
from broker.core.objects.tables import OpenCalls
from broker.core.objects.transaction import Transaction
from broker.core.objects.translator import Translator
from broker.core.policy import Policy
from broker.core.stats import Stats
from broker.core.tracer import Outcome, Tracing
from broker.core.unsent import Unsent
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import COMMANDS, Feature
from broker.core.wire.dialects import NONE, Dialect, MessageWriter
from broker.core.wire.expressions import to_expression
from broker.core.wire.handshake import written
from broker.core.wire.messages import (
    PROTOCOL_VERSION,
    Goodbye,
    ObjectId,
    Record,
    RequestId,
    Target,
    Version,
)
from broker.core.wire.terms import BASELINE, NOT_SERVING, Terms
from jelly.atoms import Expression
from jelly.slices import UNFINISHED, Walk

__all__ = ["Outbox"]

Packed: TypeAlias = bytes | list[Expression]
"""A message to send: encoded, or as an expression for a host that sends it itself."""

# Most release messages in one turn: 200,000 at once would delay all other messages.
_MOST_TOLD = 2000


class Outbox:
    """The messages that one side of a connection is about to send.

    Args:
        host: the host of the session.
        policy: limits of outgoing messages.
        translator: makes expressions.
        open_calls: the open calls; a call that is not sent is removed.
        dropped: collected references; the peer is told of them before anything else.
        stats: counts the bytes sent.

    Attributes:
        features: what the dialect has beyond PB.
        jellies: makes the expressions of values.
        serving: what this end tells as a server.
        terms: what the peer takes.
        tracing: reports the ends of calls that are not sent to a tracer, or None.
        sizes: reports sent bytes to a tracer, or None.
        unsent: the encoded messages. It is closed when a goodbye was sent, and when the connection
            is gone.
        writer: encodes messages.
    """

    __slots__ = (
        "_behind",
        "_dialect",
        "_dropped",
        "_host",
        "_knows_expressions_only",
        "_last_written",
        "_limits",
        "_open_calls",
        "_sender",
        "_stats",
        "_translator",
        "features",
        "jellies",
        "serving",
        "sizes",
        "terms",
        "tracing",
        "unsent",
        "writer",
    )

    def __init__(
        self,
        host: Host,
        policy: Policy,
        translator: Translator,
        open_calls: OpenCalls,
        dropped: PendingReleases,
        stats: Stats,
    ):
        self.unsent = Unsent()
        self.tracing: Tracing | None = None
        self.sizes: Tracing | None = None
        self._host = host
        self._limits = policy.limits
        self._translator = translator
        self._open_calls = open_calls
        self._dropped = dropped
        self._stats = stats
        self.features = NONE.features
        self.terms = BASELINE
        self.serving = NOT_SERVING
        self._dialect = NONE
        self.writer: MessageWriter = NONE.writer(policy.limits, BASELINE)
        self._behind: list[Packed] = []
        self._last_written = 0
        theirs = host.overridden
        # The host, if it sends messages itself.
        self._sender: HookedHost | None = None
        if theirs and (has_hook(host, "sendCall") or has_hook(host, "sendEncoded")):
            self._sender = host
        self._knows_expressions_only = self._sender is not None or "serialize" in theirs
        self.jellies: Jellies = translator
        if theirs and has_hook(host, "serialize"):
            self.jellies = _ByHost(host, translator)

    def speak(self, dialect: Dialect) -> None:
        """Write in a new dialect from now on."""
        self.features = dialect.features
        self._translator.has_zones = Feature.ZONES in dialect.features
        self._translator.has_promises = Feature.PROMISES in dialect.features
        self._translator.has_streams = Feature.STREAMS in dialect.features
        self._dialect = dialect
        self.writer = dialect.writer(self._limits, BASELINE)

    def take_terms(self, terms: Terms) -> None:
        """Write within the terms of the peer from now on."""
        self.terms = terms
        self._translator.terms = terms
        if self._translator.used_streams is not None:
            self._translator.used_streams.take_terms(terms)
        self.writer = self._dialect.writer(self._limits, terms)

    def call(
        self,
        number: int,
        request_id: RequestId,
        object_id: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        deadline: int | None,
        meta: dict[str, str] | None = None,
    ) -> bool:
        """Send a call with simple values; return False if the values need a jellier.

        Args:
            number: of the message in ``msgpack/1``.
            request_id, object_id, name, args, kw, deadline, meta: see ``messages.PlainCall``.

        Raises:
            EncodeError: the call exceeds a limit.
        """
        if self._knows_expressions_only:
            return False
        piece = self.writer.call(number, request_id, object_id, name, args, kw, deadline, meta)
        if piece is None:
            return False
        self.unsent.append(piece)
        return True

    def broadcast(self, object_id: ObjectId, broadcast: Broadcast, number: int) -> bool:
        """Send a call that has many receivers; return False if its values need a jellier.

        Args:
            object_id: of the object, or of the cache.
            broadcast: the call.
            number: of the message in ``msgpack/1``: that of a PlainSend or of a PlainSendToCache.

        Raises:
            EncodeError: the call exceeds a limit.
        """
        if self._knows_expressions_only or self._translator.transaction is not None:
            return False
        piece = self.writer.broadcast(object_id, broadcast, number)
        if piece is None:
            return False
        self.unsent.append(piece)
        return True

    def size_of(self, object_id: ObjectId, broadcast: Broadcast, number: int) -> int:
        """Return the bytes of a call that has many receivers; 0 if its values need a jellier.

        Args:
            object_id, broadcast, number: see :meth:`broadcast`.

        Raises:
            EncodeError: the call exceeds a limit.
        """
        return len(self.writer.broadcast(object_id, broadcast, number) or b"")

    def answer(self, request_id: RequestId, value: object) -> bool:
        """Send a simple value as an answer; return False if the value needs a jellier.

        Raises:
            EncodeError: the answer exceeds a limit.
        """
        if (
            self._knows_expressions_only
            or self._translator.transaction is not None
            or self.unsent.is_closed
        ):
            return False
        piece = self.writer.answer(request_id, value)
        if piece is None:
            return False
        self.unsent.append(piece)
        return True

    def take(self) -> bytes:
        """Return the bytes to send, and count them as sent."""
        unsent = self.unsent
        if unsent.is_closed:
            return b""
        if self._dropped.notes:
            self._tell_dropped()
        if self._behind:
            self._post_behind()
        if not unsent.size:
            return b""
        data = unsent.take()
        self._last_written = self._open_calls.last
        self._stats.bytes_sent += len(data)
        if self.sizes is not None:
            self.sizes.tracer.sent(len(data))
        return data

    def take_last(self, goodbye: Goodbye) -> bytes:
        """Return the bytes to send, with a goodbye at the end; drop all messages after it."""
        # The peer drops its references when the connection ends.
        self._dropped.close()
        self._post_behind()
        self.say(goodbye)
        data = self.take()
        self.unsent.close()
        return data

    def may_have_left(self, request_id: RequestId) -> bool:
        """Return whether an outgoing call may have been sent."""
        return request_id <= self._last_written

    def _tell_dropped(self) -> None:
        """Send some of the pending releases; the rest follows in the next turns."""
        left = _MOST_TOLD
        has_counts = Feature.COUNT in self.features
        for release, an_id, count in self._dropped:
            if has_counts:
                if release is not stop_of or self._translator.let_go_items(an_id):
                    self.send(release(an_id, count))
                left -= 1
            else:
                # The dialects of PB have no count: one message releases one reception.
                told = min(count, left)
                for _ in range(told):
                    self.send(release(an_id))
                left -= told
                if told < count:
                    self._dropped.put_back(release, an_id, count - told)
            if left <= 0:
                break
        if self._dropped.notes:
            self._host.on_released()

    def clear(self) -> None:
        """Drop the unsent messages, since the connection is gone."""
        self.unsent.close()
        self._behind.clear()
        self._dropped.close()

    def say(self, message: Record) -> bool:
        """Send a message that not all dialects have; return whether it was sent."""
        if self.unsent.is_closed or COMMANDS[type(message)].feature not in self.features:
            return False
        self.send(message)
        return True

    def send(self, message: Record) -> None:
        """Send a message.

        Raises:
            EncodeError: the message cannot be sent.
        """
        self._post(self.pack(message))

    def send_version(self, dialect: Dialect) -> None:
        """Send the version of the protocol: the first message in a dialect."""
        if self._sender is not None:
            self.send(Version(PROTOCOL_VERSION))
        else:
            taken = self._translator.taken
            self.unsent.append(dialect.version(self._limits, taken, self.serving))

    def greet(self, names: bytes | tuple[bytes, ...]) -> None:
        """Send the offer of a server, or the choice of a client, in the handshake.

        Raises:
            EncodeError: it exceeds a limit.
        """
        self.unsent.append(written(names, self._limits))

    def send_expression(self, expression: Expression) -> None:
        """Send an expression unchanged, without calling hooks.

        Raises:
            EncodeError: the expression cannot be sent.
        """
        self.unsent.append(self.writer.write_expression(expression))

    def pack(self, message: Record) -> Packed:
        """Encode a message for :meth:`commit`; a host that sends messages itself gets expressions.

        Raises:
            EncodeError: the message cannot be sent.
        """
        encoded = self.writer.write(message)
        return encoded if self._sender is None else to_expression(message)

    def pack_walk(self, message: Record) -> Walk[Packed]:
        """Like :meth:`pack`, as a walk of ``jelly.slices`` that may empty the message's lists."""
        expression = None if self._sender is None else to_expression(message)
        walk = self.writer.walk(message, expression is None)
        del message
        while (encoded := next(walk)) is UNFINISHED:
            yield UNFINISHED
        yield encoded if expression is None else expression

    def commit(
        self, transaction: Transaction, packed: Packed, request_id: RequestId | None = None
    ) -> None:
        """Send the message that was made in ``transaction``, and the messages behind it."""
        self._translator.close(transaction)
        if transaction.outer is not None:
            transaction.join(packed, request_id)
            return
        self._post(packed)
        for behind in transaction.behind:
            self._post(behind)
        while transaction.sent:
            transaction.sent.pop(0)()

    def serialize(
        self, value: object, perspective: object, method: object, args: object, kw: object
    ) -> Expression:
        """Return the expression of a graph, which the application sends itself.

        Messages that hooks send in that time are sent behind the next message.

        Raises:
            EncodeError: a value in the graph may not be sent. An error of a hook is passed on.
        """
        transaction = self._translator.open(perspective, method, args, kw)
        try:
            expression = self._translator.jelly(value)
        except BaseException:
            self.roll_back(transaction)
            raise
        self._translator.close(transaction)
        if transaction.outer is not None:
            transaction.join(None, None)
        else:
            self._behind += transaction.behind
            self.unsent.queued += len(transaction.behind)
        return expression

    def roll_back(self, transaction: Transaction, request_id: RequestId | None = None) -> None:
        """Undo the transaction of a message that is not sent; calls behind it fail as not run."""
        self._translator.close(transaction)
        for error in transaction.roll_back():
            self._host.on_event(CallRaised("stoppedObserving", error, None))
        if request_id is not None:
            self._open_calls.forget(request_id)
        for inner in transaction.requests:
            self._open_calls.forget(inner)
            if self.tracing is not None:
                self.tracing.end(inner, Outcome.NOT_RUN)
            self._host.refused(inner, NotRun())

    def _post(self, packed: Packed) -> None:
        if isinstance(packed, bytes):
            self.unsent.append(packed)
        elif self._sender is not None:
            self._sender.sendCall(*packed)

    def _post_behind(self) -> None:
        behind, self._behind = self._behind, []
        for packed in behind:
            self._post(packed)


class Jellies(Protocol):
    """Makes the expressions of outgoing graphs."""

    def jelly(self, value: object, /) -> Expression:
        """Return the expression of a graph."""
        ...

    def jelly_walk(self, value: object, /) -> Walk[Expression]:
        """Return it as a walk of ``jelly.slices``."""
        ...


class _ByHost:
    """Makes expressions by Twisted's ``serialize`` of a host."""

    def __init__(self, host: HookedHost, translator: Translator):
        self._host = host
        self._translator = translator

    def jelly(self, value: object) -> Expression:
        """Call the hook."""
        transaction = self._translator.transaction or Transaction()
        return self._host.serialize(
            value,
            perspective=transaction.perspective,
            method=transaction.method,
            args=transaction.args,
            kw=transaction.kw,
        )

    def jelly_walk(self, value: object) -> Walk[Expression]:
        """Call the hook, in one step."""
        return iter((self.jelly(value),))


class NotRun(Exception):
    """Fails a call that a hook made for a message that was not sent."""

    def __str__(self) -> str:
        return "not run: the message that it belonged to was not sent"
