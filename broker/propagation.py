"""Metadata that observers send along with calls: the trace that a call belongs to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from broker.connection.broker import Broker
from broker.connection.peer import Call
from broker.core.calls.attached import LONGEST_VALUE, MOST_ENTRIES, is_login_call
from broker.core.calls.promised import MustWait
from broker.core.wire.messages import RequestId, Target
from broker.defer import Deferred
from broker.flavors.promise import contract_name

__all__ = ["Propagator", "log_raised", "propagate"]

logger = logging.getLogger("broker.observers")

T = TypeVar("T")


@runtime_checkable
class Propagator(Protocol):
    """An observer that sends metadata of its own along with calls: that of traces."""

    def before_call(self, call: Call) -> Mapping[str, str]:
        """A call is about to be sent. If it is sent, ``call_started`` gets the same record.

        Returns:
            Metadata by its keys on the wire, the most important first. What does not fit beside
            that of the application is left out.
        """
        ...

    def not_sent(self, call: Call, error: BaseException) -> None:
        """The call could not be sent."""
        ...


class _Propagation:
    """Sends the calls of one connection, with the metadata of a `Propagator`.

    Args:
        broker: the connection.
        propagator: gives the metadata.

    Attributes:
        sending: the record of the call that is being sent, or None.
    """

    def __init__(self, broker: Broker, propagator: Propagator):
        self.sending: Call | None = None
        self._broker = broker
        self._propagators = [propagator]

    def add(self, propagator: Propagator) -> None:
        """Send the metadata of one more."""
        self._propagators.append(propagator)

    def call(
        self,
        kind: type[Deferred[Any]],
        object_id: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        perspective: object,
        wants_answer: bool,
        deadline: int | None = None,
        to_cache: bool = False,
        credit: tuple[int, int] | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> RequestId:
        """Send a call; see `broker.connection.senders.Sender`."""
        broker, outer = self._broker, self.sending
        send = broker.session.outgoing.call
        head = object_id, name, args, kw, perspective, wants_answer, deadline, to_cache, credit
        if is_login_call():
            return send(*head, meta)
        call = self.sending = Call(
            broker.peer, broker.connection, name, False, wants_answer, None, None, meta,
            contract_name(kind),
        )  # fmt: skip
        try:
            return send(*head, self._with_own(call, meta, credit is not None))
        except BaseException as error:
            if not isinstance(error, MustWait):
                for each in self._propagators:
                    _ask(each, each.not_sent, call, error)
            raise
        finally:
            self.sending = outer

    def _with_own(
        self, call: Call, meta: Mapping[str, str] | None, has_credit: bool
    ) -> Mapping[str, str] | None:
        """Return the metadata of a call, with as much of ours as fits."""
        own: dict[str, str] = {}
        for each in self._propagators:
            own.update(_ask(each, each.before_call, call) or {})
        if not own or not self._broker.calls.can_send_meta():
            return meta
        made = dict(meta or {})
        for key, value in own.items():
            if len(made) + has_credit < MOST_ENTRIES and len(value) <= LONGEST_VALUE:
                made.setdefault(key, value)
        return made


def propagate(broker: Broker, propagator: Propagator) -> None:
    """Send the metadata of a propagator along with the calls to a peer."""
    sender = broker.calls.sender
    if isinstance(sender, _Propagation):
        sender.add(propagator)
    else:
        broker.calls.sender = _Propagation(broker, propagator)


def _ask(observer: object, method: Callable[..., T], *args: object) -> T | None:
    try:
        return method(*args)
    except Exception as error:  # noqa: BLE001 - an observer cannot harm a call
        log_raised(observer, error)
        return None


def log_raised(observer: object, error: Exception) -> None:
    """Log an error that an observer has raised, if it is the first of its type."""
    logged: set[type] = observer.__dict__.setdefault("_logged_types", set())
    if type(error) not in logged:
        logged.add(type(error))
        kind = type(observer).__name__
        logger.error("the observer %s raised", kind, exc_info=error)
