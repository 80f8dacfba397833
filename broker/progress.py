"""Progress: how far a long call is, told to its caller while it runs."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TextIO, TypeAlias

from broker.flavors.reference import RemoteReference
from broker.traces import log_error

__all__ = ["Progress", "Reporter", "bar", "reporter_of", "throttled"]

logger = logging.getLogger("broker.progress")

Reporter: TypeAlias = Callable[..., None]
"""Takes what `Progress.report` takes, and raises nothing."""


class Progress(Protocol):
    """What a method that takes long reports to: a contract, whose method is one way.

    The caller passes any object with this method, such as a `bar`. The method at the other end gets
    a proxy if its parameter is annotated with Progress, else a RemoteReference, to which it reports
    with ``progress.send("report", done, total)``.
    """

    def report(self, done: float, total: float | None = None, note: str = "") -> None:
        """Take note of how far the work is.

        Args:
            done: what is done, in any unit.
            total: what there is to do, in that unit; None if that is not known.
            note: a word about what is being done.
        """


def reporter_of(progress: object) -> Reporter:
    """Return a function that reports to an object; an error is logged, and never raised.

    Args:
        progress: an object with ``report``, a RemoteReference to one, or None.

    Raises:
        TypeError: it is something else.
    """
    if progress is None:
        return _nothing
    call: Callable[..., object]
    if isinstance(progress, RemoteReference):
        reference = progress

        def call(*args: object) -> None:
            reference.send("report", *args)

    else:
        call = getattr(progress, "report", None)  # type: ignore[assignment]
        if not callable(call):
            raise TypeError(f"a {type(progress).__name__} has no method 'report'")

    def report(*args: object) -> None:
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001 - the work does not fail because of a report
            log_error(logger, "a report of progress failed", error)

    return report


def _nothing(*args: object) -> None:
    """Report nothing."""


class throttled:
    """A Progress that passes on the newest report, at most every so often.

    The first report and the last one go out; at most one waits. It is used in an event loop.

    Args:
        progress: gets the reports; an object with ``report``, or a RemoteReference to one.
        every: seconds between two reports.
    """

    def __init__(self, progress: object, every: float = 0.1):
        self._report = reporter_of(progress)
        self._every = every
        self._newest: tuple[Any, ...] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def report(self, done: float, total: float | None = None, note: str = "") -> None:
        """Pass a report on, now or when the time has come; see `Progress.report`."""
        self._newest = (done, total, note)
        if self._timer is None:
            self._pass_on()

    def _pass_on(self) -> None:
        self._timer = None
        newest, self._newest = self._newest, None
        if newest is not None:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._pass_on)
            self._report(*newest)


class bar:
    """``with broker.progress.bar() as bar:`` shows a bar in the terminal; it is a Progress.

    With the package rich (extra ``cli``) and a terminal it is a bar with speed and remaining time.
    Elsewhere it is a line of text each second, and one at the end.

    Args:
        total: what there is to do; a report may tell it too.
        description: is shown before the bar.
        unit: ``"B"`` for bytes; another word is shown behind the numbers.
        file: where it is written; default the standard error.
    """

    def __init__(
        self,
        total: float | None = None,
        description: str = "",
        *,
        unit: str = "B",
        file: TextIO | None = None,
    ):
        self._total = total
        self._description = description
        self._unit = unit
        self._file = file
        self._shown: _Shown | None = None

    def __enter__(self) -> bar:
        file = sys.stderr if self._file is None else self._file
        make = _rich_bar() if file.isatty() else None
        kind = _Lines if make is None else make
        self._shown = kind(file, self._description, self._total, self._unit)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.end()

    def report(self, done: float, total: float | None = None, note: str = "") -> None:
        """Show how far the work is; see `Progress.report`."""
        if self._shown is not None:
            self._shown.show(done, self._total if total is None else total, note)


class _Shown(Protocol):
    """A bar, or what stands for one."""

    def show(self, done: float, total: float | None, note: str) -> None: ...
    def end(self) -> None: ...


class _Lines:
    """One line each second, and one at the end."""

    def __init__(self, file: TextIO, description: str, total: float | None, unit: str):
        self._file = file
        self._description = description
        self._unit = unit
        self._last: str = ""
        self._due = 0.0
        self._is_written = True

    def show(self, done: float, total: float | None, note: str) -> None:
        of = "" if total is None else f" of {_amount(total, self._unit)}"
        head = f"{self._description}: " if self._description else ""
        tail = f" {note}" if note else ""
        self._last, self._is_written = f"{head}{_amount(done, self._unit)}{of}{tail}", False
        now = time.monotonic()
        if now >= self._due:
            self._due = now + 1.0
            self._write()

    def end(self) -> None:
        if not self._is_written:
            self._write()

    def _write(self) -> None:
        self._is_written = True
        print(self._last, file=self._file, flush=True)


def _amount(number: float, unit: str) -> str:
    if unit != "B":
        return f"{number:g} {unit}".strip()
    for name in ("B", "kB", "MB", "GB"):
        if number < 1000 or name == "GB":
            break
        number /= 1000
    return f"{number:.0f} {name}" if name == "B" else f"{number:.1f} {name}"


def _rich_bar() -> Callable[[TextIO, str, float | None, str], _Shown] | None:
    """Return what makes a bar of rich; None if rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as RichProgress
    except ImportError:
        return None

    class Rich:
        def __init__(self, file: TextIO, description: str, total: float | None, unit: str):
            amounts = (DownloadColumn(), TransferSpeedColumn())
            columns = amounts if unit == "B" else (MofNCompleteColumn(), TextColumn(unit))
            self._progress = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                *columns,
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(file=file),
            )
            self._task = self._progress.add_task(description, total=total, note="")
            self._progress.start()

        def show(self, done: float, total: float | None, note: str) -> None:
            self._progress.update(self._task, completed=done, total=total, note=note)

        def end(self) -> None:
            self._progress.stop()

    return Rich
