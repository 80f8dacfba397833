"""Published names of `twisted.python.log`: a thin layer over the standard library's logging.

`msg` and `err` make records of the logger ``broker.app``, so the handlers of an application's
logging configuration get them. An observer is a handler of the logger ``broker``. It gets these
records and those of the library itself, each as a dict with the published keys. While there is an
observer, that logger takes records from level INFO on, unless the application has set its level.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar

from zope.interface import Interface

from broker.failure import Failure
from broker.printable import repr_of, text_of_value
from broker.traces import log_error

__all__ = [
    "EventDict",
    "FileLogObserver",
    "ILogObserver",
    "PythonLoggingObserver",
    "addObserver",
    "callWithContext",
    "callWithLogger",
    "deferr",
    "err",
    "msg",
    "removeObserver",
    "startLogging",
    "startLoggingWithObserver",
    "textFromEventDict",
]

EventDict: TypeAlias = dict[str, Any]
Observer: TypeAlias = Callable[[EventDict], object]
P = ParamSpec("P")
T = TypeVar("T")

LIBRARY = logging.getLogger("broker")
APPLICATION = logging.getLogger("broker.app")

_context: ContextVar[EventDict] = ContextVar("broker.reactor.log")


class LogFile(Protocol):
    """The file of a log."""

    def write(self, text: str, /) -> object:
        """Write a text."""

    def flush(self) -> object:
        """Pass on what was written."""


class LogPrefixed(Protocol):
    """A protocol or factory, whose calls have its name in the log."""

    def logPrefix(self) -> str:
        """Return the name."""


class ILogObserver(Interface):  # type: ignore[misc]
    """An observer of events; the component of an Application that gets its log (published)."""

    def __call__(eventDict: EventDict) -> None:
        """Take one event."""


def msg(*message: object, **kw: object) -> None:
    """Log a message (published).

    Args:
        message: its parts, which are joined with blanks.
        kw: more keys of the event. ``format`` is a text that is filled in from the event,
            ``system`` names the source, and ``logLevel`` is a level of `logging`.
    """
    event: EventDict = {
        "system": "-",
        **_context.get({}),
        "isError": 0,
        "time": time.time(),
        "message": message,
        **kw,
    }
    level = event.get("logLevel")
    if not isinstance(level, int):
        level = logging.ERROR if event["isError"] else logging.INFO
    if not APPLICATION.isEnabledFor(level):
        return
    failure = event.get("failure")
    error = None if failure is None else Failure.of(failure).as_exception()
    # The handler that formats the record adds the failure, after this message.
    text = (event.get("why") or "Unhandled Error") if error else textFromEventDict(event)
    if text is not None:
        if error is None:
            APPLICATION.log(level, "%s", text, extra={"event": event})
        else:
            log_error(APPLICATION, text, error, level=level, extra={"event": event})


def err(_stuff: object = None, _why: str | None = None, **kw: object) -> None:
    """Log a failure as an error (published).

    Args:
        _stuff: a Failure, an exception, or any object, whose ``repr`` is logged. None means the
            exception that is being handled.
        _why: the text before the traceback.
        kw: more keys of the event.
    """
    if _stuff is None:
        _stuff = Failure()
    if isinstance(_stuff, BaseException) or hasattr(_stuff, "getErrorMessage"):
        msg(failure=Failure.of(_stuff), why=_why, isError=1, **kw)
    else:
        msg(repr_of(_stuff), why=_why, isError=1, **kw)


deferr = err


def callWithContext(ctx: EventDict, func: Callable[P, T], *args: P.args, **kw: P.kwargs) -> T:
    """Call a function, and add these keys to its events of `msg` and `err` (published)."""
    token = _context.set({**_context.get({}), **ctx})
    try:
        return func(*args, **kw)
    finally:
        _context.reset(token)


def callWithLogger(
    logger: LogPrefixed, func: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> T | None:
    """Call a function with `logger.logPrefix()` as the system; log its exception (published)."""
    prefix = logger.logPrefix()
    try:
        return callWithContext({"system": prefix}, func, *args, **kw)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as published
        err(system=prefix)
        return None


def addObserver(other: Observer) -> None:
    """Have `other(eventDict)` called for each event (published).

    The event has ``message`` (a tuple), ``isError``, ``time`` (seconds since the epoch) and
    ``system``. An error also has ``failure`` and ``why``. The event has the keys given to `msg`
    too.
    """
    if not _observing():
        _Observing.keep_level()
    LIBRARY.addHandler(_Observing(other))


def removeObserver(other: Observer) -> None:
    """Remove an observer; does nothing if it was not added (published)."""
    for handler in _observing():
        if handler.observer == other:
            LIBRARY.removeHandler(handler)
            if not _observing():
                _Observing.give_level_back()
            return


def startLogging(file: LogFile, *a: bool | int, **kw: bool | int) -> FileLogObserver:
    """Write the log to a file, and printed text to the log (published).

    Args:
        file: any object with `write` and `flush`.
        a, kw: `setStdout`, as for `startLoggingWithObserver`.

    Returns:
        The observer that writes.
    """
    observer = FileLogObserver(file)
    startLoggingWithObserver(observer.emit, *a, **kw)
    return observer


def startLoggingWithObserver(observer: Observer, setStdout: bool | int = 1) -> None:
    """Send the log to an observer; with `setStdout` all printed text too (published).

    A line printed to the standard error is an error of the log.
    """
    addObserver(observer)
    msg("Log opened.")
    if setStdout:
        sys.stdout = _Printed(is_error=False)
        sys.stderr = _Printed(is_error=True)


def textFromEventDict(eventDict: EventDict) -> str | None:
    """Return an event as text, or None if it has no text (published)."""
    failure = eventDict.get("failure")
    if eventDict["isError"] and failure is not None:
        return f"{eventDict.get('why') or 'Unhandled Error'}\n{Failure.of(failure).text_for_log()}"
    if eventDict["message"]:
        return " ".join(_text(part) for part in eventDict["message"])
    if "format" not in eventDict:
        return None
    try:
        return str(eventDict["format"] % eventDict)
    except Exception as exc:  # noqa: BLE001 - the event is logged also with a wrong format
        event = repr_of(eventDict)
        return f"event with a format that does not fit it ({text_of_value(exc)}): {event}"


class _StartStopObserver:
    """An observer whose `emit` is added and removed by two methods."""

    def emit(self, eventDict: EventDict) -> None:
        """Handle one event; this method is the observer (published)."""
        raise NotImplementedError

    def start(self) -> None:
        """Start to get events (published)."""
        addObserver(self.emit)

    def stop(self) -> None:
        """Stop getting events (published)."""
        removeObserver(self.emit)


class FileLogObserver(_StartStopObserver):
    """Writes events to a file, a line each: time, system in brackets, text (published).

    Attributes:
        timeFormat: for `time.strftime`; None is ``2024-12-24 18:00:00+0100``.
    """

    timeFormat: str | None = None

    def __init__(self, f: LogFile):
        self.write = f.write
        self.flush = f.flush

    def formatTime(self, when: float) -> str:
        """Return a time, in seconds since the epoch, as text (published)."""
        return time.strftime(self.timeFormat or "%Y-%m-%d %H:%M:%S%z", time.localtime(when))

    def emit(self, eventDict: EventDict) -> None:
        """Write one event; this method is the observer (published)."""
        text = textFromEventDict(eventDict)
        if text is not None:
            text = text.replace("\n", "\n\t")
            self.write(f"{self.formatTime(eventDict['time'])} [{eventDict['system']}] {text}\n")
            self.flush()


class PythonLoggingObserver(_StartStopObserver):
    """Writes events to a logger of `logging` (published).

    Between `start` and `stop` events go to that logger and not to the root logger's handlers, which
    they reach otherwise. So each event is logged once.

    Args:
        loggerName: the name of the logger.
    """

    def __init__(self, loggerName: str = "twisted"):
        self._logger = logging.getLogger(loggerName)
        self._had_root = True

    def emit(self, eventDict: EventDict) -> None:
        """Log one event, a failure with its traceback (published).

        The level is the event's ``logLevel``; else CRITICAL for an error, and INFO.
        """
        text = textFromEventDict(eventDict)
        if text is None:
            return
        level = eventDict.get("logLevel")
        if not isinstance(level, int):
            level = logging.CRITICAL if eventDict["isError"] else logging.INFO
        self._logger.log(level, "%s", text)

    def start(self) -> None:
        """Stop the records from reaching the root logger's handlers (published)."""
        super().start()
        _Observing.take_from(self._logger.getEffectiveLevel())
        self._had_root = LIBRARY.propagate
        LIBRARY.propagate = False

    def stop(self) -> None:
        """Let the records reach the root logger's handlers again (published)."""
        super().stop()
        LIBRARY.propagate = self._had_root


