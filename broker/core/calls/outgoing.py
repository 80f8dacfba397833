"""Outgoing calls: from the arguments to the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

from broker.core.calls.attached import is_login_call, joined
from broker.core.calls.deadline import lapsing
from broker.core.calls.promised import Followed, Home, Step, named_in, place_in
from broker.core.host import Host
from broker.core.objects.tables import OpenCalls, directly
from broker.core.objects.transaction import Passed
from broker.core.objects.translator import Reading, Translator
from broker.core.objects.whereabouts import name_argument
from broker.core.outbox import Outbox
from broker.core.principal import split_view
from broker.core.stats import Stats
from broker.core.tracer import ANSWERED, Outcome, Tracing
from broker.core.wire import messages
from broker.core.wire.commands import Feature, number_of
from broker.core.wire.messages import (
    LONGEST_NAME,
    Cancel,
    GraphAnswer,
    GraphCall,
    GraphCallToCache,
    GraphError,
    PlainAnswer,
    PlainCall,
    PlainCallToCache,
    PlainSend,
    PlainSendToCache,
    PlainTuple,
    RequestId,
    Target,
)
from broker.core.work import Work, begun, call_hook
from jelly.atoms import Expression
from jelly.errors import EncodeError, ProtocolError, TooLarge
from jelly.slices import UNFINISHED

__all__ = ["OutgoingCalls"]

_CALL, _CALL_TO_CACHE = number_of(PlainCall), number_of(PlainCallToCache)
_SEND, _SEND_TO_CACHE = number_of(PlainSend), number_of(PlainSendToCache)


class OutgoingCalls:
    """The outgoing calls of one connection.

    Attributes:
        open_calls: the calls without an answer.
        followed: the calls without an answer on whose results calls were made, by request id.
        passed: the promises among the arguments of the last call, as `Transaction.promised`.
        promised: the calls on promises that are on their way: the promised call, and the step.
        tracing: reports calls to a tracer, or None.
    """

    __slots__ = (
        "_credits",
        "_host",
        "_outbox",
        "_stats",
        "_translator",
        "_walks",
        "followed",
        "open_calls",
        "passed",
        "promised",
        "tracing",
    )

    def __init__(
        self,
        host: Host,
        translator: Translator,
        outbox: Outbox,
        open_calls: OpenCalls,
        stats: Stats,
        walks: Reading,
    ):
        self.open_calls = open_calls
        # By request id, for the calls that ask for less than the usual credit.
        self._credits: dict[RequestId, tuple[int, int]] | None = None
        self.tracing: Tracing | None = None
        # Dicts and tuples of which most connections need none.
        self.followed: dict[RequestId, Followed] | None = None
        self.promised: dict[RequestId, tuple[Followed, Step]] | None = None
        self.passed: Sequence[Passed] = ()
        self._host = host
        self._translator = translator
        self._outbox = outbox
        self._stats = stats
        self._walks = walks

    def call(
        self,
        object_id: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        perspective: object = None,
        wants_answer: bool = True,
        deadline: int | None = None,
        to_cache: bool = False,
        credit: tuple[int, int] | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> RequestId:
        """Call a method of the peer: put the message into the outbox.

        Args:
            object_id, name: of the object, or a promise; and of the method.
            args, kw: the arguments.
            perspective: PB's perspective for the arguments and the result; a ``principal.View`` if
                there is a principal.
            wants_answer: False for a one-way call.
            deadline: milliseconds that the caller will wait; sent if the dialect can.
            to_cache: whether the object is a cache that the peer holds.
            credit: the first credit of a stream that the method returns, in items and bytes; None
                for that of the policy.
            meta: the metadata of the call, at most 8 entries; sent if the dialect can.

        Returns:
            The id that is passed to ``Host.answered`` or ``Host.refused``.

        Raises:
            EncodeError: an argument cannot be sent. Then no byte is sent. An error of a hook is
                passed on.
        """
        outbox, open_calls = self._outbox, self.open_calls
        sent: dict[str, str] | None = None
        if credit is not None or meta is not None:
            if Feature.META in outbox.features:
                sent = joined(meta, credit)
            else:
                credit = None
        if self._translator.transaction is None and len(name) <= _SURELY_SHORT and credit is None:
            request_id = open_calls.last + 1
            if to_cache:
                number = _CALL_TO_CACHE if wants_answer else _SEND_TO_CACHE
            else:
                number = _CALL if wants_answer else _SEND
            # Taken first: the garbage collector may run a finalizer, which makes a call.
            open_calls.last = request_id
            is_sent = False
            try:
                is_sent = outbox.call(number, request_id, object_id, name, args, kw, deadline, sent)
            except EncodeError as error:
                name_argument(error, name, args, kw)
                raise
            finally:
                if not is_sent and open_calls.last == request_id:
                    open_calls.last -= 1
            if is_sent:
                if wants_answer:
                    open_calls.open[request_id] = perspective
                self._stats.calls_made += 1
                if self.tracing is not None:
                    self._trace(self.tracing, request_id, name, wants_answer)
                return request_id
        return self._call_with_graph(
            object_id, name, args, kw, perspective, wants_answer, deadline, to_cache, credit, sent
        )

    def _call_with_graph(
        self,
        object_id: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        perspective: object,
        wants_answer: bool,
        deadline: int | None,
        to_cache: bool,
        credit: tuple[int, int] | None,
        meta: dict[str, str] | None,
    ) -> RequestId:
        outbox = self._outbox
        seen_by, principal = split_view(perspective)
        owner = self._translator.principal if principal is None else principal
        transaction = self._translator.open(seen_by, name, args, kw, owner)
        transaction.promised = []
        if deadline is not None:
            # A stream among the arguments may last longer than the call.
            transaction.context = lapsing(copy_context())
        request_id: RequestId | None = None
        try:
            net_args = outbox.jellies.jelly(args)
            net_kw = outbox.jellies.jelly(kw)
            request_id = self.open_calls.ask(perspective, wants_answer)
            if len(name) > _SURELY_SHORT:
                _check_length(name)
            if deadline is not None and Feature.DEADLINE not in outbox.features:
                deadline = None
            make = GraphCallToCache if to_cache else GraphCall
            message = make(
                request_id, object_id, name, wants_answer, net_args, net_kw, deadline, meta
            )
            packed = outbox.pack(message)
            if wants_answer and credit is not None:
                self._credits = self._credits or {}
                self._credits[request_id] = credit
        except BaseException as error:
            outbox.roll_back(transaction, request_id)
            if isinstance(error, EncodeError):
                name_argument(error, name, args, kw)
            raise
        self.passed = transaction.promised
        outbox.commit(transaction, packed, request_id)
        self._stats.calls_made += 1
        if self.tracing is not None:
            self._trace(self.tracing, request_id, name, wants_answer)
        return request_id

    def _trace(
        self, tracing: Tracing, request_id: RequestId, name: str, wants_answer: bool
    ) -> None:
        if is_login_call():
            return
        if wants_answer:
            tracing.adopt(request_id, tracing.tracer.call_started(name, False, True, None))
        else:
            tracing.one_way(name)

    def end(self) -> list[RequestId]:
        """Forget all calls: the connection has ended; return those that had no answer."""
        self.promised = self.followed = None
        return list(self.open_calls.clear())

    def abandon(self, request_id: RequestId) -> None:
        """Stop waiting for the answer to an outgoing call, and tell the peer.

        An answer that still comes is dropped.
        """
        if self.open_calls.abandon(request_id):
            if self.tracing is not None:
                self.tracing.end(request_id, Outcome.CANCELLED)
            self._outbox.say(Cancel(request_id))

    def on_plain_answer(self, message: PlainAnswer | PlainTuple) -> None:
        """Pass the answer to an outgoing call to the host.

        Raises:
            ProtocolError: no such call waits for an answer.
        """
        request_id, waiting = message.request_id, self.open_calls.open
        if request_id in waiting:
            del waiting[request_id]
            if self.tracing is not None:
                self.tracing.end(request_id, ANSWERED)
            self._host.answered(request_id, message.value)
        else:
            self.open_calls.take(request_id)
            self.forget_promises(request_id)

    def forget_promises(self, request_id: RequestId) -> None:
        """Forget what promises a call has to do with: its answer has come."""
        if self.promised is not None:
            self.promised.pop(request_id, None)
        if self.followed is not None:
            self.followed.pop(request_id, None)

    def on_home(self, message: messages.Home) -> None:
        """Tell the host to make a call itself: its target is an object of this end.

        Raises:
            ProtocolError: no such call was made, or its target is not an object of this end.
        """
        request_id = message.request_id
        followed, step = (self.promised or {}).get(request_id, (None, None))
        if followed is None or not isinstance(place_in(followed.named, step), Home):
            raise ProtocolError(f"request {request_id} did not come home")
        is_waited_for, _ = self.open_calls.take(request_id)
        own = None if self.followed is None else self.followed.get(request_id)
        if own is not None:
            own.named = Home(None)
        self.forget_promises(request_id)
        if is_waited_for:
            if self.tracing is not None:
                self.tracing.end(request_id, Outcome.NOT_RUN)
            self._host.came_home(request_id)

    def on_answer(self, message: GraphAnswer) -> Work | None:
        """Decode an answer, an expression, and pass it to the host; see :meth:`on_plain_answer`.

        Returns:
            The rest of the work if the answer is large.
        """
        request_id, expression = message.request_id, message.value
        if (
            self.tracing is None
            and self.followed is None
            and self._walks is self._translator
            and self._translator.is_lone_reference(expression)
        ):
            self._on_reference(request_id, expression)
            return None
        return begun(self._on_outcome(request_id, expression, self._host.answered))

    def _on_reference(self, request_id: RequestId, expression: list[Any]) -> None:
        """Do the same for the usual answer that has no plain value; it needs no walk."""
        perspective = self.open_calls.perspective_of(request_id)
        if self._credits is not None:
            self._credits.pop(request_id, None)
        tell: Callable[..., object] = self._host.answered
        outcome: object
        try:
            seen_by, principal = split_view(perspective)
            receive = self._translator.receive_reference
            if principal is None:
                outcome = receive(expression, seen_by)
            else:
                outcome = principal.enter(receive, expression, seen_by)
        except Exception as error:  # noqa: BLE001 - an answer that is not allowed fails this call
            tell, outcome = self._host.refused, error
        is_waited_for, _ = self.open_calls.take(request_id)
        if self.promised is not None:
            self.forget_promises(request_id)
        if is_waited_for:
            tell(request_id, outcome)

    def on_failed(self, message: GraphError) -> Work | None:
        """Decode the error of an outgoing call, and pass it to the host; see :meth:`on_answer`."""
        return begun(self._on_outcome(message.request_id, message.failure, self._host.refused))

    def _with_credit(
        self, credit: tuple[int, int], enter: Callable[..., object], *args: object
    ) -> object:
        """Decode a slice of an outcome, whose streams have this first credit."""
        self._translator.first_credit = credit
        try:
            return enter(*args)
        finally:
            self._translator.first_credit = None

    def _on_outcome(
        self, request_id: RequestId, expression: Expression, tell: Callable[..., object]
    ) -> Work:
        perspective = self.open_calls.perspective_of(request_id)
        followed = None if self.followed is None else self.followed.get(request_id)
        if followed is not None and tell == self._host.answered:
            followed.named = named_in(expression, None)
        credit = None if self._credits is None else self._credits.pop(request_id, None)
        # Decoded also for an abandoned call: the peer has counted its references, which must be
        # released.
        try:
            seen_by, principal = split_view(perspective)
            enter: Callable[..., Any] = directly if principal is None else principal.enter
            walk = self._walks.unjelly_walk(expression, seen_by)
            if credit is not None:
                enter = partial(self._with_credit, credit, enter)
            if self.tracing is not None:
                enter = partial(self.tracing.during, request_id, enter)
            while (outcome := call_hook(enter, next, walk)) is UNFINISHED:
                yield UNFINISHED
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - an answer that is not allowed fails this call
            tell, outcome = self._host.refused, error
        del expression
        # The call is open until here: in the meantime the connection may have ended, or the caller
        # may have stopped waiting.
        is_waited_for, _ = self.open_calls.take(request_id)
        if self.promised is not None or self.followed is not None:
            self.forget_promises(request_id)
        if is_waited_for:
            if self.tracing is not None:
                is_error = tell != self._host.answered
                ended = Outcome.RAISED if is_error else ANSWERED
                self.tracing.end(request_id, ended, outcome if is_error else None)
            tell(request_id, outcome)


def _check_length(name: str) -> None:
    size = len(name.encode("utf-8"))
    if size > LONGEST_NAME:
        raise TooLarge(f"method name of {size} bytes, of {LONGEST_NAME}")


# In characters, each of which takes at most four bytes.
_SURELY_SHORT = LONGEST_NAME // 4
