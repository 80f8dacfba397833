"""A class that both programs know and that is both ends of a copy."""

from __future__ import annotations

from typing import Any

from describe import describe
from world import pb, register

__all__ = ["Parcel", "told", "two"]


class Parcel(pb.Copyable, pb.RemoteCopy):
    """Sent there and back, it is unchanged."""

    label: str
    inside: Any


register(Parcel)


def told(parcel):
    """Return a description of a parcel."""
    return [type(parcel).__name__, describe(dict(sorted(vars(parcel).items())))]


def two():
    """Return a parcel in a parcel."""
    outer, inner = Parcel(), Parcel()
    outer.label, outer.inside = "fragile", inner
    inner.label, inner.inside = "small", None
    return outer
