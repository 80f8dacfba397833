"""Turns off the lane of our connections, to measure the general path alone."""

from __future__ import annotations

from broker.connection.broker import Broker

__all__ = ["use_general_path"]


def use_general_path() -> None:
    """Let no connection that this process opens later use a lane.

    Every call, frame and answer then goes the general path, as with a tracer, but without the cost
    of a tracer. No setting of the product does this.

    Raises:
        RuntimeError: this version of broker makes its lanes elsewhere.
    """
    if not hasattr(Broker, "_use_lane"):
        raise RuntimeError("this version of broker makes its lanes elsewhere, or has none")

    def use_none(connection: Broker) -> None:
        pass

    setattr(Broker, "_use_lane", use_none)  # noqa: B010 - a method is replaced on purpose
