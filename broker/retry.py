"""Decides when and where a client connects again: delays, addresses, and which errors end it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from random import randrange
from typing import Any

from msgspec import Struct

from broker.backoff import jittered_delay
from broker.errors import (
    ConfigError,
    PBConnectionLost,
    ServerBusy,
    ServerDraining,
    TooManyAttempts,
)
from broker.net.schemes import HostPort, Location, parse_address
from broker.stopping import Notice
from broker.transient import KICKED, is_transient

__all__ = ["Attempt", "Attempts", "Retry", "given_addresses", "notice_of"]

# As many as a server may name in the message by which it says that it drains.
_MOST_ELSEWHERE = 8


class Retry(Struct, frozen=True):
    """How often a client connects again.

    The first attempt is made at once. The delay before each further one is random: the clients of a
    server that was restarted do not come at the same time. The longest delay is ``first`` seconds
    before attempt 1, and grows by ``factor`` with each attempt, up to ``most``.

    Attributes:
        first: the longest first delay, in seconds.
        most: the longest delay, in seconds.
        factor: the growth of the longest delay with each attempt.
        healthy_after: seconds that a connection must last, so that attempts are counted from 1
            again.
        give_up_after: seconds without a connection that lasts so long, after which the last error
            is raised; None for no limit.
        is_fatal: ``is_fatal(error)`` returns whether an error ends the attempts; None leaves it to
            `broker.is_transient`.

    Raises:
        ConfigError: a number is not one of seconds, or ``factor`` is less than 1.
    """

    first: float = 0.5
    most: float = 30.0
    factor: float = 2.0
    healthy_after: float = 60.0
    give_up_after: float | None = None
    is_fatal: Callable[[BaseException], bool | None] | None = None

    def __post_init__(self) -> None:
        for name in ("first", "most", "healthy_after", "give_up_after"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value >= 0):
                raise ConfigError(f"Retry({name}={value!r}): give seconds, 0 or more")
        if not (_is_number(self.factor) and self.factor >= 1):
            raise ConfigError(f"Retry(factor={self.factor!r}): give a number, 1 or more")
        if self.is_fatal is not None and not callable(self.is_fatal):
            raise ConfigError("Retry(is_fatal=): give a function of an error")

    def ends_at(self, error: BaseException, is_of_credentials: bool = False) -> bool:
        """Return whether an error ends the attempts.

        Args:
            error: the error.
            is_of_credentials: whether the program's function for credentials could not get them.
        """
        told = None if self.is_fatal is None else self.is_fatal(error)
        return not (is_of_credentials or is_transient(error)) if told is None else bool(told)


class Attempt(Struct, frozen=True):
    """The next attempt to connect.

    Attributes:
        number: 0 for the first attempt; counted from 1 after a connection that was healthy.
        address: where to.
        delay: seconds to wait before.
        reason: the error that ended the attempt or connection before; None for the first.
    """

    number: int
    address: str
    delay: float
    reason: BaseException | None = None


class Attempts:
    """The attempts of one client to be connected.

    Args:
        retry: the settings.
        addresses: where a server may be; tried in this order, from a random one on.
        now: the clock, in seconds.
    """

    def __init__(self, retry: Retry, addresses: Sequence[str], now: Callable[[], float]):
        self._retry = retry
        self._now = now
        begin = randrange(len(addresses))  # noqa: S311 - no secret
        self._given = tuple(addresses)
        self._hosts = frozenset(map(_place_of, addresses))
        # Tried in this order; an address that failed goes last.
        self._order = [*addresses[begin:], *addresses[:begin]]
        self._next = 0
        self._error: BaseException | None = None
        self._lacks_since = now()
        self._began: float | None = None
        # Times before which nothing is tried, and an address is not tried.
        self._not_before = -math.inf
        self._back_at: dict[str, float] = {}

    def next(self) -> Attempt:
        """Return the next attempt.

        Raises:
            BaseException: the last error, if ``give_up_after`` is over.
        """
        now, retry, number = self._now(), self._retry, self._next
        address = min(self._order, key=lambda each: max(now, self._back_at.get(each, now)))
        delay = 0.0
        if number:
            delay = jittered_delay(number, first=retry.first, factor=retry.factor, most=retry.most)
        delay += max(0.0, self._not_before - now, self._back_at.get(address, now) - now)
        if retry.give_up_after is not None and self._error is not None:
            self.check()
            delay = min(delay, self._lacks_since + retry.give_up_after - now)
        self._next = number + 1
        return Attempt(number, address, delay, self._error)

    def check(self) -> None:
        """Raise the last error if ``give_up_after`` is over, after the delay of an attempt."""
        limit = self._retry.give_up_after
        if limit is None or self._error is None:
            return
        if self._now() - self._lacks_since >= limit:
            raise self._error

    def failed(
        self, address: str, error: BaseException, *, is_of_credentials: bool = False
    ) -> None:
        """Note that an attempt failed.

        Args:
            address: its address.
            error: why.
            is_of_credentials: whether the program's function for credentials could not get them.

        Raises:
            BaseException: the error, if it ends the attempts.
        """
        self._note(address, error, is_of_credentials)

    def connected(self) -> None:
        """Note that a connection has been made."""
        self._began = self._now()

    def ended(self, address: str, reason: BaseException, notice: Notice | None = None) -> None:
        """Note that the connection has ended, or that a client leaves it for another one.

        Args:
            address: its address.
            reason: why.
            notice: what a server that drains has said.

        Raises:
            BaseException: the reason, if it ends the attempts.
        """
        now = self._now()
        if self._began is not None and now - self._began >= self._retry.healthy_after:
            self._next = 1
            self._lacks_since = now
        self._began = None
        self._note(address, reason)
        if notice is not None:
            self._drains(address, notice)

    def _note(self, address: str, error: BaseException, is_of_credentials: bool = False) -> None:
        self._error = error
        if self._retry.ends_at(error, is_of_credentials):
            raise error
        if is_of_credentials:
            return
        self._put_last(address)
        now = self._now()
        if isinstance(error, PBConnectionLost) and error.goodbye == KICKED:
            self._not_before = now + self._retry.most
        elif isinstance(error, TooManyAttempts):
            self._not_before = now + _seconds(error.after)
        elif isinstance(error, ServerDraining):
            self._drains(address, notice_of(error))
        elif isinstance(error, ServerBusy):
            self._back_at[address] = now + _seconds(error.after)

    def _drains(self, address: str, notice: Notice) -> None:
        """Note when to come again, and where to go now."""
        self._put_last(address)
        self._back_at[address] = self._now() + notice.after
        taken = [each for each in notice.elsewhere if self._may_go(each) and each != address]
        known = [each for each in self._order if each in self._given and each not in taken]
        # The addresses of the last notice replace those of earlier ones.
        self._order = [*dict.fromkeys(taken), *known]
        if address not in self._order:
            self._order.append(address)

    def _may_go(self, address: object) -> bool:
        """Return whether the program gave the host of an address that a server named."""
        try:
            return _place_of(address) in self._hosts
        except ConfigError:
            return False

    def _put_last(self, address: str) -> None:
        if address in self._order:
            self._order.remove(address)
            self._order.append(address)


def given_addresses(addresses: object) -> tuple[str, ...]:
    """Return one address, or a sequence of some, as a tuple.

    Raises:
        WrongType: it is neither.
        ConfigError: the sequence is empty, or an address is not understood.
    """
    given: Iterable[Any] = (addresses,)
    if isinstance(addresses, Sequence) and not isinstance(addresses, str | bytes):
        given = addresses
    found = tuple(dict.fromkeys(given)) if all(isinstance(each, str) for each in given) else None
    for each in given if found is None else found:
        parse_address(each)
    if not found:
        raise ConfigError("give at least one address")
    return found


def _place_of(address: object) -> Location:
    """Return what must be equal for an address that a server names: all but the port.

    A server cannot send a client to another host, to a command, or to a port without TLS.
    """
    location = parse_address(address)
    if isinstance(location, HostPort):
        return HostPort(location.host.lower().rstrip("."), 0, location.is_tls)
    return location


def _seconds(value: object) -> float:
    """Return the seconds in an error of a peer, or 0 if they are not a number."""
    return float(value) if _is_number(value) and value > 0 else 0.0  # type: ignore[operator, arg-type]


def notice_of(error: ServerDraining) -> Notice:
    """Return what a server that drains has said in a refusal."""
    return Notice(_seconds(error.after), _texts(error.elsewhere))


def _texts(value: object) -> tuple[str, ...]:
    """Return the addresses of an error of a peer."""
    return tuple(value)[:_MOST_ELSEWHERE] if isinstance(value, list | tuple) else ()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
