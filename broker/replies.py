"""The replies that a server keeps for calls that run at most once, for all its connections.

Theory of operation. Each avatar has keys of its own, below the random nonces of its clients. A key
is *running*, or has a reply, or its reply is lost. A key whose call has run is never forgotten
while its client may repeat it: when a limit is reached, the bytes of old replies go, and new calls
are refused. A key that is older than the time that the server has promised goes when its place is
needed, or after as long a time again, so that a repetition that was on its way does not run.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from broker.connection.peer import peer_of
from broker.core.calls.once import OnceCall, OnceKey, result_lost
from broker.core.principal import Principal
from broker.defer import Deferred
from broker.errors import ConfigError, ServerBusy, WrongArguments, WrongType
from broker.limit_errors import limit_error

__all__ = ["KeptReplies", "Replies", "RepliesToPeer", "checked_replies"]

SHARE = 10
"""The users of one name have one in so many of all keys and bytes; so have all guests together."""
_LONGEST = 7 * 24 * 3600
# How often, in the time for which a key is kept, avatars without calls are looked for; how many.
_LOOKS, _MOST_LOOKED_AT = 1000, 10


class Replies(Struct, frozen=True):
    """How a server keeps the replies to calls of ``broker.once``: the argument ``replies=``.

    One user can have a tenth of ``most`` and of ``size``; so can all guests together.

    Attributes:
        seconds: how long a key is kept, from the arrival of its first call; 1 to 604,800.
        most: keys of calls, and nonces of clients, which count as keys; at least 20.
        size: bytes of replies; at least 0.
        each: bytes of the largest reply that is kept; at least 0.

    Raises:
        ConfigError: a value is of another type, or out of range.
    """

    seconds: int = 120
    most: int = 10_000
    size: int = 67_108_864
    each: int = 65_536

    def __post_init__(self) -> None:
        least = {"seconds": 1, "most": 2 * SHARE, "size": 0, "each": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise ConfigError(f"Replies({name}={value!r}): give an int of at least {low}")
        if self.seconds > _LONGEST:
            raise ConfigError(f"Replies(seconds={self.seconds}): give at most {_LONGEST}")


def checked_replies(replies: Replies | None) -> Replies | None:
    """Return the argument ``replies=`` of ``serve``.

    Raises:
        WrongType: a ConfigError: it is neither a Replies nor None.
    """
    if replies is not None and not isinstance(replies, Replies):
        raise WrongType(f"replies= is a Replies or None, not {type(replies).__name__}")
    return replies


class Key:
    """One key of an avatar.

    Attributes:
        owner, nonce, number: where it is kept.
        since: when its first call arrived.
        call: its call.
        size: bytes of the reply.
    """

    __slots__ = ("call", "nonce", "number", "owner", "since", "size")

    call: OnceCall

    def __init__(self, owner: Owner, nonce: Nonce, number: int, since: float):
        self.owner = owner
        self.nonce = nonce
        self.number = number
        self.since = since
        self.size = 0


class Nonce:
    """The calls of one client.

    Attributes:
        text: the nonce.
        settled: the client has the outcomes of all calls up to this number.
        forgotten: the highest number of a call that has run and whose key was forgotten.
        last: when the last call arrived.
        keys: by number, oldest first.
    """

    __slots__ = ("forgotten", "keys", "last", "settled", "text")

    def __init__(self, text: str):
        self.text = text
        self.settled = self.forgotten = 0
        self.last = 0.0
        self.keys: dict[int, Key] = {}


class Owner:
    """The keys of one avatar.

    Attributes:
        name: its id, or None for the guests.
        nonces: by text; that of the last call is the last one.
        count: keys and nonces.
        size: bytes of replies.
        replies: the keys that have a reply, the oldest first.
        last: when the last call arrived.
        look_at: when the next key or nonce may be old; before that, none is.
    """

    __slots__ = ("count", "last", "look_at", "name", "nonces", "replies", "size")

    def __init__(self, name: str | None):
        self.name = name
        self.nonces: OrderedDict[str, Nonce] = OrderedDict()
        self.count = self.size = 0
        self.replies: dict[Key, None] = {}
        self.last = 0.0
        self.look_at = math.inf


class KeptReplies:
    """The replies of one server.

    Args:
        settings: the limits.

    Attributes:
        seconds: as the settings have it.
        count: keys and nonces of all avatars.
        size: bytes of all replies.
    """

    def __init__(self, settings: Replies):
        self.seconds = settings.seconds
        self.count = self.size = 0
        self._settings = settings
        # The owner of the last call is the last one.
        self._owners: OrderedDict[str | None, Owner] = OrderedDict()
        self._running: dict[Key, None] = {}
        self._idle: list[Deferred[None]] = []
        self._look_at = -math.inf

    def find(
        self, name: str | None, key: OnceKey, method: str, now: float
    ) -> tuple[OnceCall, bool]:
        """Return the call of a key, and whether it is a new one; see ``core.calls.once.Replies``.

        Args:
            name: the id of the avatar; None for a guest.
            key: of the call.
            method: the name of the method.
            now: the time.

        Raises:
            ResultLost, ServerBusy, WrongArguments: see there.
        """
        if now >= self._look_at:
            self._look_around(now)
        owner = self._owners.get(name) or Owner(name)
        nonce = owner.nonces.get(key.nonce)
        is_known = nonce is not None
        if nonce is None:
            nonce = Nonce(key.nonce)
        else:
            self._called(owner, nonce, now)
        if key.settled > nonce.settled:
            self._settle(nonce, key.settled)
        if key.number <= nonce.settled:
            raise result_lost()
        kept = nonce.keys.get(key.number)
        if kept is not None:
            if kept.call.name != method:
                raise WrongArguments("this key was used for another call")
            return kept.call, False
        if key.number <= nonce.forgotten:
            raise result_lost()
        needed = 1 if is_known else 2
        if not self._has_place(owner, needed):
            self._make_place(owner, needed, now)
        return self._add(owner, nonce, key.number, method, now), True

    def _called(self, owner: Owner, nonce: Nonce, now: float) -> None:
        """Note the time of a call."""
        owner.last = nonce.last = now
        if owner.look_at > now + self.seconds:
            owner.look_at = now + self.seconds
        self._owners[owner.name] = owner
        self._owners.move_to_end(owner.name)
        owner.nonces.move_to_end(nonce.text)

    def idle(self) -> Deferred[None]:
        """Return a Deferred that fires when no call with a key is running."""
        deferred: Deferred[None] = Deferred()
        self._idle.append(deferred)
        self._tell_idle()
        return deferred

    def cancel(self) -> None:
        """Cancel all running calls: the server is closed."""
        for key in list(self._running):
            key.call.cancel()

    def _look_around(self, now: float) -> None:
        """Forget old keys of avatars that make no calls any more, a few at a time."""
        self._look_at = now + self.seconds / _LOOKS
        for owner in list(itertools.islice(self._owners.values(), _MOST_LOOKED_AT)):
            if now - owner.last > 2 * self.seconds:
                self._forget_old(owner, now, 2 * self.seconds)
                if owner.nonces:
                    # A call of it is running.
                    self._owners.move_to_end(owner.name)
                    owner.last = now

    def _make_place(self, owner: Owner, needed: int, now: float) -> None:
        """Forget old keys if there are too many.

        Raises:
            ServerBusy: too many are left.
        """
        if now > owner.look_at:
            self._forget_old(owner, now, self.seconds)
        for other in list(self._owners.values()):
            if now - other.last <= self.seconds or self._has_place(owner, needed):
                break
            self._forget_old(other, now, self.seconds)
        if not self._has_place(owner, needed):
            is_own = owner.count + needed > self._settings.most // SHARE
            most = self._settings.most // (SHARE if is_own else 1)
            raise limit_error(ServerBusy, "replies.most", most)

    def _add(self, owner: Owner, nonce: Nonce, number: int, method: str, now: float) -> OnceCall:
        """Make the key of a new call."""
        if nonce.text not in owner.nonces:
            owner.nonces[nonce.text] = nonce
            self._count(owner, 1)
            self._called(owner, nonce, now)
        kept = Key(owner, nonce, number, now)
        kept.call = OnceCall(method, self._settings.each, lambda call: self._ended(kept))
        nonce.keys[number] = kept
        self._running[kept] = None
        self._count(owner, 1)
        return kept.call

    def _has_place(self, owner: Owner, needed: int) -> bool:
        most = self._settings.most
        return owner.count + needed <= most // SHARE and self.count + needed <= most

    def _count(self, owner: Owner, by: int) -> None:
        owner.count += by
        self.count += by

    def _ended(self, key: Key) -> None:
        """Keep the reply of a call that has ended, or forget the call if it has not run."""
        self._running.pop(key, None)
        owner, call = key.owner, key.call
        if owner.look_at > key.since + self.seconds:
            owner.look_at = key.since + self.seconds
        if not call.was_run or key.number <= key.nonce.settled:
            self._forget(key)
        elif call.reply is not None:
            key.size = len(call.reply.tail)
            owner.replies[key] = None
            self._weigh(owner, key.size)
            most = self._settings.size
            while owner.replies and (owner.size > most // SHARE or self.size > most):
                self._lose(next(iter(owner.replies)))
        if self._idle:
            self._tell_idle()

    def _weigh(self, owner: Owner, by: int) -> None:
        owner.size += by
        self.size += by

    def _lose(self, key: Key) -> None:
        """Drop the bytes of a reply, if there are any; the key stays."""
        if key in key.owner.replies:
            del key.owner.replies[key]
            key.call.reply = None
            self._weigh(key.owner, -key.size)

    def _forget(self, key: Key) -> None:
        if key.nonce.keys.pop(key.number, None) is not None:
            self._lose(key)
            self._count(key.owner, -1)

    def _settle(self, nonce: Nonce, settled: int) -> None:
        """Forget the replies that the client has."""
        numbers: Iterable[int] = range(nonce.settled + 1, settled + 1)
        if settled - nonce.settled > len(nonce.keys):
            numbers = [number for number in nonce.keys if number <= settled]
        nonce.settled = settled
        for number in numbers:
            key = nonce.keys.get(number)
            # A running method counts until it ends.
            if key is not None and not key.call.is_running:
                self._forget(key)

    def _forget_old(self, owner: Owner, now: float, age: float) -> None:
        """Forget the keys and the nonces of an avatar that are older than ``age`` seconds."""
        owner.look_at = math.inf
        for nonce in list(owner.nonces.values()):
            for key in list(nonce.keys.values()):
                if now - key.since <= age:
                    owner.look_at = min(owner.look_at, key.since + self.seconds)
                    break
                if not key.call.is_running:
                    nonce.forgotten = max(nonce.forgotten, key.number)
                    self._forget(key)
            if not nonce.keys and now - nonce.last > age:
                del owner.nonces[nonce.text]
                self._count(owner, -1)
            elif not nonce.keys:
                owner.look_at = min(owner.look_at, nonce.last + self.seconds)
        if not owner.nonces:
            self._owners.pop(owner.name, None)

    def _tell_idle(self) -> None:
        if not self._running:
            waiting, self._idle = self._idle, []
            for deferred in waiting:
                deferred.callback(None)


class RepliesToPeer:
    """The replies of a server, as one connection uses them: see ``core.calls.once.Replies``.

    Args:
        kept: the replies of the server.
        has_logins: whether peers log in. The calls of a peer that is not a user are not kept then.
    """

    __slots__ = ("_has_logins", "_kept")

    def __init__(self, kept: KeptReplies, *, has_logins: bool):
        self._kept = kept
        self._has_logins = has_logins

    def find(
        self, principal: Principal | None, key: OnceKey, name: str, now: float
    ) -> tuple[OnceCall, bool] | None:
        """Return the call of a key of the user of a principal."""
        if principal is not None:
            avatar_id: Any = peer_of(principal).avatar_id
            return self._kept.find(avatar_id, key, name, now)
        return None if self._has_logins else self._kept.find(None, key, name, now)
