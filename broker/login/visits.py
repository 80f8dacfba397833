"""A visit: one connection, or one request, of a front end that does not speak PB.

Theory of operation. Each login runs in a task of its own. So a peer that disconnects in the middle
cannot keep the throttle from counting its guess. The avatar of such a login is logged out at once.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Self

from broker.defer import Deferred
from broker.errors import LoginExpired, PBConnectionLost, WrongType
from broker.limit_errors import limit_error
from broker.login.active_logins import EXPIRED, AcceptedUser
from broker.login.attempts import Attempt, FrontEndLogin, Shared, check_mechanism
from broker.login.pending import TooManyPending
from broker.net.scheduler import Cancellable, LoopScheduler
from cred.error import LoginFailed
from cred.identity import RefusesUsers
from jelly.limit_errors import as_kind

__all__ = ["Visit"]

logger = logging.getLogger("broker.login")


class Visit:
    """One connection of a front end, or one request of it; `PortalLogins.arrive` makes it.

    It is an async context manager. If the visit is ended while the block runs, the task of the
    block is cancelled where it waits, and the block raises `reason`. The end of the block closes
    the visit. Without a block, call `close` when the connection has ended, and watch `ended`.

    Attributes:
        address: the address of the peer.
        is_private: whether a third party cannot read what the peer sends.
        reason: why the visit was ended: a LoginExpired, also for a user who was disabled, removed
            or logged out by `PortalLogins.end_sessions`; a PBConnectionLost if no login came within
            ``login_timeout``, or if the visit was closed for a newer connection; a
            LoginWhileDraining if the server was closed. None while it goes on, and after `close`.
        block: the task that is in the ``async with`` block; None outside of it.
        users: the users who have logged in, see `broker.login.sessions.Session`.
    """

    def __init__(self, shared: Shared, address: object, is_private: bool, scheduler: LoopScheduler):
        self.address = address
        self.is_private = is_private
        self.reason: Exception | None = None
        self.users: dict[str, RefusesUsers | None] = {}
        # Not the visit: the throttle keeps it for some minutes.
        self.key = object()
        self._shared = shared
        self._scheduler = scheduler
        self._is_open = True
        self._logins: dict[FrontEndLogin, None] = {}
        self._ends: dict[Deferred[Exception | None], None] = {}
        self._tasks: set[asyncio.Task[FrontEndLogin]] = set()
        self.block: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._left = asyncio.Event()
        self._is_cancelled = False
        self._deadline: float | None = None
        self._expiry: Cancellable | None = None
        self._slot = shared.pending.enter(address, self._dropped)
        seconds = shared.policy.login_timeout
        self._timer = scheduler.timeout(seconds, self._late, seconds)

    def __repr__(self) -> str:
        count = len(self._logins)
        state = f"{count} login{'' if count == 1 else 's'}" if self._is_open else "ended"
        return f"<Visit from {self.address}, {state}>"

    @property
    def is_ended(self) -> bool:
        """Whether it was ended or closed."""
        return not self._is_open

    @property
    def ended(self) -> Deferred[Exception | None]:
        """A new Deferred, which fires with `reason` when the visit is ended or closed."""
        deferred: Deferred[Exception | None] = Deferred(lambda it: self._ends.pop(it, None))
        if self._is_open:
            self._ends[deferred] = None
        else:
            deferred.callback(self.reason)
        return deferred

    @property
    def logins(self) -> tuple[FrontEndLogin, ...]:
        """The logins that have not been logged out."""
        return tuple(login for login in self._logins if login.is_active)

    async def __aenter__(self) -> Self:
        self.block = block = asyncio.current_task()
        self._cancelling = 0 if block is None else block.cancelling()
        self._left = asyncio.Event()
        if not self._is_open:
            self._scheduler.soon(self._interrupt)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block, self.block = self.block, None
        self.close()
        self._left.set()
        if block is None or not self._is_cancelled:
            return
        left = block.uncancel()
        if isinstance(error, asyncio.CancelledError) and left <= self._cancelling:
            raise self._why() from None

    async def login(
        self, credentials: Any, mind: Any, *interfaces: Any, mechanism: str
    ) -> FrontEndLogin:
        """Log in as a peer of a PB server does: past the throttle, with a line in the audit log.

        A login that is cancelled still counts. A visit may have several logins, up to ``max_refs``
        of the policy.

        Args:
            credentials: of ``cred.credentials``, or others that a checker of the portal takes. A
                user name is at most 256 bytes, a password at most 1,024. Of a UsernamePassword the
                checker gets both in the types that the policy gives to checkers.
            mind: passed to the realm.
            interfaces: one or more; the avatar provides one of them.
            mechanism: how this front end logs in, for the audit log: 1 to 32 characters of ASCII
                without spaces; not the name of a mechanism of PB.

        Raises:
            LoginFailed: the login was refused. UnauthorizedLogin: the credentials are wrong.
                LoginPutOff, a TooManyAttempts: too many logins of this visit, this source or this
                account have failed; ``after`` tells the seconds. LoginWhileBusy, a ServerBusy: too
                many logins are being checked. LoginWhileDraining, a ServerDraining: the server is
                being closed. UnhandledCredentials: no checker takes them.
            LoginExpired: the credentials have expired already.
            PBConnectionLost: the visit has ended; or `reason`, if there is one.
            ConfigError: ``mechanism`` is not a possible name.
            WrongType: a TypeError: no interface was given. Any other exception of the checker or
                the realm is passed on.
        """
        if not interfaces:
            raise WrongType("login takes interfaces: login(credentials, mind, IGuest, mechanism=…)")
        attempt = Attempt(self._shared, self, check_mechanism(mechanism))
        self.check()
        self._shared.check_open()
        task = self._scheduler.create_task(attempt.run(credentials, mind, interfaces))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            login: FrontEndLogin = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_out)
            raise
        if not self._is_open:
            raise self._why()
        return login

    def close(self) -> None:
        """End the visit, and log out all its logins: the peer has gone. May be called twice."""
        self._end(None)

    def stop(self, reason: Exception) -> None:
        """End the visit, and tell the front end why; nothing if it has ended.

        Args:
            reason: becomes `reason`.
        """
        if self._is_open:
            throttle, address = self._shared.log_throttle, self.address
            throttle.log(logger, logging.INFO, address, "ended visit from %s: %s", address, reason)
            self._end(reason)

    def end(self, code: str, text: str) -> None:
        """End the visit: a user may no longer be logged in; see `broker.login.sessions`."""
        self.stop(LoginExpired(text))

    async def wait_left(self) -> None:
        """Wait until the block has ended, if there is one."""
        if self.block is not None:
            await self._left.wait()

    def check(self) -> None:
        """Raise an error if no login can be added: the visit has ended, or has too many."""
        if not self._is_open:
            raise self._why()
        most = self._shared.policy.max_refs
        if len(self.logins) >= most:
            raise LoginFailed(f"{most} logins on one connection (max_refs)")

    def accepted(self) -> None:
        """Give the slot back: a checker has accepted the credentials of the peer."""
        self._slot.leave()

    def add(self, login: FrontEndLogin, user: AcceptedUser) -> None:
        """Add a login, until it is logged out or the visit ends.

        Raises:
            LoginExpired: it has expired already.
        """
        if not self._is_open:
            # The visit has ended while the realm was making the avatar.
            login.logout()
            return
        clock = self._shared.clock
        if user.expires is not None:
            if user.expires <= clock():
                raise LoginExpired(EXPIRED)
            if self._deadline is None or user.expires < self._deadline:
                self._end_at(user.expires, user.expires - clock())
        self._logins = dict.fromkeys([*self.logins, login])
        self._timer.cancel()
        if user.avatar_id is not None:
            if self.users.get(user.avatar_id) is None:
                self.users[user.avatar_id] = user.checker
            self._shared.sessions.add(self, user.checker, self._scheduler)

    def _end_at(self, deadline: float, seconds: float) -> None:
        self._deadline = deadline
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._scheduler.later(seconds, self.end, "expired", EXPIRED)

    def _late(self, seconds: float) -> None:
        self.stop(limit_error(PBConnectionLost, "login_timeout", seconds))

    def _dropped(self, refusal: TooManyPending) -> None:
        self.stop(as_kind(PBConnectionLost, refusal))

    def _why(self) -> Exception:
        return PBConnectionLost("this visit has ended") if self.reason is None else self.reason

    def _end(self, reason: Exception | None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self.reason = reason
        self._slot.leave()
        self._timer.cancel()
        if self._expiry is not None:
            self._expiry.cancel()
        self._shared.sessions.remove(self)
        for login in self._logins:
            login.logout()
        self._logins.clear()
        if self.block is not None:
            # Later, since the task of the block may be running now.
            self._scheduler.soon(self._interrupt)
        ends, self._ends = self._ends, {}
        for deferred in ends:
            deferred.callback(reason)

    def _interrupt(self) -> None:
        if self.block is not None and not self._is_cancelled:
            self._is_cancelled = True
            self.block.cancel()


def _log_out(task: asyncio.Task[FrontEndLogin]) -> None:
    """Log out: the caller has stopped waiting for this login."""
    if not task.cancelled() and task.exception() is None:
        task.result().logout()
