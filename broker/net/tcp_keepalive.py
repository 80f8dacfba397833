"""Dead peers: TCP detects that a peer is gone, for dialects without pings.

Theory of operation. The kernel probes a connection that has been quiet for the idle time. It ends
the connection when a number of probes in a row had no answer (SO_KEEPALIVE). While sent bytes are
not acknowledged, the kernel does not probe but sends them again, for many minutes; TCP_USER_TIMEOUT
limits that. Both detect a host that is off or disconnected. They do not detect a process that
hangs: its kernel answers the probes.
"""

from __future__ import annotations

import socket
from typing import Any

__all__ = ["probes", "socket_of", "watch"]

# The maximum on Linux: seconds of TCP_KEEPIDLE and TCP_KEEPINTVL, and TCP_KEEPCNT.
_LONGEST, _MOST_PROBES = 32767, 127

# How many layers are searched for a socket: TLS, and wrappers of an application.
_LAYERS = 8

# macOS has another name for the idle time; only Linux has TCP_USER_TIMEOUT.
_IDLE = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
_INTERVAL = getattr(socket, "TCP_KEEPINTVL", None)
_COUNT = getattr(socket, "TCP_KEEPCNT", None)
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


def probes(wait: int) -> tuple[int, int]:
    """Return the interval in seconds and the number of probes that together take ``wait``.

    At least three probes if there are as many seconds, so that one or two may be lost.
    """
    for count in range(min(3, wait), min(wait, _MOST_PROBES) + 1):
        if wait % count == 0:
            return wait // count, count
    return wait // 10, 10


def watch(sock: Any, silence: float, wait: float) -> None:
    """Have the kernel end a TCP connection whose peer is gone.

    Times are rounded down to whole seconds, at least 1. Their precision is that of the system.

    Args:
        sock: the socket, or the socket object that a loop shows.
        silence: seconds without a packet from the peer until the first probe.
        wait: seconds from the first probe until the connection is ended.
    """
    idle, rest = _whole(silence), _whole(wait)
    interval, count = probes(rest)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # The user timeout limits the probes too, at the time of a probe. It ends half an interval
    # early, so that the last probe is this one and not another after it.
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
    """Return the TCP socket of a Twisted transport, also under TLS; None if it has none."""
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