class _Observing(logging.Handler):
    """Gives each record to an observer, as an event."""

    _level: int | None = None  # the level of the logger before there was an observer

    def __init__(self, observer: Observer):
        super().__init__()
        self.observer = observer
        self._is_busy = False

    @classmethod
    def keep_level(cls) -> None:
        cls._level = LIBRARY.level
        if LIBRARY.level == logging.NOTSET:
            LIBRARY.setLevel(logging.INFO)

    @classmethod
    def take_from(cls, level: int) -> None:
        """Let records of a lower level through, unless the application has set the level."""
        if cls._level == logging.NOTSET:
            LIBRARY.setLevel(min(LIBRARY.level, max(level, logging.DEBUG)))

    @classmethod
    def give_level_back(cls) -> None:
        if cls._level is not None:
            LIBRARY.setLevel(cls._level)

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_busy:
            return  # a record of the observer itself would cause an endless loop
        self._is_busy = True
        try:
            self.observer(_event_of(record))
        except Exception as exc:  # noqa: BLE001 - the other observers still get the event
            log_error(APPLICATION, f"the observer {repr_of(self.observer, 200)} raised", exc)
        finally:
            self._is_busy = False


class _Printed(io.TextIOBase):
    """Logs printed text line by line."""

    encoding = "utf-8"

    def __init__(self, *, is_error: bool):
        super().__init__()
        self._is_error = int(is_error)
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            msg(line, printed=1, isError=self._is_error)
        return len(text)


def _observing() -> list[_Observing]:
    return [handler for handler in LIBRARY.handlers if isinstance(handler, _Observing)]


def _event_of(record: logging.LogRecord) -> EventDict:
    event: EventDict | None = getattr(record, "event", None)
    if event is not None:
        return dict(event)
    text = record.getMessage()
    if record.exc_text and not record.exc_info:
        text = f"{text}\n{record.exc_text}"
    is_error = int(record.levelno >= logging.ERROR)
    event = {
        "message": (text,),
        "isError": is_error,
        "time": record.created,
        "system": record.name,
        "logLevel": record.levelno,
    }
    if record.exc_info and record.exc_info[1] is not None and is_error:
        event.update(failure=Failure(*record.exc_info[1:0:-1]), why=text)
        event["failure"].tb = record.exc_info[2]
    return event


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as exc:  # noqa: BLE001 - the event is logged also with a broken __str__
        return f"<{type(value).__name__} whose str() raised {type(exc).__name__}>"
