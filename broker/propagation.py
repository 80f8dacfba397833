"""Sends the calls that observers are told of, with metadata of theirs: the trace of a call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from broker.connection.broker import Broker
from broker.connection.peer import Call
from broker.core.calls.attached import LONGEST_VALUE, MOST_ENTRIES, is_entry, is_login_call
from broker.core.calls.deadline import deadline_at
from broker.core.calls.promised import MustWait
from broker.core.wire.messages import RequestId, Target
from broker.defer import Deferred
from broker.flavors.promise import contract_name

__all__ = ["Propagator", "log_raised", "log_slow", "propagate", "record_of"]

logger = logging.getLogger("broker.observers")

T = TypeVar("T")

# In seconds.
_MINUTE = 60.0


@runtime_checkable
class Propagator(Protocol):
    """An observer that sends metadata of its own along with calls: that of traces."""

    def before_call(self, call: Call) -> Mapping[str, str]:
        """A call is about to be sent. If it is sent, ``call_started`` gets the same record.

        Returns:
            Metadata by its keys on the wire, the most important first. Entries that do not fit
            beside those of the application are left out.
        """
        ...

    def not_sent(self, call: Call, error: BaseException | None) -> None:
        """The call was not sent: because of an error, or with None since it is sent later.

        A call that is sent later is told again by :meth:`before_call`, with another record.
        """
        ...


class _Propagation:
    """Sends the calls of one connection, with the metadata of each `Propagator`.

    Args:
        broker: the connection.

    Attributes:
        sending: the record of the call that is being sent, or None.
    """

    def __init__(self, broker: Broker):
        self.sending: Call | None = None
        self._broker = broker
        self._propagators: list[Propagator] = []

    def add(self, propagator: Propagator) -> None:
        """Send the metadata of one more."""
        self._propagators.append(propagator)

    @property
    def has_metadata(self) -> bool:
        """Whether calls are sent with metadata of observers."""
        return bool(self._propagators)

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
        due = None if deadline is None else deadline_at(broker.now)
        call = self.sending = Call(
            broker.peer, broker.connection, name, False, wants_answer, None, due, meta,
            contract_name(kind),
        )  # fmt: skip
        try:
            return send(*head, self._with_own(call, meta, credit is not None))
        except BaseException as error:
            # A call that must wait for a promise is sent again later, with a record of its own.
            fault = None if isinstance(error, MustWait) else error
            for each in self._propagators:
                _ask(each, each.not_sent, call, fault)
            raise
        finally:
            self.sending = outer

    def _with_own(
        self, call: Call, meta: Mapping[str, str] | None, has_credit: bool
    ) -> Mapping[str, str] | None:
        """Return the metadata of a call, with as many entries of the observers as fit."""
        if not self._propagators:
            return meta
        own: dict[str, str] = {}
        for each in self._propagators:
            own.update(_ask(each, lambda each=each: dict(each.before_call(call))) or {})
        if not own or not self._broker.calls.can_send_meta():
            return meta
        made = dict(meta or {})
        for key, value in own.items():
            if len(made) + has_credit >= MOST_ENTRIES:
                break
            if is_entry(key, value) and len(value) <= LONGEST_VALUE:
                made.setdefault(key, value)
        return made


def propagate(broker: Broker, observer: object) -> None:
    """Make a record of each call to a peer, with metadata of an observer if it is a Propagator."""
    sender = broker.calls.sender
    if not isinstance(sender, _Propagation):
        broker.calls.sender = sender = _Propagation(broker)
    if isinstance(observer, Propagator):
        sender.add(observer)


def record_of(broker: Broker) -> Call | None:
    """Return the record of the call that is being sent to a peer, or None."""
    sender = broker.calls.sender
    return sender.sending if isinstance(sender, _Propagation) else None


def _ask(observer: object, method: Callable[..., T], *args: object) -> T | None:
    try:
        return method(*args)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - an observer cannot harm a call
        log_raised(observer, error)
        return None


def log_raised(observer: object, error: BaseException) -> None:
    """Log an error that an observer has raised, if it is the first of its type."""
    logged: set[type] = observer.__dict__.setdefault("_logged_types", set())
    if type(error) not in logged:
        logged.add(type(error))
        kind = type(observer).__name__
        logger.error("the observer %s raised", kind, exc_info=error)


def log_slow(observer: object, method: str, seconds: float) -> None:
    """Log that an observer has held the loop, if that was not logged in the last minute."""
    now = time.monotonic()
    if now - observer.__dict__.get("_slow_logged", -_MINUTE) >= _MINUTE:
        observer.__dict__["_slow_logged"] = now
        text = "the observer %s held the loop for %.2f s in %s; it must return at once"
        logger.warning(text, type(observer).__name__, seconds, method)
