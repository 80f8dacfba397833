"""Calls that run at most once, at the callee: a call with a key, and its reply for a second call.

Theory of operation. The metadata of such a call has a key, by which the caller may repeat it on
another connection. The first call with a key makes a `OnceCall`, and runs. Its answer, or its
error, is kept as bytes. A later call with the key runs nothing: it waits for the end of the first
one, if that is still running, and gets the same bytes with its own request id. A first call
that has not run after all, such as one that was refused, leaves no reply, and its key is free.

`Replies` decides what is kept, and for how long. It belongs to the layer above, since the calls
of all connections of a server share the replies.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from broker.core.principal import Principal
from broker.core.wire.msgpack.replies import KeptReply
from broker.defer import Deferred
from broker.errors import ResultLost, WrongArguments
from jelly.atoms import Expression
from jelly.numbers import LARGEST

__all__ = ["OnceCall", "OnceKey", "Replies", "names_objects", "read_key", "result_lost"]

_is_key = re.compile(r"([A-Za-z0-9_-]{22})\.([1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})").fullmatch
# The forms of jelly that mean something on one connection only.
_PLACES = frozenset({b"remote", b"local", b"cached", b"lcache", b"stream", b"promised"})


class OnceKey(NamedTuple):
    """The key of a call.

    Attributes:
        nonce: 16 random bytes of the caller, in base64url.
        number: counts the calls of this nonce, from 1.
        settled: the caller has the outcomes of all calls up to this number; they can be forgotten.
    """

    nonce: str
    number: int
    settled: int


def read_key(text: str) -> OnceKey:
    """Return the key in the metadata of a call.

    Raises:
        WrongArguments: it is malformed.
    """
    found = _is_key(text)
    if found is not None:
        number, settled = int(found[2]), int(found[3])
        if max(number, settled) <= LARGEST:
            return OnceKey(found[1], number, settled)
    raise WrongArguments("the key of once is malformed")


class OnceCall:
    """A call with a key: it is running, or has ended.

    Args:
        name: of the method.
        most: bytes of the largest reply that is kept.
        ended: called as ``ended(call)`` when it has ended.

    Attributes:
        name, most: as given.
        is_running: whether it has not ended.
        was_run: whether the method was called; known at the end.
        reply: what a second call gets; None if it cannot be repeated.
        cancel: cancels the running method, at the request of the caller.
    """

    __slots__ = ("_ended", "_waiting", "cancel", "is_running", "most", "name", "reply", "was_run")

    def __init__(self, name: str, most: int, ended: Callable[[OnceCall], object]):
        self.name = name
        self.is_running = True
        self.was_run = False
        self.reply: KeptReply | None = None
        self.cancel: Callable[[], object] = _nothing
        self.most = most
        self._ended = ended
        self._waiting: dict[Deferred[KeptReply], None] | None = None

    def outcome(self) -> KeptReply | Deferred[KeptReply]:
        """Return the reply for a second call, or a Deferred of it while the call is running.

        The canceller of the Deferred forgets it, and has no effect on the call.

        Raises:
            ResultLost: the call has ended, and its reply cannot be repeated.
        """
        if self.is_running:
            deferred: Deferred[KeptReply] = Deferred(self._leave)
            if self._waiting is None:
                self._waiting = {}
            self._waiting[deferred] = None
            return deferred
        if self.reply is None:
            raise result_lost()
        return self.reply

    def _leave(self, deferred: Deferred[KeptReply]) -> None:
        if self._waiting is not None:
            self._waiting.pop(deferred, None)

    def end(self, reply: KeptReply | None, was_run: bool) -> None:
        """Note the end, and give the reply to the calls that wait for it.

        Args:
            reply: the answer or the error; None if it cannot be repeated.
            was_run: whether the method was called.
        """
        if not self.is_running:
            return
        if reply is not None and len(reply.tail) > self.most:
            reply = None
        self.is_running, self.was_run, self.reply = False, was_run, reply
        self.cancel = _nothing
        waiting, self._waiting = self._waiting, None
        ended, self._ended = self._ended, _nothing
        ended(self)
        for deferred in waiting or ():
            if reply is None:
                deferred.errback(result_lost())
            else:
                deferred.callback(reply)


class Replies(Protocol):
    """What the peer of one connection may repeat."""

    def find(
        self, principal: Principal | None, key: OnceKey, name: str, now: float, /
    ) -> tuple[OnceCall, bool] | None:
        """Return the call of a key, and whether it is a new one; None if no key is kept here.

        Args:
            principal: the user who makes the call, or None.
            key: of the call.
            name: of the method.
            now: the time, in seconds.

        Raises:
            ResultLost: the call has run, and its reply is not kept.
            ServerBusy: too many keys are kept.
            WrongArguments: a call of another method had this key.
        """
        ...


def result_lost() -> ResultLost:
    """Return the error of a second call whose reply is not kept."""
    return ResultLost("the call has run; its result cannot be repeated")


def names_objects(expression: Expression, most: int) -> bool:
    """Return whether an expression has references, streams or caches, or more than ``most`` nodes.

    A new cache has a tag of its own, and is not found.
    """
    pending: list[Expression] = [expression]
    while pending:
        item = pending.pop()
        if type(item) is not list:
            continue
        most -= len(item)
        if most < 0:
            return True
        tag = item[0] if item else None
        if type(tag) is bytes and tag in _PLACES:
            return True
        if tag == b"dictionary":
            # A pair of a dict has no tag.
            for pair in item[1:]:
                if type(pair) is list:
                    pending += pair
        else:
            pending += item
    return False


def _nothing(*args: object) -> None:
    pass
