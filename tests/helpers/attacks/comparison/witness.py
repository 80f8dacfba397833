"""The bystander of an attack: calls ``echo`` of a server without pause, controlled by lines."""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

from attacks.comparison.peers_raw import Client
from attacks.comparison.processes import PATIENCE


class Caller:
    """Calls, and records how long it waits.

    Attributes:
        longest: the longest wait for an answer, in seconds.
        calls: how many were answered.
    """

    def __init__(self, port: int):
        self._client = Client(port)
        self.longest = 0.0
        self.calls = 0

    def call(self) -> bool:
        """Return whether a call is answered."""
        began = time.perf_counter()
        number = self._client.next_number()
        self._client.send(self._client.call(1, number=number))
        is_answered = not isinstance(self._client.fate(number, PATIENCE), str)
        self.longest = max(self.longest, time.perf_counter() - began)
        self.calls += is_answered
        return is_answered

    def close(self) -> None:
        """Close."""
        self._client.close()


def answer(value: Any) -> None:
    """Write a line."""
    print(json.dumps(value), flush=True)


def main() -> None:
    """Execute the commands of the lines."""
    answer({})
    caller: Any = None
    is_calling = False
    while True:
        if is_calling and not select.select([sys.stdin], [], [], 0)[0]:
            is_calling = caller.call()
            continue
        line = sys.stdin.readline()
        if not line:
            return
        word, *values = json.loads(line)
        if word == "connect":
            if caller is not None:
                caller.close()
            caller = Caller(*values)
            answer(caller.call())
        elif word == "start":
            caller.longest, caller.calls, is_calling = 0.0, 0, True
            answer(True)
        else:
            is_calling = False
            longest, calls = caller.longest, caller.calls
            answer([longest, calls, caller.call()])


socket.setdefaulttimeout(PATIENCE)
main()
