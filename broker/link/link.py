"""`Link`: a client that keeps working over many connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast, overload

from broker.client import Connect
from broker.connection.connection import LEAVING, Connection
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError, PBConnectionLost, ServerDraining
from broker.flavors.reference import RemoteReference
from broker.interceptors import Interceptor
from broker.link.functions import probed, result_of
from broker.link.kept import Kept
from broker.link.made import without_own
from broker.link.recipes import LinkedReference
from broker.link.rounds import MOVED, Round, Work
from broker.link.states import Connected, Connecting, Failed, Lost, Moving, State, States
from broker.net.tls.settings import TLS
from broker.observers import Observer
from broker.retry import Attempt, Retry
from broker.stopping import DRAIN, checked_drain, drained, until_told

__all__ = ["Link"]

C = TypeVar("C")
Task = TypeVar("Task", bound=Work)


MOST_LEAVING = 8
"""Connections whose calls may go on after the link has moved."""


class Link:
    """A client that keeps working over many connections; use it in ``async with``.

    It connects again when the connection ends, and to another server when the server drains. Calls
    on its references wait for a connection, and are made again if they have surely not run.

    Args:
        address: one address or a sequence, as of `broker.connect`.
        credentials: credentials, or a function that returns them for each login.
        mind, tls, policy, timeout, proxy, observers, interceptors: as of `broker.connect`.
        retry: the delays between attempts, and which errors end the link.
        patience: the most seconds that a call waits for a connection.

    Raises:
        ConfigError: an argument cannot work; see `broker.connect`.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        credentials: Any = None,
        *,
        mind: Any = None,
        tls: TLS | None = None,
        policy: Policy = STRICT,
        timeout: float = 10.0,
        proxy: str | None = None,
        retry: Retry | None = None,
        patience: float = 30.0,
        observers: Sequence[Observer] = (),
        interceptors: Sequence[Interceptor] = (),
    ):
        if type(patience) not in (int, float) or not patience >= 0:
            raise ConfigError(f"patience={patience!r}: give a number of seconds, 0 or more")
        self._connect = Connect(
            address,
            credentials,
            mind=mind,
            tls=tls,
            policy=policy,
            timeout=timeout,
            proxy=proxy,
            retry=retry or Retry(),
            observers=observers,
            interceptors=interceptors,
        )
        # It is not awaited, but asked for one connection after the other.
        self._connect.close()
        self._has_login = credentials is not None
        self._kept = Kept("avatar" if self._has_login else "root", patience)
        self._functions: list[Work] = []
        self._states = States()
        self._round: Round | None = None
        # Connections to servers that drain.
        self._leaving: dict[Round, None] = {}
        self._driver: asyncio.Task[None] | None = None
        self._others: set[asyncio.Task[object]] = set()
        self._begun: asyncio.Future[None] | None = None
        self._over: asyncio.Event = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        newest = self._states.newest
        state = "not connected" if newest is None else type(newest).__name__
        state = "closed" if self._is_closed else state
        return f"<Link {self._connect._description()}, {state}>"

    # What a program uses.

    @property
    def avatar(self) -> LinkedReference:
        """The avatar of the login, on each connection.

        Raises:
            AttributeError: the link has no credentials; use ``root``.
        """
        if not self._has_login:
            raise AttributeError("there is no login: use link.root, or pass credentials")
        return self._kept.first

    @property
    def root(self) -> LinkedReference:
        """The root object of a server without a login, on each connection.

        Raises:
            AttributeError: the link has credentials; use ``avatar``.
        """
        if self._has_login:
            raise AttributeError("this link has a login: use link.avatar")
        return self._kept.first

    @property
    def connection(self) -> Connection | None:
        """The connection on which calls are made now, or None."""
        return self._kept.open_connection()

    @property
    def state(self) -> State | None:
        """The newest state; None before the first attempt."""
        return self._states.newest

    def states(self) -> AsyncIterator[State]:
        """Yield the newest state, and each that follows, until the link is closed.

        A slow reader gets the newest state, and misses those in between.
        """
        return self._states.read()

    def task(self, function: Task) -> Task:
        """Run ``await function(connection)`` once on each connection; usable as a decorator.

        It begins after the recipes were sent, and is cancelled when the connection goes. The
        errors of a lost connection end it silently, and so does its cancellation. Any other
        exception ends the link.

        Returns:
            The function.
        """
        self._functions.append(function)
        if self._round is not None and self._kept.open_connection() is not None:
            self._start(function, self._round)
        return function

    @overload
    def recipe(self, function: Callable[[RemoteReference], Awaitable[Any]]) -> LinkedReference: ...

    @overload
    def recipe(self, function: Callable[[RemoteReference], C]) -> C: ...

    def recipe(self, function: Callable[[RemoteReference], Any]) -> Any:
        """Return the reference that a function yields, made again on each connection.

        Args:
            function: called with the avatar, or the root, of each connection. It returns a
                reference, or a Promise of one, or what a method of a contract returns; it may be
                async. It is called once more at first, with an object that makes no calls, to learn
                of which contract its result is.

        Returns:
            A LinkedReference; or an object with the methods of the contract, if the function
            returns one.

        Raises:
            ConfigError: the link has 1,000 recipes.
        """
        name = getattr(function, "__name__", "the function")
        made = LinkedReference(
            self._kept,
            self._kept.first,
            name,
            lambda reference: result_of(function, reference),
            is_direct=True,
        )
        result = made if asyncio.iscoroutinefunction(function) else probed(function, made)
        self._kept.add_recipe(made)
        return result

    async def __aenter__(self) -> Link:
        if self._driver is not None or self._is_closed:
            raise RuntimeError("a link is entered once; make another one")
        loop = asyncio.get_running_loop()
        self._begun = loop.create_future()
        self._driver = without_own(loop.create_task, self._drive())
        try:
            await self._begun
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
        if self._failure is not None and error is None:
            raise self._failure

    async def serve_forever(self, *, drain: float = DRAIN, handle_signals: bool = True) -> None:
        """Serve the calls of the server until the link ends, or SIGINT or SIGTERM comes.

        Then drain and close, as ``Connection.serve_forever`` does.

        Args:
            drain: seconds that running calls have to end; 0 for none, ``math.inf`` for no limit.
            handle_signals: whether to handle these signals; only possible in the main thread.

        Raises:
            ConfigError: ``drain`` is negative, or not a number.
            BaseException: the error that ended the link.
        """
        seconds = checked_drain(drain)
        handlers: dict[Any, Any] | None = {} if handle_signals else None
        await until_told(self._over.wait(), lambda: self._drain(seconds), self.close, handlers)
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Close the connection, and make no other; calls that wait for one fail.

        A call without an answer fails with PBConnectionLost.
        """
        if not self._is_closed:
            self._is_closed = True
            self._states.end()
            self._kept.end(PBConnectionLost("not run: the link is closed", may_have_run=False))
        self._over.set()
        await self._stop()

    # The connections.

    async def _drive(self) -> None:
        """Connect, again and again."""
        attempts = self._connect.attempts()
        try:
            while True:
                address, connection = await self._connect.next(
                    attempts, self._tell_attempt, self._kept.enter
                )
                self._begin(connection)
                notice = await connection.wait_draining()
                if connection.is_closed:
                    await connection.wait_closed()
                    reason = cast("BaseException", connection.broker.reason)
                    self._round = None
                    self._states.tell(Lost(reason))
                else:
                    reason = ServerDraining("the server is shutting down")
                    self._leave_later()
                attempts.ended(address, reason, notice)
        except Exception as error:  # noqa: BLE001 - told to all who wait for the link
            self._fail(error)

    def _tell_attempt(self, attempt: Attempt) -> None:
        if self._leaving:
            self._states.tell(Moving(attempt.address))
        else:
            self._states.tell(Connecting(attempt.number, attempt.delay, attempt.reason))

    def _begin(self, connection: Connection) -> None:
        """Make the recipes, the calls that wait, and the tasks on a new connection."""
        self._round = now = Round(connection)
        connection.broker.closed.addCallback(self._ended, now)
        first = connection.avatar if self._has_login else connection.root
        self._kept.begin(connection, first)
        for function in self._functions:
            self._start(function, now)
        self._states.tell(Connected(connection))
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(None)
        for left in list(self._leaving):
            if not left.is_left:
                left.is_left = True
                self._spawn(left.leave())
        if len(self._leaving) > MOST_LEAVING:
            # Their calls have no end, and the servers drain again and again.
            next(iter(self._leaving)).connection.broker.leave("moved", MOVED, at_once=True)

    def _ended(self, result: object, ended: Round) -> object:
        """Forget a connection that has ended."""
        if self._leaving.pop(ended, ended) is None and self._kept.connection is ended.connection:
            # There is no other connection yet.
            self._states.tell(Lost(cast("BaseException", ended.connection.broker.reason)))
        for task in ended.tasks:
            task.cancel()
        self._kept.forget(ended.connection)
        return result

    def _leave_later(self) -> None:
        """Leave a connection whose server drains as soon as there is another one."""
        now, self._round = self._round, None
        if now is not None:
            self._leaving[now] = None

    # The tasks.

    def _start(self, function: Work, now: Round) -> None:
        task = self._spawn(now.run(function, self._fail))
        now.tasks.add(task)
        task.add_done_callback(now.tasks.discard)

    def _spawn(self, coroutine: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task: asyncio.Task[object]
        task = without_own(asyncio.get_running_loop().create_task, coroutine)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        return task

    # The end.

    def _fail(self, error: BaseException) -> None:
        """End the link because of an error."""
        if self._is_closed or self._failure is not None:
            return
        self._failure = error
        self._states.tell(Failed(error))
        self._states.end()
        self._over.set()
        self._kept.end(error)
        if self._begun is not None and not self._begun.done():
            self._begun.set_exception(error)
        if self._driver is not None and self._driver is not asyncio.current_task():
            self._driver.cancel()
        for round in self._rounds():
            round.connection.broker.leave("closing", LEAVING)

    def _rounds(self) -> list[Round]:
        return [*self._leaving, *([] if self._round is None else [self._round])]

    async def _drain(self, seconds: float) -> None:
        if self._driver is not None:
            self._driver.cancel()
        if seconds:
            await drained([round.connection.broker for round in self._rounds()], seconds)
        await self.close()

    async def _stop(self) -> None:
        tasks = [*self._others, *([] if self._driver is None else [self._driver])]
        tasks = [task for task in tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for round in self._rounds():
            await round.connection.close()
