"""The events that a Session passes to its host, in order.

The results of outgoing calls, which are the most frequent, have their own methods:
``Host.answered`` and ``Host.refused``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from broker.core.calls.incoming_call import IncomingCall
    from broker.core.objects.streams import OutgoingStream

__all__ = [
    "CallAnswered",
    "CallCancelled",
    "CallPending",
    "CallRaised",
    "Event",
    "Misunderstood",
    "PeerDrains",
    "PeerLeaves",
    "Ready",
    "StreamOpened",
]


class Ready(Struct, frozen=True):
    """The dialect is chosen; calls can be made."""

    dialect: str


class CallPending(Struct, frozen=True):
    """A local method returned an awaitable; call ``Session.finish`` or ``Session.fail`` later.

    Attributes:
        ticket: identifies the call in these methods.
        result: the awaitable.
    """

    ticket: IncomingCall
    result: object


class CallBegan(Struct, frozen=True):
    """A local coroutine method has begun as a task; call ``Session.finish`` or ``fail`` later.

    Attributes:
        ticket: identifies the call in these methods.
        task: the task, which may have ended.
    """

    ticket: IncomingCall
    task: Any


class CallAnswered(Struct, frozen=True):
    """A call was answered whose answer took several turns of the loop."""


class CallCancelled(Struct, frozen=True):
    """The peer has cancelled a pending call.

    Attributes:
        ticket: the call, as in CallPending.
    """

    ticket: IncomingCall


class PeerDrains(Struct, frozen=True):
    """The peer takes no new calls.

    Attributes:
        after: milliseconds after which the peer asks clients to come again.
        elsewhere: addresses of other servers.
    """

    after: int
    elsewhere: tuple[str, ...]


class PeerLeaves(Struct, frozen=True):
    """The peer has said goodbye: it has sent its last message, and closes the connection.

    Attributes:
        code: one word, such as ``"closing"``.
        text: a sentence for the log.
    """

    code: str
    text: str


class CallRaised(Struct, frozen=True):
    """A local method failed. The peer has its error reply already.

    Attributes:
        name: the method.
        error: the exception, or a Failure of it.
        error_id: the id that the peer was shown instead of the text, or None.
        one_way_to: for a one-way call, the class of the object if it was found; else None.
        refused: for a one-way call that was not run, the number of such calls so far; else 0.
    """

    name: str
    error: object
    error_id: str | None
    one_way_to: type | None = None
    refused: int = 0


class StreamOpened(Struct, frozen=True):
    """The message with a stream of this end was sent: its items may be sent.

    Attributes:
        stream: the stream.
    """

    stream: OutgoingStream


class Misunderstood(Struct, frozen=True):
    """The peer does not know a command that it was sent."""

    command: str


Event: TypeAlias = (
    Ready
    | CallBegan
    | CallPending
    | CallAnswered
    | CallCancelled
    | CallRaised
    | PeerDrains
    | PeerLeaves
    | StreamOpened
    | Misunderstood
)
