"""The translator: converts graphs of objects for one connection, in both directions.

Theory of operation. A connection adds three kinds of values to jelly: objects that stay on their
side, caches, and streams. They have five tags. ``[remote id]`` is an object of the sender. ``[local
id]`` is an object of the receiver, which returns to its owner; the id may be a name. ``[cached
id]`` is a cache that the receiver holds already. ``[lcache id]`` is a cache that returns to its
owner. ``[stream number]`` is a stream; see `broker.core.objects.streams`. Every outgoing graph is
made in a transaction, so that its exports can be undone.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Hashable
from contextlib import suppress
from contextvars import copy_context
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Never, Protocol, TypeGuard

from broker.core.events import StreamOpened
from broker.core.host import HookedHost, has_hook
from broker.core.objects.caches import (
    CacheableEntry,
    CacheableTable,
    CacheObserver,
    Observed,
    RemoteCacheTable,
)
from broker.core.objects.releases import PendingReleases
from broker.core.objects.streams import IncomingStream, OutgoingStream, Streams
from broker.core.objects.tables import ExportTable, ImportTable, Numbers, shown
from broker.core.objects.transaction import Transaction
from broker.core.objects.unread import PROMISED, STREAM, counted_in
from broker.core.policy import Policy
from broker.core.principal import Principal, current_principal, view_of
from broker.core.tracer import Outcome
from broker.core.wire.messages import ItemGraph, ObjectId
from broker.core.wire.msgpack.items import read_graph
from broker.core.wire.terms import BASELINE, Taken
from broker.errors import BrokenPromise, NoSuchObject
from jelly.atoms import Expression, text_of
from jelly.errors import CannotJelly, LimitExceeded, MalformedJelly, ProtocolError
from jelly.jellier import Jellier
from jelly.numbers import is_number, number_in
from jelly.slices import UNFINISHED, Walk, finish
from jelly.unjellier import WORDS, Row, Unjellier

if TYPE_CHECKING:
    from broker.core.calls.promised_calls import PromisedCalls
    from broker.core.host import Host

__all__ = ["Reading", "Translator", "reading"]


_CURRENT_OWNER = object()


class Translator:
    """Converts expressions to values and back, with the tables of one connection.

    Args:
        policy: permissions and limits.
        invoker: the Broker.
        dropped: takes notes of collected references.

    Attributes:
        exports, imports: the tables of objects.
        used_cacheables, used_remote_caches: the tables of caches, or None before the first one.
        transaction: the transaction of the message that is being made, or None.
        perspective: PB's perspective of the graph that is being decoded.
        sole_principal: the owner of objects that are sent outside the work of a principal, or None.
        taken: what this end takes of the streams and the calls of its peer.
        terms: what the peer takes.
        first_credit: what the call asked for whose answer is being decoded, or None.
        resuming: the caches that running calls ask to go on with, by the epochs of their owners;
            or None.
        has_zones: whether the dialect has datetimes with a zone.
        has_promises: whether the dialect has promises.
        promises: the calls of the peer on promises, or None before the first.
        has_streams: whether it has streams.
        used_streams: the streams, or None before the first one.
    """

    __slots__ = (
        "_dropped",
        "_invoker",
        "_numbers",
        "_policy",
        "_rows",
        "_watched",
        "exports",
        "first_credit",
        "has_promises",
        "has_streams",
        "has_zones",
        "imports",
        "perspective",
        "promises",
        "resuming",
        "sole_principal",
        "taken",
        "terms",
        "transaction",
        "used_cacheables",
        "used_remote_caches",
        "used_streams",
    )

    def __init__(
        self,
        policy: Policy,
        invoker: Host,
        dropped: PendingReleases,
    ):
        numbers = Numbers()
        self.exports = ExportTable(numbers, policy.max_refs)
        self.imports = ImportTable(dropped, policy.max_refs)
        self.used_cacheables: CacheableTable | None = None
        self.used_remote_caches: RemoteCacheTable | None = None
        self.transaction: Transaction | None = None
        self.perspective: object = None
        self.sole_principal: Principal | None = None
        self.has_promises = self.has_streams = self.has_zones = False
        self.promises: PromisedCalls | None = None
        self.first_credit: tuple[int, int] | None = None
        self.resuming: dict[str, object] | None = None
        self.taken = _taken(
            policy.max_streams, policy.stream_items, policy.stream_window, policy.max_promised
        )
        self.terms = BASELINE
        self.used_streams: Streams | None = None
        self._numbers = numbers
        self._policy = policy
        self._invoker = invoker
        self._dropped = dropped
        # References in the arguments of hooks that take expressions, until the hook decodes them.
        self._watched: dict[int, list[Expression]] = {}
        # Made for the first incoming graph: many connections never receive one.
        self._rows: dict[bytes, Row] | None = None

    @property
    def cacheables(self) -> CacheableTable:
        """The Cacheables; made when they are first needed: most connections have none."""
        if self.used_cacheables is None:
            self.used_cacheables = CacheableTable(self._numbers, self._policy.max_refs)
        return self.used_cacheables

    @property
    def remote_caches(self) -> RemoteCacheTable:
        """The remote caches; made when they are first needed."""
        if self.used_remote_caches is None:
            on_collected = self._dropped.cache
            self.used_remote_caches = RemoteCacheTable(on_collected, self._policy.max_refs)
        return self.used_remote_caches

    @property
    def streams(self) -> Streams:
        """The open streams; made when they are first needed: most connections have none."""
        if self.used_streams is None:
            self.used_streams = Streams(self._numbers.next, self.taken, self.terms)
        return self.used_streams

    @property
    def held(self) -> int:
        """Bytes of items of streams that arrived and were not taken."""
        return 0 if self.used_streams is None else self.used_streams.held

    @property
    def principal(self) -> Principal | None:
        """The owner of objects that are exported now.

        It is the owner of the open transaction; without a transaction, the :attr:`receiver`.
        """
        return self.receiver if self.transaction is None else self.transaction.principal

    @property
    def receiver(self) -> Principal | None:
        """The owner of references that are decoded now.

        It is the principal of the running call, else :attr:`sole_principal`.
        """
        return current_principal(self) or self.sole_principal

    def open(
        self,
        perspective: object = None,
        method: object = None,
        args: object = None,
        kw: object = None,
        principal: Any = _CURRENT_OWNER,
    ) -> Transaction:
        """Begin the transaction of a message; exports until :meth:`close` belong to it.

        Args:
            perspective, method, args, kw: for the hooks; see ``Transaction``.
            principal: the owner of the exports, or None. Default: :attr:`principal`.
        """
        owner = self.principal if principal is _CURRENT_OWNER else principal
        outer = self.transaction
        self.transaction = transaction = Transaction(
            outer, perspective, method, args, kw, owner, outer is None
        )
        return transaction

    def close(self, transaction: Transaction) -> None:
        """Close a transaction, committed or not; or pause it."""
        self.transaction = transaction.outer

    def reopen(self, transaction: Transaction) -> None:
        """Go on with a transaction after a pause."""
        self.transaction = transaction

    def jelly(self, value: object) -> Expression:
        """Return the expression of an outgoing graph, as part of the open transaction.

        Raises:
            EncodeError: a value in the graph may not or cannot be sent. An error of a hook is
                passed on.
        """
        return self._jellier().jelly(value)

    def jelly_walk(self, value: object) -> Walk[Expression]:
        """Like :meth:`jelly`, as a walk of ``jelly.slices``.

        The transaction must be open at each step.
        """
        return self._jellier().walk(value)

    def _jellier(self) -> Jellier:
        policy = self._policy
        stands_in = policy.send_unpersistable
        return Jellier(
            policy.security, None, self._invoker, policy.limits, stands_in, self.has_zones
        )

    def unjelly(self, expression: Expression, perspective: object = None) -> object:
        """Return the graph of an expression that the peer sent.

        Raises:
            DecodeError, LimitExceeded: the graph is not allowed. An error of a hook is passed on.
        """
        return finish(self._unjelly_walk(expression, perspective, False))

    def unjelly_walk(self, expression: Expression, perspective: object) -> Walk[object]:
        """Like :meth:`unjelly`, as a walk of ``jelly.slices`` that empties the expression."""
        return self._unjelly_walk(expression, perspective, True)

    def _unjelly_walk(
        self, expression: Expression, perspective: object, consumes: bool
    ) -> Walk[object]:
        policy = self._policy
        if self.is_lone_reference(expression):
            # The usual result of a call that is not plain; it needs no unjellier.
            yield self.receive_reference(expression, perspective)
            return
        if self._rows is None:
            self._rows = self._made_rows()
        unjellier = Unjellier(
            policy.security,
            None,
            self._invoker,
            policy.registry,
            self._rows,
            policy.limits,
            policy.allow_code,
            policy.declared_state,
            consumes,
        )
        walk = unjellier.walk(expression)
        del expression
        value = UNFINISHED
        while value is UNFINISHED:
            outer, self.perspective = self.perspective, perspective
            try:
                value = next(walk)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:
                self.perspective = outer
                yield from self._release_unread(unjellier)
                raise
            finally:
                self.perspective = outer
            if value is not UNFINISHED and unjellier.unread:
                yield from self._release_unread(unjellier)
            yield value

    def let_go(self, *expressions: Expression) -> Walk[Never]:
        """Release the references in expressions that are not decoded.

        A walk of ``jelly.slices`` without a result.
        """
        for each in counted_in(
            [(None, item) for item in expressions], self._is_cache, self._is_reference
        ):
            if each is UNFINISHED:
                yield UNFINISHED
            else:
                self._release(each)

    def search(self, *expressions: Expression) -> Walk[list[Expression]]:
        """Yield what expressions name that are not decoded: promises, objects, caches and streams.

        A walk of ``jelly.slices``.
        """
        entries = [(None, item) for item in expressions]
        return counted_in(
            entries,
            lambda tag: tag == PROMISED or self._is_cache(tag),
            lambda tag: tag in (PROMISED, b"local"),
        )

    def watch(self, *expressions: Expression) -> list[list[Expression]]:
        """Return the references in the expressions for a hook, for :meth:`let_go_unread`."""
        entries = [(None, item) for item in expressions]
        found = [
            each
            for each in counted_in(entries, self._is_cache, self._is_reference)
            if each is not UNFINISHED
        ]
        self._watched.update((id(each), each) for each in found)
        return found

    def let_go_unread(self, watched: list[list[Expression]]) -> None:
        """Release the references that the hook has not decoded."""
        while watched:
            each = watched.pop()
            if id(each) in self._watched:
                self._release(each)

    def _release_unread(self, unjellier: Unjellier) -> Walk[Never]:
        unread, unjellier.unread = unjellier.unread, []
        for each in counted_in(unread, self._is_cache, self._is_reference):
            if each is UNFINISHED:
                yield UNFINISHED
            elif id(each) not in unjellier.read:
                unjellier.note_read(each)
                self._release(each)

    def _release(self, expression: list[Expression]) -> None:
        self._watched.pop(id(expression), None)
        tag, number = expression[0], number_in(expression)
        if tag == STREAM:
            if self.has_streams and self.streams.refuse(number):
                self._dropped.stream(number)
        elif type(tag) is bytes and self._is_reference(tag):
            self._dropped.reference(number, 1)
        else:
            self.remote_caches.let_go(number)

    def _is_cache(self, tag: bytes) -> bool:
        cls = self._policy.registry.class_for(tag)
        if cls is not None:
            return bool(getattr(cls, "is_remote_cache", False))
        if tag == PROMISED and self.has_promises:
            return False
        # An unknown tag may be a cache of an unknown class.
        return not (tag in WORDS or tag in (self._rows or ()) or self._policy.registry.knows(tag))

    def _is_reference(self, tag: bytes) -> bool:
        hook = getattr(self._policy.registry.class_for(tag), "unjellyFor", None)
        return tag == b"remote" or getattr(hook, "reads_reference", False)

    def adopt(self, reference: object, object_id: ObjectId) -> None:
        """Count one reception of an object, for a reference that the application has made.

        Raises:
            MalformedJelly: the id is not a number.
            LimitExceeded: this side holds max_refs objects of the peer already.
        """
        self.imports.adopt(number_in([b"remote", object_id]), reference)

    def note_read(self, unjellier: Unjellier, expression: list[Expression]) -> None:
        """Note that the expression of a reference or cache was decoded and counted."""
        unjellier.note_read(expression)
        if self._watched:
            self._watched.pop(id(expression), None)

    def export(self, value: object, identity: Hashable) -> ObjectId:
        """Count one sending of an object in the open transaction, if any, and return its id."""
        object_id = self.exports.add(value, identity, self.principal)
        if self.transaction is not None:
            self.transaction.on_rollback(lambda: self.exports.release(object_id))
        return object_id

    def publish(self, value: Observed, identity: Hashable) -> tuple[int, bool]:
        """Count one sending of a cache; return its id, and whether its state must be sent too."""
        principal = self.principal
        cache_id = self.cacheables.id_of(identity, principal)
        is_new = cache_id is None
        if cache_id is None:
            perspective = None if self.transaction is None else self.transaction.perspective
            cache_id = self.cacheables.add(value, identity, perspective, principal)
        else:
            self._published(cache_id).count += 1
        if self.transaction is not None:
            known: int = cache_id
            self.transaction.can_pause = self.transaction.can_pause and not is_new
            self.transaction.on_rollback(lambda: self._unpublish(known))
        return cache_id, is_new

    def observe(self, cache_id: int, observer: CacheObserver) -> None:
        """Set the cache observer of a Cacheable, for ``CacheableEntry.stop``."""
        self._published(cache_id).observer = observer

    def open_stream(self, items: AsyncIterable[object], size: int | None) -> OutgoingStream:
        """Open a stream of this end in the open transaction.

        Raises:
            CannotJelly: no message is being made.
            ServerBusy: too many are open.
        """
        transaction = self.transaction
        if transaction is None:
            raise CannotJelly("a stream is only sent as an argument, or in a result")
        name = transaction.method if isinstance(transaction.method, str) else ""
        stream = self.streams.open(items, size, name, transaction.first_credit)
        stream.perspective, stream.principal = transaction.perspective, transaction.principal
        context = transaction.context
        stream.context = copy_context() if context is None else context.copy()
        transaction.on_rollback(lambda: self.streams.outgoing.pop(stream.number, None))
        transaction.sent.append(lambda: self._invoker.on_event(StreamOpened(stream)))
        return stream

    def is_stream_open(self, number: int) -> bool:
        """Return whether a stream of the peer is open, or stopped and its end has not come."""
        return self.used_streams is not None and number in self.used_streams.incoming

    def stop_stream(self, stream: IncomingStream) -> None:
        """Tell the peer soon that this end wants no more items; callable from a finalizer."""
        if not stream.is_ended or stream.frames:
            self._dropped.stream(stream.number)

    def let_go_items(self, number: int) -> bool:
        """Drop the items of a stopped stream; return whether the peer must be told."""
        stream = self.streams.incoming.get(number)
        if stream is None:
            return False
        self.forget_stream(stream)
        return not stream.is_ended

    def forget_stream(self, stream: IncomingStream) -> None:
        """Drop what was not taken of a stream, with the references in it; see `Streams.forget`."""
        stream.tell_end(Outcome.CANCELLED)
        graphs = [data for kind, data, _, _ in stream.frames if kind is ItemGraph]
        self.streams.forget(stream)
        for data in graphs:
            with suppress(ProtocolError):
                for _ in self.let_go(read_graph(data)):
                    pass

    def _published(self, cache_id: int) -> CacheableEntry:
        entry = self.cacheables.get(cache_id)
        if entry is None:
            raise NoSuchObject(f"cache {cache_id} is not published to this connection")
        return entry

    def _unpublish(self, cache_id: int) -> None:
        entry = self.cacheables.release(cache_id)
        if entry is not None:
            entry.stop()

    def _made_rows(self) -> dict[bytes, Row]:
        rows = {
            b"remote": self._read_remote,
            b"local": self._read_local,
            b"cached": self._read_cached,
            b"lcache": self._read_lcache,
            **self._invoker.rows,
        }
        if self.has_streams:
            rows[STREAM] = self._read_stream
        if self.has_promises:
            rows[PROMISED] = self._read_promised
        if self._policy.registry.class_for(b"remote") is not None:
            # The application has registered its own class for all references.
            del rows[b"remote"]
        return rows

    def _read_remote(self, unjellier: Unjellier, expression: list[Expression]) -> object:
        reference = self._received(_only_number(expression), expression)
        unjellier.note_read(expression)
        return reference

    def _received(self, object_id: int, expression: list[Expression]) -> object:
        """Count one reception of an object of the peer, and return the reference to it."""
        view = view_of(self.perspective, self.receiver)
        reference = self.imports.receive(object_id, view, self._invoker.make_reference)
        if self._watched:
            self._watched.pop(id(expression), None)
        return reference

    def _read_stream(self, unjellier: Unjellier, expression: list[Expression]) -> object:
        if len(expression) not in (2, 3):
            raise MalformedJelly(f"stream of {len(expression) - 1} fields")
        number = number_in(expression)
        size: Any = expression[2] if len(expression) == 3 else None
        if size is not None and not is_number(size):
            raise MalformedJelly("stream whose size is not a number")
        view = view_of(self.perspective, self.receiver)
        try:
            stream = self.streams.receive(number, size, view, self.first_credit)
        except LimitExceeded:
            self._dropped.stream(number)
            raise
        finally:
            self.note_read(unjellier, expression)
        return self._invoker.make_stream(stream)

    def receive_reference(self, expression: list[Any], perspective: object) -> object:
        """Return the reference of an expression for which `is_lone_reference` is True.

        Raises:
            LimitExceeded: this side holds max_refs objects of the peer already.
        """
        outer, self.perspective = self.perspective, perspective
        try:
            return self._received(expression[1], expression)
        finally:
            self.perspective = outer

    def is_lone_reference(self, expression: Expression) -> TypeGuard[list[Any]]:
        """Return whether an expression is one reference to an object of the peer."""
        if type(expression) is not list or len(expression) != 2 or expression[0] != b"remote":
            return False
        # The application may have registered a class of its own for all references.
        return is_number(expression[1]) and self._policy.registry.class_for(b"remote") is None

    def _read_local(self, unjellier: Unjellier, expression: list[Expression]) -> object:
        object_id = _only_field(expression)
        # A name is that of an object which is published, such as the root.
        if type(object_id) is not bytes:
            if type(object_id) is not int:
                raise MalformedJelly("local whose id is not an int")
            object_id = number_in(expression)
        entry = self.exports.get(object_id)
        if entry is None:
            raise NoSuchObject(f"object {shown(object_id)} is not exported to this connection")
        return entry.value

    def _read_promised(self, unjellier: Unjellier, expression: list[Expression]) -> object:
        if len(expression) not in (2, 3):
            raise MalformedJelly(f"promised of {len(expression) - 1} fields")
        number_in(expression)
        if self.promises is None:
            raise BrokenPromise("a promise is only an argument of a call")
        object_id = self.promises.object_of(expression)
        return self._read_local(unjellier, [b"local", object_id])

    def _read_cached(self, unjellier: Unjellier, expression: list[Expression]) -> object:
        cache = self.remote_caches.receive(_only_number(expression))
        self.note_read(unjellier, expression)
        return cache

    def _read_lcache(self, unjellier: Unjellier, expression: list[Expression]) -> object:
        cache_id = _only_number(expression)
        entry = self.cacheables.get(cache_id)
        if entry is None:
            raise NoSuchObject(f"cache {shown(cache_id)} is not published to this connection")
        return entry.value


# Connections with the same policy share one.
_taken = lru_cache(16)(Taken)


def _only_field(expression: list[Expression]) -> Expression:
    if len(expression) != 2:
        raise MalformedJelly(f"{text_of(expression[0])} of {len(expression) - 1} fields")
    return expression[1]


def _only_number(expression: list[Expression]) -> int:
    _only_field(expression)
    return number_in(expression)


class Reading(Protocol):
    """Decodes the expressions of the peer."""

    def unjelly_walk(self, expression: Expression, perspective: object, /) -> Walk[object]:
        """Decode an expression for a perspective, as a walk of ``jelly.slices``."""
        ...


def reading(host: Host, translator: Translator) -> Reading:
    """Return what decodes expressions.

    If the host overrides Twisted's ``unserialize``, its walk calls that, in one step.
    """
    if host.overridden and has_hook(host, "unserialize"):
        return _ByHost(host, translator)
    return translator


class _ByHost:
    """Decodes by Twisted's ``unserialize`` of a host."""

    def __init__(self, host: HookedHost, translator: Translator):
        self._host = host
        self._translator = translator

    def unjelly_walk(self, expression: Expression, perspective: object) -> Walk[object]:
        """Call the hook."""
        watched = self._translator.watch(expression)
        try:
            value = self._host.unserialize(expression, perspective)
        finally:
            self._translator.let_go_unread(watched)
        yield value
