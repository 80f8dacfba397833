"""A pair: a client and a server, connected in memory, with a network whose faults a test makes.

Both ends are the library's own, down to the transports. Only the sockets are replaced, by a `Wire`.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Iterable
from typing import Any

from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.core.policy import STRICT, Policy, published_policy
from broker.errors import PBConnectionLost
from broker.given import check_given
from broker.login.portal_logins import PortalLogins
from broker.login.server import root_of
from broker.net.transports import StreamTransport
from broker.opening import Opening
from broker.testing.conversation import Recorder
from broker.testing.ends import AsyncioEnds, Ends
from broker.testing.flow import Profile
from broker.testing.leaks import Leak, leaks_of
from broker.testing.login import AS_USER, User, portal_for
from broker.testing.network import Wire, network_loop
from cred.portal import Portal

__all__ = ["Pair", "Pairing", "pair"]

_PORT = 40_000
# Turns of the loop in which both ends must have nothing to do: a task that an answer wakes makes
# its next call some turns later.
_QUIET_TURNS = 10
# Turns after which a look at the ends is followed by a short sleep, in seconds.
_BUSY_TURNS, _NAP = 200, 0.001
# Seconds that a connection has to close in good order.
_PATIENCE = 1.0


class Pair:
    """A client and a server that are connected in memory.

    Attributes:
        client: the client's end, as `broker.connect` returns it.
        server: the server's end of the same connection.
        network: the network between them, with the faults that a test can make.
        recorder: keeps the conversation.
        ends: both ends. In the published face it has the ``server_factory`` and the
            ``client_factory``.
        tested: number of bytes of the conversation when the test ended; set by `every_cut`.
    """

    def __init__(
        self,
        target: object,
        policy: Policy,
        credentials: object = None,
        mind: object = None,
        face: str = "asyncio",
    ):
        self.client: Connection
        self.server: Connection
        self.network: Wire
        self.recorder = Recorder()
        self.tested = 0
        self._mind = mind = getattr(mind, "mind_object", mind)
        self.ends: Any = _FACES[face](target, policy, credentials, mind, self._accepted)
        self._policy = policy
        self._cut_at: int | None = None

    def __repr__(self) -> str:
        client = getattr(self, "client", None)
        return f"<Pair, {'connecting' if client is None else repr(client)}>"

    async def settled(self) -> None:
        """Wait until both ends are idle: nothing is unsent, unread or not started.

        Methods that wait for something else may still run. Objects that are not used any more are
        collected first, so that both ends know that they were released.

        Raises:
            RuntimeError: bytes are on their way that a stall holds back; call ``network.resume()``.
        """
        for _ in range(2):
            gc.collect()
            await self._quiet()

    def leaks(self) -> list[Leak]:
        """Return the objects, calls and tasks that either end still has, after `settled`.

        The root, the avatar and the mind are not leaks. If the connection has ended, tasks that
        still run are.
        """
        client, server = self.client.broker, self.server.broker
        avatar = client.avatar
        avatars = frozenset[object](() if avatar is None else (avatar.luid,))
        exports = client.session.translator.exports
        minds = frozenset(
            number for number, value in exports.names().items() if self._is_mind(value)
        )
        return [
            *leaks_of("client", client, minds, avatars),
            *leaks_of("server", server, avatars, minds),
        ]

    async def close(self) -> None:
        """Close both ends, and end all faults of the network; no effect on a closed connection."""
        network = getattr(self, "network", None)
        if network is not None:
            network.delay = network.rate = 0
            network.resume()
        client = getattr(self, "client", None)
        if client is not None and not client.is_closed:
            closing = asyncio.ensure_future(client.close())
            await asyncio.wait([closing], timeout=_PATIENCE)
            if not closing.done():
                client.broker.port.abortConnection()
            await closing
        await self.ends.close()
        # Methods that were cancelled end in the next turns.
        for _ in range(_QUIET_TURNS):
            if not self.was_connected or not self.leaks():
                break
            await asyncio.sleep(0)

    @property
    def was_connected(self) -> bool:
        """Whether both ends were connected; also after their end."""
        return hasattr(self, "client") and hasattr(self, "server")

    async def open(self) -> None:
        """Connect both ends, and log in."""
        try:
            self.client = await self.ends.connect(self._reach)
        except BaseException:
            await self.close()
            raise
        if not hasattr(self, "server"):
            raise PBConnectionLost("the server refused the connection", may_have_run=False)
        # A client is ready some turns before its server.
        while not self.server.dialect and not self.server.is_closed:
            await asyncio.sleep(0)

    async def abort(self) -> None:
        """Cut the connection, and end both ends."""
        if hasattr(self, "network"):
            self.network.cut()
        await self.close()

    def _accepted(self, end: Broker) -> None:
        self.server = end.connection

    async def _reach(self, end: Broker) -> None:
        loop = asyncio.get_running_loop()
        self.network = network = Wire(
            network_loop(loop),
            # The profile leaves nothing to the dice.
            random.Random(0),  # noqa: S311
            Profile(),
            ("client", "server"),
            (
                lambda: StreamTransport(lambda address: end, loop),
                lambda: StreamTransport(self.ends.accept, loop),
            ),
            _PORT,
        )
        self.recorder.listen(network, self._policy)
        if self._cut_at is not None:
            network.cut_after(self._cut_at)
        network.begin()

    def _is_mind(self, value: object) -> bool:
        return self._mind is not None and (
            value is self._mind or value is getattr(self._mind, "object", None)
        )

    async def _quiet(self) -> None:
        quiet = turns = 0
        loop = asyncio.get_running_loop()
        while quiet < _QUIET_TURNS:
            turns += 1
            wait = self._busy_until(loop.time())
            if wait is None:
                quiet += 1
                await asyncio.sleep(0)
            else:
                quiet = 0
                await asyncio.sleep(wait if wait or turns < _BUSY_TURNS else _NAP)

    def _busy_until(self, now: float) -> float | None:
        """Return None if both ends are idle, else seconds until another look."""
        network = self.network
        if all(end.is_closed for end in network.ends):
            return None
        dues = [due for flow in network.flows if (due := flow.due) is not None]
        if dues:
            if min(dues) == float("inf"):
                raise RuntimeError(
                    "settled() waits for bytes that the network holds back:"
                    " call network.resume() first"
                )
            return max(0.0, min(dues) - now)
        is_busy = not network.is_empty or any(
            _has_work(end.broker) for end in (self.client, self.server)
        )
        return 0.0 if is_busy else None


def _has_work(end: Broker) -> bool:
    """Return whether an end has bytes to send, messages to handle, or methods to start."""
    if end.disconnected:
        return False
    session, pump = end.session, end.pump
    return bool(
        session.outbox.unsent.queued
        or session._dropped.notes
        or session.inbox.waiting
        or session.inbox.has_unstarted_tasks
        or pump.has_turn
        or pump._has_flush
    )


class Pairing(Opening[Pair]):
    """A pair that is to be made: ``await`` it, or use it in ``async with``."""

    makes = "pair"

    def __init__(
        self, target: object, policy: Policy, credentials: object, mind: object, face: str
    ):
        self._target = target
        checks = (getattr(given, "check_script", None) for given in (target, mind))
        self._checks: list[Callable[..., object]] = [check for check in checks if check]
        self._made = Pair(target, policy, credentials, mind, face)
        self._is_awaited = False

    def cut_at(self, bytes: int) -> Pairing:
        """Let the connection be cut after so many bytes from its beginning; return this object."""
        self._made._cut_at = bytes
        return self

    @property
    def made(self) -> Pair:
        """The pair, also before it is connected."""
        return self._made

    def check_scripts(self, *, is_complete: bool = True) -> None:
        """Check the scripted peers that are the target or the mind; see `broker.testing.peer`.

        Args:
            is_complete: whether calls that have not come are a fault.

        Raises:
            AssertionError: a script was not followed.
        """
        for check in self._checks:
            check(str(self._made.recorder), is_complete=is_complete)

    def _call(self) -> str:
        return f"pair({type(self._target).__name__})"

    def _description(self) -> str:
        return f"of {type(self._target).__name__}"

    async def _open(self) -> Pair:
        await self._made.open()
        return self._made

    async def _close(self, opened: Pair, error: BaseException | None) -> None:
        if error is None:
            await opened.close()
        else:
            await opened.abort()
        self.check_scripts(is_complete=error is None)


def _asyncio_ends(*args: Any) -> Ends:
    return AsyncioEnds(*args)


def _published_ends(*args: Any) -> Ends:
    # Loaded at the first use: it loads all published names.
    from broker.testing.published_ends import PublishedEnds

    return PublishedEnds(*args)


_FACES: dict[str, Callable[..., Ends]] = {"asyncio": _asyncio_ends, "published": _published_ends}


def pair(
    target: object,
    *,
    user: User | None = None,
    groups: Iterable[str] = (),
    credentials: object = None,
    mind: object = None,
    dialect: str = "msgpack/1",
    policy: Policy | None = None,
    face: str = "asyncio",
) -> Pairing:
    """Connect a client and a server in memory, and log in.

    ::

        async with broker.testing.pair(portal, user="alice", groups={"admins"}) as pair:
            assert await pair.client.avatar.callRemote("whoami") == "alice"

    Args:
        target: a Root, a Portal, a PortalLogins, or a scripted `peer`.
        user: log in as this user without a password: the realm of the portal is asked for this
            avatar id, and its checkers are not.
        groups: the groups that the user is in.
        credentials: log in with these, through the checkers of the portal.
        mind: the object that the realm gets, to call the client.
        dialect: ``"msgpack/1"``, ``"pb"`` or ``"none"``.
        policy: what is allowed, at both ends; ``dialect`` replaces its dialects. The default is
            STRICT, and PUBLISHED in the published face.
        face: ``"asyncio"`` for the ends of `broker.serve` and `broker.connect`; ``"published"`` for
            those of a PBServerFactory and a PBClientFactory. ``pair.ends`` has the factories. The
            target may then be a PBServerFactory.

    Returns:
        An object to ``await``, or to use in ``async with``, for a Pair. The end of the block closes
        both ends, and checks the scripts of scripted peers.

    Raises:
        TypeError: the target is neither a Root nor a Portal; or both ``user`` and ``credentials``
            are given, or one of them for a Root, or neither for a Portal; or ``groups`` without
            ``user``.
        ConfigError: there is no such dialect.
        ValueError: there is no such face.
        LoginFailed: the login was refused; raised by the ``await``.
    """
    if face not in _FACES:
        raise ValueError(f"there is no face {face!r}; there are {', '.join(_FACES)}")
    if policy is None:
        policy = STRICT if face == "asyncio" else published_policy()
    check_given(policy, None)
    policy = policy.but(dialects=(dialect,))
    # A factory does not tell whether its server has a login.
    is_factory = face == "published" and hasattr(target, "buildProtocol")
    is_portal = None if is_factory else isinstance(target, Portal | PortalLogins)
    _check_login(is_portal, user, groups, credentials, mind)
    if user is not None:
        if isinstance(target, PortalLogins):
            target = target.portal
        if not isinstance(target, Portal):
            raise TypeError("user= is for a Portal")
        target, credentials = portal_for(target, user, groups), AS_USER
    elif face == "asyncio":
        root_of(target)
    return Pairing(target, policy, credentials, mind, face)


def _check_login(
    is_portal: bool | None, user: object, groups: object, credentials: object, mind: object
) -> None:
    if user is not None and credentials is not None:
        raise TypeError("give user=, or credentials=, not both")
    has_login = user is not None or credentials is not None
    if is_portal and not has_login:
        raise TypeError("a portal asks for a login: give user=, or credentials=")
    if is_portal is False and (has_login or mind is not None):
        raise TypeError("user=, credentials= and mind= are for a Portal, not for a Root")
    if groups and user is None:
        raise TypeError("groups= are those of user=, which is not given")
