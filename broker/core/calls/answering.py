"""The answers to incoming calls: results and errors, from a value to the outbox.

An answer is sent whole or not at all. If a result cannot be sent, the error about it is the answer.
"""

from __future__ import annotations

from collections.abc import Generator
from contextvars import Context
from typing import Any

from broker.core.calls.attached import RESUME
from broker.core.calls.dispatch import was_raised
from broker.core.calls.incoming_call import IncomingCall
from broker.core.events import CallRaised
from broker.core.host import Host
from broker.core.objects.transaction import Transaction
from broker.core.objects.translator import Translator
from broker.core.objects.whereabouts import name_result
from broker.core.outbox import Outbox
from broker.core.principal import OnBehalf, Principal
from broker.core.stats import Stats
from broker.core.tracer import Outcome, Tracing, outcome_of
from broker.core.wire.messages import GraphAnswer, GraphError
from broker.core.work import Work, begun, call_hook
from jelly.errors import EncodeError
from jelly.slices import UNFINISHED, Walk

__all__ = ["Answers"]


class Answers:
    """Sends the answers of one connection.

    Args:
        host, translator, outbox, stats: of the session.
        context: the context variables of methods, for calls without a principal.

    Attributes:
        size: bytes of answers and errors since it was last set to 0.
        tracing: reports the ends of calls to a tracer, or None.
    """

    __slots__ = ("_context", "_host", "_outbox", "_stats", "_translator", "size", "tracing")

    def __init__(
        self,
        host: Host,
        translator: Translator,
        outbox: Outbox,
        stats: Stats,
        context: Context,
    ):
        self.size = 0
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
                self.tracing.end(call, Outcome.ANSWERED)
            return None
        before = outbox.unsent.size
        try:
            # An avatar needs a jellier.
            is_done = (
                call.route is not None
                and type(value) is not OnBehalf
                and outbox.answer(call.request_id, value)
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a value that cannot be sent fails this call
            self.refuse_result(call, error, value)
            return None
        if not is_done:
            return begun(self._with_graph(call, value))
        self.size += outbox.unsent.size - before
        if self.tracing is not None:
            self.tracing.end(call, Outcome.ANSWERED)
        return None

    def _with_graph(self, call: IncomingCall, value: object) -> Work:
        outbox, route = self._outbox, call.route
        perspective = None if route is None else route.perspective
        given = value if isinstance(value, OnBehalf) else None
        owner = self._owner_of(call) if given is None else given.principal
        transaction = self._translator.open(perspective, call.name, call.args, call.kw, owner)
        principal = call.principal
        transaction.context = self._context if principal is None else principal.context
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
                expression = yield from self._sliced(outbox.jelly_walk(value), transaction)
            # Free the result and the arguments: they are not needed any more.
            value = None
            call.args, call.kw, transaction.args, transaction.kw = (), {}, (), {}
            packing = outbox.pack_walk(GraphAnswer(call.request_id, expression))
            del expression
            packed = yield from self._sliced(packing, transaction)
        except BaseException as error:
            outbox.roll_back(transaction)
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
            self.refuse_result(call, error, value)
            return
        before = outbox.unsent.size
        outbox.commit(transaction, packed)
        self.size += outbox.unsent.size - before
        if self.tracing is not None:
            self.tracing.end(call, Outcome.ANSWERED)

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
        if call.wants_answer and not outbox.unsent.is_closed:
            before = outbox.unsent.size
            try:
                self._send_error(call, shown_error)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as second:  # noqa: BLE001 - the peer is told that it cannot be sent
                told, told_id = self._send_plainer_error(call, shown_error, second)
                if told_id is not None:
                    # The peer was shown this id, so it must be in the log, with its cause.
                    told.__cause__ = error if isinstance(error, BaseException) else None
                    error, error_id = told, told_id
            self.size += outbox.unsent.size - before
        one_way_to, refused = None, 0
        if not call.wants_answer:
            one_way_to = call.kind
            if not call.was_run:
                self._stats.sends_refused += 1
                refused = self._stats.sends_refused
        if self.tracing is not None:
            self.tracing.end(call, outcome_of(error, call.was_run), error)
        self._host.on_event(CallRaised(call.name, error, error_id, one_way_to, refused))

    def _send_plainer_error(
        self, call: IncomingCall, shown_error: object, fault: BaseException
    ) -> tuple[BaseException, str | None]:
        """Send an error without its fields; if that fails too, send a RuntimeError that says so.

        Returns:
            The error to log, and the id of it that the peer was shown, or None.
        """
        if self._host.drop_fields(shown_error, fault):
            try:
                self._send_error(call, shown_error)
                return fault, None
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as second:  # noqa: BLE001 - as at the first attempt
                fault = second
        told = RuntimeError(f"the error cannot be sent: {type(fault).__name__}")
        shown_error, error_id = self._host.shown_error(told)
        self._send_error(call, shown_error)
        return told, error_id

    def _send_error(self, call: IncomingCall, shown_error: object) -> None:
        outbox = self._outbox
        transaction = self._translator.open(principal=self._owner_of(call))
        try:
            packed = outbox.pack(GraphError(call.request_id, outbox.jelly(shown_error)))
        except BaseException:
            outbox.roll_back(transaction)
            raise
        outbox.commit(transaction, packed)

    def _owner_of(self, call: IncomingCall) -> Principal | None:
        """Return the owner of the objects that the answer to a call exports."""
        return call.principal or self._translator.sole_principal
