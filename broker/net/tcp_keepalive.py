"""Dead peers: has TCP find out that a peer is gone, where the dialect has no pings.

Theory of operation. The kernel probes a connection that has been quiet for the idle time, and ends
it when so many probes in a row had no answer (SO_KEEPALIVE). While sent bytes are not acknowledged
it does not probe but sends again, for many minutes; TCP_USER_TIMEOUT bounds that. A host that is
off or cut off is found out either way. A process that hangs is not: its kernel answers for it.
"""

from __future__ import annotations

import socket
from typing import Any

__all__ = ["probes", "socket_of", "watch"]

# The most that Linux takes: seconds of TCP_KEEPIDLE and TCP_KEEPINTVL, and TCP_KEEPCNT.
_LONGEST, _MOST_PROBES = 32767, 127

# So many layers may stand over a socket: TLS, and wrappers of an application.
_LAYERS = 8

# macOS has another name for the idle time; TCP_USER_TIMEOUT is Linux's.
_IDLE = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
_INTERVAL = getattr(socket, "TCP_KEEPINTVL", None)
_COUNT = getattr(socket, "TCP_KEEPCNT", None)
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


def probes(patience: int) -> tuple[int, int]:
    """Return in how many seconds to probe again, and how often, so that all take ``patience``.

    Three probes at least, so that one or two may be lost, unless there are fewer seconds.
    """
    for count in range(min(3, patience), min(patience, _MOST_PROBES) + 1):
        if patience % count == 0:
            return patience // count, count
    return patience // 10, 10


def watch(sock: Any, silence: float, patience: float) -> None:
    """Have the kernel end a TCP connection whose peer is gone.

    Times are in whole seconds, rounded down, one at least; they are as good as the system has them.

    Args:
        sock: the socket, or what a loop shows of it.
        silence: seconds without a packet of the peer's after which it is probed.
        patience: seconds that it then has.
    """
    idle, rest = _whole(silence), _whole(patience)
    interval, count = probes(rest)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # The user timeout bounds the probes too, when one of them is due: half an interval early, so
    # that this is the last one and not another after it.
    milliseconds = (idle + rest) * 1000 - interval * 500
    for option, value in (
        (_IDLE, idle),
        (_INTERVAL, interval),
        (_COUNT, count),
        (_USER_TIMEOUT, milliseconds),
    ):
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def socket_of(transport: Any) -> socket.socket | None:
    """Return the TCP socket of a transport of Twisted's, also under TLS; None if it has none."""
    for _ in range(_LAYERS):
        get_handle = getattr(transport, "getHandle", None)
        handle = None if get_handle is None else get_handle()
        if isinstance(handle, socket.socket):
            return handle if handle.family in (socket.AF_INET, socket.AF_INET6) else None
        transport = getattr(transport, "transport", None)
        if transport is None:
            break
    return None


def _whole(seconds: float) -> int:
    return int(max(1, min(seconds, _LONGEST)))
