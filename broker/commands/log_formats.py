"""The forms of the log of ``pb serve``: text for people, JSON lines, and logfmt.

Some records have facts besides their text, in the attribute ``facts`` of the record: a dict with
the values of a connection or of a login. JSON and logfmt write each fact under its name.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

__all__ = ["FORMATS", "LEVELS", "start_logging"]

FORMATS = ("text", "json", "logfmt")
LEVELS = ("debug", "info", "warning", "error")

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_JOURNAL_LINE = "%(name)s: %(message)s"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/@+[],%")


class JSONFormatter(logging.Formatter):
    """Writes a record as one line of JSON, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(_fields(self, record), default=str)


class LogfmtFormatter(logging.Formatter):
    """Writes a record as one line ``name=value name="a value"``, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        pairs = _fields(self, record).items()
        return " ".join(f"{name}={_logfmt(value)}" for name, value in pairs if value is not None)


class JournalFormatter(logging.Formatter):
    """Writes a record as text for the journal of systemd: each line begins with its priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines."""
        lines = super().format(record).splitlines()
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(f"{prefix}{line}" for line in lines)


def start_logging(form: str, level: str, stream: TextIO | None = None) -> None:
    """Write all records of at least a level in one form.

    Args:
        form: one of `FORMATS`.
        level: one of `LEVELS`.
        stream: default the standard error. Text is coloured if it is a terminal, and for the
            journal if it is systemd's.
    """
    handler = _handler(form, sys.stderr if stream is None else stream)
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _handler(form: str, stream: TextIO) -> logging.Handler:
    formatter: logging.Formatter = logging.Formatter(LINE)
    if form == "json":
        formatter = JSONFormatter()
    elif form == "logfmt":
        formatter = LogfmtFormatter()
    elif stream.isatty():
        return _rich_handler(stream)
    elif _is_journal(stream):
        formatter = JournalFormatter(_JOURNAL_LINE)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    return handler


def _rich_handler(stream: TextIO) -> logging.Handler:
    # Imported here: a server without a terminal needs none of it.
    from rich.console import Console
    from rich.highlighter import NullHighlighter
    from rich.logging import RichHandler

    handler = RichHandler(
        console=Console(file=stream, soft_wrap=True),
        show_path=False,
        highlighter=NullHighlighter(),
        log_time_format="%H:%M:%S",
    )
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    return handler


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, object]:
    facts: object = getattr(record, "facts", None)
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, object] = {
        "time": time.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    if isinstance(facts, Mapping):
        if record.name == "broker.audit":
            # The text of a line of the audit log is JSON itself.
            fields["message"] = " ".join(filter(None, (facts.get("event"), facts.get("result"))))
        fields.update(facts)
    trace = record.exc_text
    if trace is None and record.exc_info:
        trace = formatter.formatException(record.exc_info)
    if trace:
        fields["traceback"] = trace
    return fields


def _logfmt(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)


def _priority(level: int) -> int:
    """Return the priority of syslog: 3 for an error, 4 a warning, 6 information, 7 debugging."""
    for least, priority in ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)):
        if level >= least:
            return priority
    return 7


def _is_journal(stream: TextIO) -> bool:
    """Return whether a stream is the connection to systemd's journal."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
