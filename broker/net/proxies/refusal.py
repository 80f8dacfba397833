"""The reason why a proxy does not connect to a server."""

from __future__ import annotations

from broker.transport_errors import ConnectError

__all__ = ["ENDED", "Refusal"]

ENDED = "the proxy closed the connection"


class Refusal(Exception):
    """The proxy has refused, or its answer is not valid.

    Attributes:
        why: the reason, for the end of a sentence; it quotes nothing that the proxy has sent.
        kind: the class of the error for the caller.
    """

    def __init__(self, why: str, kind: type[ConnectError] = ConnectError):
        super().__init__(why)
        self.why = why
        self.kind = kind
