"""The gate: restricts what a peer may send on a connection before it has logged in.

Theory of operation. A server with a login shuts the gate of each connection before the first byte
arrives. The gate opens when a checker has accepted the peer's credentials. Until then the reader
has the small limits of ``Policy.login_limits``, only a few calls may run, and the peer may hold
only a few objects. A table by message type has only the messages of a login: any other message ends
the connection.

A call may pass if its arguments are single values and it has no keywords. The gate decodes them
itself, by their tags, without an unjellier. Only the mind of a login may be any graph: it is passed
on as an Unopened value, and opened by the code that has identified the user. So data of an unknown
peer reaches neither a class of the application nor a table of the connection.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import astuple

from broker.core.objects.unopened import Unopened
from broker.core.policy import Policy
from broker.core.queued import Barrier, Handlers, wants_answer
from broker.core.wire import messages
from broker.core.wire.commands import Early, records
from broker.core.wire.expressions import parse
from broker.core.work import PUT_OFF, WorkLeft
from jelly.atoms import Expression
from jelly.errors import MalformedJelly, ProtocolError
from jelly.leaves import SCALARS, read_bool, read_str
from jelly.limits import Limits

if TYPE_CHECKING:
    from broker.core.session import Session

__all__ = ["Gate", "gated"]

_PASSING: set[type] = {Barrier, *records(lambda row: row.before_login is Early.ACCEPTED)}
_CALLS = records(lambda row: row.before_login is Early.LOGIN)


class Gate:
    """The shut gate of one connection.

    Args:
        policy: limits before a login.
        minds: the login methods, each with the index of its argument ``mind``, or None.
        seal: makes an Unopened value of an expression: ``seal(expression, limits, max_refs)``.

    Attributes:
        limits: of messages while the gate is shut.
    """

    def __init__(
        self,
        policy: Policy,
        minds: Mapping[str, int | None],
        seal: Callable[[Expression, Limits, int], Unopened],
    ):
        self.limits = _least(policy.limits, policy.login_limits)
        self._minds = minds
        self._seal = seal
        self._max_refs = policy.login_refs

    def check(self, call: messages.CallMessage) -> messages.CallMessage:
        """Return a login call with its arguments as values, and the mind as an Unopened value.

        It has no metadata, which is dropped.

        Raises:
            ProtocolError: the call is not part of a login.
        """
        if type(call.object_id) is tuple:
            raise _not_logged_in()
        mind = self._minds.get(call.name)
        if not isinstance(call, messages.GraphCall):
            if call.kw:
                raise _not_logged_in()
            for number, value in enumerate(call.args):
                if type(value) not in SCALARS and number != mind:
                    raise _not_logged_in()
            call.meta = None
            return call
        if call.kw != [b"dictionary"] or type(call.args) is not list or call.args[:1] != [b"tuple"]:
            raise _not_logged_in()
        values = tuple(
            self._mind(item) if number == mind else _single(item)
            for number, item in enumerate(call.args[1:])
        )
        make: Callable[..., messages.PlainCall] = messages.PlainSend
        if call.wants_answer:
            make = messages.PlainCall
        return make(call.request_id, call.object_id, call.name, values, {}, call.deadline)

    def _mind(self, expression: Expression) -> object:
        try:
            return _single(expression)
        except ProtocolError:
            return self._seal(expression, self.limits, self._max_refs)


@functools.lru_cache(16)
def _least(limits: Limits, others: Limits) -> Limits:
    return Limits(*map(min, astuple(limits), astuple(others)))


def gated(handlers: Handlers) -> Handlers:
    """Return the handlers while the gate is shut, made from the handlers of an open session."""

    def on_call(session: Session, call: messages.CallMessage) -> WorkLeft:
        if session.gate is not None:
            if not wants_answer(call) and session.incoming.must_wait:
                # Before the check: it makes the Unopened mind, which must happen only once.
                return PUT_OFF
            call = session.gate.check(call)
        return handlers[type(call)](session, call)

    def on_raw(session: Session, raw: messages.Raw) -> WorkLeft:
        # The host parses it, and passes the message back to this session.
        if type(parse(raw.expression)) not in _PASSING | _CALLS:
            raise _not_logged_in()
        return handlers[messages.Raw](session, raw)

    return {
        **dict.fromkeys(handlers, _refuse),
        **{kind: handlers[kind] for kind in _PASSING},
        **dict.fromkeys(_CALLS, on_call),
        messages.Raw: on_raw,
    }


def _refuse(session: Session, message: object) -> WorkLeft:
    raise _not_logged_in()


def _not_logged_in() -> ProtocolError:
    return ProtocolError("not logged in")


def _single(expression: Expression) -> object:
    """Return the single value of an expression, or raise ProtocolError."""
    if type(expression) is not list:
        return expression
    if expression == [b"None"]:
        return None
    try:
        if expression[:1] == [b"unicode"]:
            return read_str(expression)
        if expression[:1] == [b"boolean"]:
            return read_bool(expression)
    except MalformedJelly:
        pass
    raise _not_logged_in()
