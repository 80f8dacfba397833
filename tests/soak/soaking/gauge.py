"""What is measured at the end of a cycle, when all who came have gone."""

from __future__ import annotations

import ctypes
import gc
import os
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.connection import Broker

__all__ = ["Sample", "give_back", "measure", "resident"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """One cycle's end.

    Attributes:
        seconds: since the beginning.
        objects: those that the garbage collector knows.
        tables: entries of all tables of the connections that stay, and connections that should
            have gone.
        traced: bytes that Python has allocated, as tracemalloc counts.
        resident: bytes of memory that the process has.
    """

    seconds: float
    objects: int
    tables: int
    traced: int
    resident: int


def measure(seconds: float, staying: Iterable[Broker], strays: int) -> Sample:
    """Collect garbage, and measure.

    Args:
        seconds: since the beginning.
        staying: the connections that last.
        strays: connections that should have gone.
    """
    for _ in range(3):
        gc.collect()
    give_back()
    # The list of all objects is one of them, and as long as they are many.
    objects = len(gc.get_objects())
    tables = strays + sum(map(_entries, staying))
    return Sample(seconds, objects, tables, tracemalloc.get_traced_memory()[0], resident())


def give_back() -> None:
    """Have the C library give back what it holds in store: glibc does not by itself."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _entries(broker: Broker) -> int:
    session: Any = broker.session
    translator = session.translator
    tables = (translator.exports, translator.imports, translator.published, translator.held)
    return sum(map(len, tables)) + session.waiting + session.running
