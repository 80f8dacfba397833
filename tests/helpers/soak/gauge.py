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

from broker.connection.broker import Broker

__all__ = ["Sample", "give_back", "in_use", "measure", "resident"]

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
        in_use: bytes that the C library has given out and not got back; 0 where it does not tell.
    """

    seconds: float
    objects: int
    tables: int
    traced: int
    resident: int
    in_use: int = 0


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
    traced, _ = tracemalloc.get_traced_memory()
    return Sample(seconds, objects, tables, traced, resident(), in_use())


def give_back() -> None:
    """Have the C library give back what it holds in store: glibc does not by itself."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class _Mallinfo(ctypes.Structure):
    """What glibc tells of its memory: ``struct mallinfo2`` of malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def in_use() -> int:
    """Return the bytes that the C library has given out; 0 where it is none that tells.

    With ``PYTHONMALLOC=malloc`` that is all memory but that of the program itself.
    """
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if tell is None:
        return 0
    tell.restype = _Mallinfo
    told = tell()
    return int(told.uordblks + told.hblkhd)


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _entries(broker: Broker) -> int:
    session: Any = broker.session
    translator = session.translator
    tables = (
        translator.exports,
        translator.imports,
        translator.cacheables,
        translator.remote_caches,
    )
    return sum(map(len, tables)) + len(session.outgoing.open_calls) + session.running
