"""Calls without a connection of one's own: the current call of a direct call, and a peer's call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.x509 import Certificate

from broker.connection.broker import Broker
from broker.connection.peer import CURRENT_CALL, Call, Peer
from broker.core.policy import STRICT, Policy
from broker.flavors.avatar import AsReferenceable
from broker.flavors.referenceable import Referenceable, Root
from broker.interfaces import IPerspective
from broker.testing.connected_pair import pair
from broker.testing.login import User, identity_of
from cred.portal import Portal

__all__ = ["call", "calling_as"]


@contextmanager
def calling_as(
    user: str | None = None,
    *,
    groups: Iterable[str] = (),
    mechanism: str | None = "test",
    address: object = None,
    certificate: Certificate | None = None,
) -> Iterator[Call]:
    """Set what `broker.current_call` returns in a block, for direct calls of methods.

    ::

        with broker.testing.calling_as("alice", groups={"admins"}):
            assert Member().perspective_whoami() == "alice"

    It holds in this context only: in the block, and in tasks that are started there. A direct call
    of a method does not check `broker.allow`; use `call` for that.

    Args:
        user: the avatar id of the caller; None for a caller that has not logged in.
        groups: the groups that the user is in.
        mechanism, address, certificate: the other attributes of ``current_call().peer``. The
            mechanism is None if there is no user.

    Returns:
        The current call, as the target of ``as``. Its connection is not connected.

    Raises:
        TypeError: ``user`` is not a str, or ``groups`` is one str, or is given without a user.
    """
    names = frozenset[str]()
    if user is not None:
        if not isinstance(user, str):
            raise TypeError(f"calling_as() takes the user as a str, not {type(user).__name__}")
        names = getattr(identity_of(user, groups), "groups", names)
    elif isinstance(groups, str) or frozenset(groups):
        raise TypeError("groups= are those of a user, which is not given")
    peer = Peer(address, user, names, None if user is None else mechanism, certificate)
    broker = Broker(False, policy=STRICT)
    broker.peer = peer
    current = Call(peer, broker.connection)
    before = CURRENT_CALL.set(current)
    try:
        yield current
    finally:
        CURRENT_CALL.reset(before)


class _Offer(Root):
    """The root of a server that offers one object."""

    def __init__(self, target: object):
        self._target = target

    def rootObject(self, broker: Any) -> Any:
        """Return the object, in a form that has remote methods."""
        return _referenceable(self._target)


class _Realm:
    """A realm with one avatar."""

    def __init__(self, target: object):
        self._target = target

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Return the object as the avatar of any user."""
        return IPerspective, self._target, _nothing


async def call(
    target: object,
    name: str,
    /,
    *args: object,
    user: User | None = None,
    groups: Iterable[str] = (),
    dialect: str = "msgpack/1",
    policy: Policy | None = None,
    **kw: object,
) -> Any:
    """Call a method of an object as a peer does, over a connection in memory; return the result.

    ::

        await broker.testing.call(Member(), "delete", 3, user="alice", groups={"admins"})

    So the name has no prefix, the conditions of `broker.allow` and the types of a contract are
    checked, and arguments and results are converted and copied.

    Args:
        target: an Avatar, or a Referenceable, such as a Root or a servant.
        name: the method, without its prefix.
        args, kw: the arguments. For a keyword that is one of the names below use a `pair`.
        user: the avatar id of the caller; None for a caller that has not logged in.
        groups: the groups that the user is in.
        dialect, policy: see `pair`.

    The connection ends with the call: references and streams in the result have ended, too.

    Raises:
        TypeError: the target has no remote methods. Errors of the call are raised as for a peer.
    """
    _check_target(target)
    if user is None:
        made = pair(_Offer(target), groups=groups, dialect=dialect, policy=policy)
    else:
        portal = Portal(_Realm(target))
        made = pair(portal, user=user, groups=groups, dialect=dialect, policy=policy)
    async with made as connected:
        client = connected.client
        reference = client.root if user is None else client.avatar
        return await reference.callRemote(name, *args, **kw)


def _referenceable(target: object) -> object:
    return target if isinstance(target, Referenceable) else AsReferenceable(target, "perspective")


def _check_target(target: object) -> None:
    if isinstance(target, type):
        name = target.__name__
        raise TypeError(f"call() takes an object, not the class {name}: write {name}()")
    if isinstance(target, Portal):
        raise TypeError("call() takes an Avatar or a Referenceable; use pair() for a Portal")
    is_avatar = hasattr(target, "perspectiveMessageReceived")
    if not is_avatar and not isinstance(target, Referenceable):
        raise TypeError(
            f"call() takes an Avatar or a Referenceable, not {type(target).__name__};"
            " broker.servant makes one of any object"
        )


def _nothing() -> None:
    """Log out a user of a test."""
