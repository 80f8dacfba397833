"""One incoming call, from its message to its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context

from broker.core.calls.dispatch import Route
from broker.core.calls.once import OnceCall
from broker.core.principal import Principal
from broker.core.wire.messages import RequestId
from broker.core.wire.msgpack.replies import KeptReply
from broker.defer import Deferred
from broker.errors import CallTimeout
from jelly.atoms import Expression, text_of

__all__ = ["IncomingCall"]


class IncomingCall:
    """One incoming call that is in progress.

    Attributes:
        request_id, name, wants_answer: as the peer sent them.
        route: how the call is made; None if the class overrides ``remoteMessageReceived``, which
            answers in expressions.
        args, kw: the arguments of the method. They are emptied when it returns an awaitable, unless
            an overridden ``serialize`` needs them.
        due: the deadline of the call, by the clock of the connection, or None.
        principal: the user on whose behalf the call is made, or None.
        first_credit: what the caller gives to a stream that the method returns, or None.
        meta: the metadata of the call, text of the peer by key; or None.
        once: the record of the key of this call, until its reply is kept; None for other calls. A
            lost connection does not cancel such a call.
        repeats: for a second call with a key, the record of the first one; else None.
        waits: the Deferred of the reply to the first call, if that is still running; else None.
        arguments_decoded: the arguments are decoded: later errors are not the peer's fault.
        is_waiting: whether it waits for promises; see `promised_calls`.
        kind: the class of the object; not set on the quick path before the method has returned.
        context: the contextvars of this call alone, or None: those that all calls share.
        since: time at which the method returned an awaitable, by the clock of the connection.
        was_run: whether the method was called.
        watched: references in the arguments that an overridden hook has got as expressions.
    """

    __slots__ = (
        "args",
        "arguments_decoded",
        "context",
        "due",
        "first_credit",
        "is_waiting",
        "kind",
        "kw",
        "meta",
        "name",
        "once",
        "principal",
        "repeats",
        "request_id",
        "route",
        "since",
        "waits",
        "wants_answer",
        "was_run",
        "watched",
    )

    def __init__(
        self, request_id: RequestId, name: str, wants_answer: bool, due: float | None = None
    ):
        self.request_id = request_id
        self.name = name
        self.wants_answer = wants_answer
        self.due = due
        self.principal: Principal | None = None
        self.first_credit: tuple[int, int] | None = None
        self.meta: Mapping[str, str] | None = None
        self.once: OnceCall | None = None
        self.repeats: OnceCall | None = None
        self.waits: Deferred[KeptReply] | None = None
        self.route: Route | None = None
        self.arguments_decoded = False
        self.kind: type | None = None
        self.context: Context | None = None
        self.since = 0.0
        self.is_waiting = False
        self.was_run = False
        self.watched: list[list[Expression]] = []
        self.args: tuple[object, ...] = ()
        self.kw: dict[str, object] = {}

    @property
    def key(self) -> RequestId | IncomingCall:
        """The key of the call among those that run: its id, or a one-way call itself."""
        return self.request_id if self.wants_answer else self

    def check_due(self, now: Callable[[], float]) -> None:
        """Raise CallTimeout if the deadline has passed, by the clock ``now``."""
        if self.due is not None and now() >= self.due:
            raise CallTimeout(f"'{text_of(self.name)}' was not run: its caller's time was up")
