"""Checks what a program passes to a pool: its engine, and the functions that it calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from broker.printable import repr_of

__all__ = ["checked_engine", "plain_result"]


def plain_result(result: object, function: Callable[..., object]) -> object:
    """Return the result of a function, unless it would use the connection in another thread."""
    if not (
        inspect.isgenerator(result) or inspect.isasyncgen(result) or inspect.isawaitable(result)
    ):
        return result
    if inspect.isgenerator(result) or inspect.iscoroutine(result):
        result.close()
    raise TypeError(
        f"{repr_of(function, 100)} returned a {type(result).__name__}, which would use the"
        " connection in another thread; pass a plain function, such as one that returns a list"
    )


def checked_engine(engine: Any, others: set[str]) -> object:
    """Return an engine that goes with these arguments."""
    if hasattr(engine, "sync_engine"):
        raise TypeError("an AsyncEngine is used without a ConnectionPool, or by its sync_engine")
    if not (hasattr(engine, "begin") and hasattr(engine, "dispose")):
        raise TypeError(
            "dbapiName is the name of a module of DB-API 2, or an SQLAlchemy Engine, not a"
            f" {type(engine).__name__}"
        )
    if refused := sorted(others - {"cp_min", "cp_max", "cp_name", "cp_noisy"}):
        raise TypeError(f"the engine itself has its arguments; leave out {', '.join(refused)}")
    return engine
