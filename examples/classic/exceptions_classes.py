"""Exceptions: a class that both ends know."""

from broker import pb


class SoldOut(pb.Error):
    """Raised for the client on purpose: the server does not log its traceback."""
