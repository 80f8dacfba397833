"""The answers to incoming calls: results and errors, from a value to the outbox.

An answer is sent whole or not at all. If a result cannot be sent, the error about it is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import Context
from itertools import islice
from typing import TYPE_CHECKING, Any

from broker.core.calls.attached import RESUME
from broker.core.calls.deadline import lapsing
from broker.core.calls.dispatch import was_raised
from broker.core.calls.incoming_call import IncomingCall
from broker.core.calls.once import OnceCall, names_objects, result_lost
from broker.core.calls.promised import named_in
from broker.core.calls.remembered import Remembered
from broker.core.events import CallRaised
from broker.core.host import Host
from broker.core.objects.transaction import Transaction
from broker.core.objects.translator import Translator
from broker.core.objects.whereabouts import name_result
from broker.core.outbox import Outbox
from broker.core.principal import OnBehalf, Principal
from broker.core.stats import Stats
from broker.core.tracer import ANSWERED, Outcome, Tracing, outcome_of
from broker.core.wire.commands import Feature
from broker.core.wire.messages import GraphAnswer, GraphError, Home
from broker.core.wire.msgpack.replies import KeptReply, frame_with, reply_of
from broker.core.work import Work, begun, call_hook
from jelly.atoms import Expression
from jelly.errors import EncodeError
from jelly.slices import UNFINISHED, VISITS, Walk

if TYPE_CHECKING:
    from broker.core.calls.promised_calls import PromisedCalls

__all__ = ["Answers"]


class Answers:
    """Sends the answers of one connection.

    Args:
        host, translator, outbox, stats: of the session.
        context: the context variables of methods, for calls without a principal.

    Attributes:
        promises: the calls of the peer on promises, or None before the first.
        remembered: the answers that such calls may name, or None before the first.
        size: bytes of answers and errors since it was last set to 0.
        tracing: reports the ends of calls to a tracer, or None.
    """

    __slots__ = (
        "_context",
        "_host",
        "_outbox",
        "_stats",
        "_translator",
        "promises",
        "remembered",
        "size",
        "tracing",
    )

    def __init__(
        self,
        host: Host,
        translator: Translator,
        outbox: Outbox,
        stats: Stats,
        context: Context,
    ):
        self.size = 0
        self.promises: PromisedCalls | None = None
        self.remembered: Remembered | None = None
        self._context = context
        self.tracing: Tracing | None = None
        self._host = host
        self._translator = translator
        self._outbox = outbox
        self._stats = stats

    def send(self, call: IncomingCall, value: object) -> Work | None:
        """Answer a call with the result of its method.

        An overridden hook, whose call has no route, has returned an expression instead.

        Returns:
            The rest of the work if the answer is large.
        """
        outbox = self._outbox
        if not call.wants_answer or outbox.unsent.is_closed:
            if self.tracing is not None:
                self.tracing.end(call, ANSWERED)
            if call.once is not None:
                self._keep_unsent(call, call.once, value)
            return None
        before = outbox.unsent.size
        try:
            # An avatar needs a jellier.
            is_done = (
                call.route is not None
                and type(value) is not OnBehalf
                and (
                    outbox.answer(call.request_id, value)
                    if call.once is None
                    else self._answer_once(call, value)
                )
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a value that cannot be sent fails this call
            self.refuse_result(call, error, value)
            return None
        if not is_done:
            if type(value) is OnBehalf and value.is_reference and not self._host.overridden:
                self._with_reference(call, value)
                return None
            return begun(self._with_graph(call, value))
        self.size += outbox.unsent.size - before
        self._settle(call)
        if self.tracing is not None:
            self.tracing.end(call, ANSWERED)
        return None

    def remembering(self) -> Remembered:
        """Return what remembers the answers; made at the first use."""
        if self.remembered is None:
            self.remembered = Remembered()
        return self.remembered

    def _settle(self, call: IncomingCall, shown_error: object = None) -> None:
        """Go on with the calls that wait for the result of a call, which is answered now."""
        if self.promises is not None and self.promises.size:
            self.promises.settle(call.request_id, shown_error)

    def _with_reference(self, call: IncomingCall, given: OnBehalf) -> None:
        """Answer with the reference to an avatar; quicker than a walk, which would do the same."""
        outbox = self._outbox
        transaction = self._translator.open(None, call.name, call.args, call.kw, given.principal)
        transaction.on_rollback(given.undo)
        try:
            object_id = self._host.registerReference(given.value)
            packed = outbox.pack(GraphAnswer(call.request_id, [b"remote", object_id]))
        except BaseException as error:
            outbox.roll_back(transaction)
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
            self.refuse_result(call, error, given.value)
            return
        before = outbox.unsent.size
        outbox.commit(transaction, packed)
        self.size += outbox.unsent.size - before
        if Feature.PROMISES in outbox.features and isinstance(object_id, int):
            self.remembering().add(call.request_id, object_id)
        self._settle(call)
        if self.tracing is not None:
            self.tracing.end(call, Outcome.ANSWERED)

    def _with_graph(self, call: IncomingCall, value: object) -> Work:
        if isinstance(value, KeptReply):
            self.repeat(call, value)
            return
        outbox, route, is_lost = self._outbox, call.route, False
        perspective = None if route is None else route.perspective
        given = value if isinstance(value, OnBehalf) else None
        owner = given.principal if given else call.principal or self._translator.sole_principal
        transaction = self._translator.open(perspective, call.name, call.args, call.kw, owner)
        transaction.context = self._context_of(call)
        transaction.first_credit = call.first_credit
        if call.meta is not None:
            transaction.resume = call.meta.get(RESUME)
        if given is not None:
            transaction.on_rollback(given.undo)
            value = given.value
            del given
        try:
            expression: Any = value
            if route is not None:
                expression = yield from self._sliced(outbox.jellies.jelly_walk(value), transaction)
            if call.once is not None:
                # The expression of an overridden hook may have anything.
                is_lost = route is None or _is_lost(call.once, transaction, expression)
            # Free the result and the arguments: they are not needed any more.
            value = None
            named = named_in(expression) if Feature.PROMISES in outbox.features else None
            call.args, call.kw, transaction.args, transaction.kw = (), {}, (), {}
            packing = outbox.pack_walk(GraphAnswer(call.request_id, expression))
            del expression
            packed = yield from self._sliced(packing, transaction)
        except BaseException as error:
            outbox.roll_back(transaction)
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                self._keep(call, None)
                raise
            self.refuse_result(call, error, value)
            return
        before = outbox.unsent.size
        outbox.commit(transaction, packed)
        self.size += outbox.unsent.size - before
        if named is not None:
            self.remembering().add(call.request_id, named)
        self._settle(call)
        if self.tracing is not None:
            self.tracing.end(call, ANSWERED)
        if call.once is not None:
            self._keep(call, None if is_lost else packed)

    def _answer_once(self, call: IncomingCall, value: object) -> bool:
        """Like ``Outbox.answer``, for a call whose answer is kept."""
        outbox = self._outbox
        if self._translator.transaction is not None:
            return False
        frame = outbox.writer.answer(call.request_id, value)
        if frame is not None:
            outbox.unsent.append(frame)
            self._keep(call, frame)
        return frame is not None

    def repeat(self, call: IncomingCall, reply: KeptReply) -> None:
        """Answer a call with the reply to another one."""
        outbox = self._outbox
        frame = frame_with(reply, call.request_id)
        # The peer takes as many elements as bytes, or more, unless its limits are unusual.
        if len(frame) - 4 > min(outbox.terms.frame, outbox.terms.nodes):
            self.refuse(call, result_lost())
            return
        outbox.unsent.append(frame)
        self.size += len(frame)
        if self.tracing is not None:
            self.tracing.end(call, ANSWERED)

    def _keep(self, call: IncomingCall, packed: object) -> None:
        """End the record of a key, if the call has one, with what was sent or could be sent."""
        once, call.once = call.once, None
        if once is not None:
            reply = reply_of(packed, call.request_id) if isinstance(packed, bytes) else None
            once.end(reply, call.was_run)

    def _keep_unsent(self, call: IncomingCall, once: OnceCall, value: object) -> None:
        """Keep the answer of a call whose connection has ended."""
        frame: bytes | None = None
        try:
            if call.route is not None and type(value) is not OnBehalf:
                frame = self._outbox.writer.answer(call.request_id, value)
                if frame is None:
                    frame = self._graph_unsent(call, once, value)
        except (KeyboardInterrupt, SystemExit):
            raise
        except EncodeError as error:
            self.refuse_result(call, error, value)
        except BaseException:  # noqa: BLE001 - of a hook that needs its connection
            frame = None
        self._keep(call, frame)

    def _graph_unsent(self, call: IncomingCall, once: OnceCall, value: object) -> bytes | None:
        """Return the frame of a graph that is not sent; None if it cannot be repeated."""
        outbox, route = self._outbox, call.route
        perspective = None if route is None else route.perspective
        owner = self._owner_of(call)
        transaction = self._translator.open(perspective, call.name, call.args, call.kw, owner)
        transaction.context = self._context if owner is None else owner.context
        try:
            walk = outbox.jellies.jelly_walk(value)
            # A larger graph has more bytes than are kept.
            for expression in islice(walk, once.most // VISITS + 1):
                if expression is not UNFINISHED:
                    if _is_lost(once, transaction, expression):
                        return None
                    return outbox.writer.write(GraphAnswer(call.request_id, expression))
            return None
        finally:
            outbox.roll_back(transaction)

    def _sliced(self, walk: Walk[Any], transaction: Transaction) -> Generator[object, None, Any]:
        """Return the last value of a walk, with its transaction open during each step."""
        while (result := call_hook(next, walk)) is UNFINISHED:
            if transaction.can_pause:
                self._translator.close(transaction)
                yield UNFINISHED
                self._translator.reopen(transaction)
        return result

    def refuse_result(self, call: IncomingCall, error: BaseException, value: object) -> None:
        """Refuse a call whose method has returned a value that cannot be sent."""
        if isinstance(error, EncodeError):
            name_result(error, call.name, value)
        self.refuse(call, error)

    def refuse(self, call: IncomingCall, error: object) -> None:
        """Answer a call with an exception or a Failure, and report it to the host."""
        shown_error, error_id = self._host.shown_error(error)
        # An error of another connection, which a method has raised, has the limit of its peer.
        if not was_raised(error):
            self._stats.count_limit(error)
        outbox = self._outbox
        if call.wants_answer and (call.once is not None or not outbox.unsent.is_closed):
            before = outbox.unsent.size
            try:
                self._send_error(call, shown_error)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as second:  # noqa: BLE001 - the peer is told that it cannot be sent
                told, told_id, shown_error = self._send_plainer_error(call, shown_error, second)
                if told_id is not None:
                    # The peer was shown this id, so it must be in the log, with its cause.
                    told.__cause__ = error if isinstance(error, BaseException) else None
                    error, error_id = told, told_id
            self.size += outbox.unsent.size - before
            self._settle(call, shown_error)
        one_way_to, refused = None, 0
        if not call.wants_answer:
            one_way_to = call.kind
            if not call.was_run:
                self._stats.sends_refused += 1
                refused = self._stats.sends_refused
        if self.tracing is not None:
            self.tracing.end(call, outcome_of(error, call.was_run), error)
        self._host.on_event(CallRaised(call.name, error, error_id, one_way_to, refused))

    def refuse_as(self, call: IncomingCall, shown_error: object) -> None:
        """Answer a call on a promise with the error of the promised call, which is logged there."""
        self._without_run(call, lambda: self._send_error(call, shown_error), shown_error)

    def send_home(self, call: IncomingCall) -> None:
        """Answer a call on a promise that has become an object of the caller, which makes it."""
        self._without_run(call, lambda: self._outbox.send(Home(call.request_id)))

    def _without_run(
        self, call: IncomingCall, send: Callable[[], object], shown_error: object = None
    ) -> None:
        """Send the answer to a call on a promise that does not run, and to the calls on it."""
        outbox = self._outbox
        if call.wants_answer and not outbox.unsent.is_closed:
            before = outbox.unsent.size
            send()
            self.size += outbox.unsent.size - before
            self._settle(call, shown_error)
        if self.tracing is not None:
            self.tracing.end(call, Outcome.NOT_RUN)

    def _send_plainer_error(
        self, call: IncomingCall, shown_error: object, fault: BaseException
    ) -> tuple[BaseException, str | None, object]:
        """Send an error without its fields; if that fails too, send a RuntimeError that says so.

        Returns:
            The error to log, the id of it that the peer was shown, or None; and what was sent.
        """
        if self._host.drop_fields(shown_error, fault):
            try:
                self._send_error(call, shown_error)
                return fault, None, shown_error
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as second:  # noqa: BLE001 - as at the first attempt
                fault = second
        told = RuntimeError(f"the error cannot be sent: {type(fault).__name__}")
        shown_error, error_id = self._host.shown_error(told)
        self._send_error(call, shown_error)
        return told, error_id, shown_error

    def _send_error(self, call: IncomingCall, shown_error: object) -> None:
        outbox = self._outbox
        transaction = self._translator.open(principal=self._owner_of(call))
        try:
            expression = outbox.jellies.jelly(shown_error)
            once = call.once
            is_lost = once is not None and _is_lost(once, transaction, expression)
            packed = outbox.pack(GraphError(call.request_id, expression))
        except BaseException:
            outbox.roll_back(transaction)
            raise
        if outbox.unsent.is_closed:
            outbox.roll_back(transaction)
        else:
            outbox.commit(transaction, packed)
            if isinstance(packed, bytes) and Feature.PROMISES in outbox.features:
                # A call on the result may be on its way.
                reply = reply_of(packed, call.request_id)
                self.remembering().add_failure(call.request_id, reply)
        self._keep(call, None if is_lost else packed)

    def _context_of(self, call: IncomingCall) -> Context:
        """Return the contextvars of the code that makes the items of streams in an answer."""
        if call.context is None:
            return self._context if call.principal is None else call.principal.context
        return lapsing(call.context)

    def _owner_of(self, call: IncomingCall) -> Principal | None:
        """Return the owner of the objects that the answer to a call exports."""
        return call.principal or self._translator.sole_principal


def _is_lost(once: OnceCall, transaction: Transaction, expression: Expression) -> bool:
    """Return whether a reply means something on one connection only, or is too large to keep."""
    return transaction.has_exports or names_objects(expression, once.most)
