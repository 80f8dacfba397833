"""Tracebacks for the log: complete in ordinary cases, and bounded for any input of a peer.

Theory of operation. Python's `traceback` prints the whole text of an error, and of all errors that
led to it. A peer may have chosen this text. So the text is made here, by `broker.printable`. A
record has it as its ``exc_text``, which the formatters of `logging` print. The error itself is the
``exc_info`` of the record only if the text is complete and unchanged; then a formatter that formats
it again gets the same text.
"""

from __future__ import annotations

import linecache
import logging
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from broker.printable import has_small_text, printable, repr_of, text_of_error, text_of_value

if TYPE_CHECKING:
    from broker.failure import Frame as PublishedFrame

__all__ = [
    "MOST",
    "MOST_FRAMES",
    "MOST_MESSAGE",
    "Frame",
    "Trace",
    "failure_lines",
    "format_frame",
    "frames_of",
    "handle_error",
    "log_error",
    "printable",
    "representations",
    "text_of_value",
    "trace_of",
]

MOST = 3400
"""Bytes of the traceback in one record."""

MOST_MESSAGE = 600
"""Bytes of the message of a record that has a traceback."""

MOST_FRAMES = 40
"""The most frames that are shown, the innermost ones."""

_MOST_TEXT = 1000
_MOST_VARIABLE = 4096
_MOST_CHAIN = 4
_MOST_NOTES = 5
_MOST_IN_GROUP = 5
_DEEPEST_GROUP = 2
# The least bytes for one error, so that at least a part of its text is shown.
_LEAST = 400

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"

# Function, file and line.
Frame: TypeAlias = tuple[str, str, int]


class Trace(NamedTuple):
    """A traceback as text.

    Attributes:
        text: lines, without a line break after the last one.
        is_whole: whether nothing was left out, cut or escaped.
    """

    text: str
    is_whole: bool


def log_error(
    logger: logging.Logger,
    message: str,
    error: BaseException,
    tb: TracebackType | None = None,
    *,
    level: int = logging.ERROR,
    extra: dict[str, object] | None = None,
) -> None:
    """Log an error with its traceback, as one record of at most 4 kB.

    Args:
        logger: the logger.
        message: the message; it is made printable here, and cut at `MOST_MESSAGE` bytes.
        error: the exception.
        tb: its traceback; default that of the error.
        level: the level of the record.
        extra: attributes for the record.
    """
    if not logger.isEnabledFor(level):
        return
    handle_error(logger, level, message, error, tb, trace_of(error, tb), extra)


def handle_error(
    logger: logging.Logger,
    level: int,
    message: str,
    error: BaseException,
    tb: TracebackType | None,
    trace: Trace,
    extra: dict[str, object] | None = None,
) -> None:
    """Log an error with the text of its traceback; see :func:`log_error`."""
    tb = error.__traceback__ if tb is None else tb
    info = (type(error), error, tb) if trace.is_whole else None
    file, line, function, _ = logger.findCaller(False, 3)
    message = printable(message, MOST_MESSAGE, is_ascii=False)
    record = logger.makeRecord(
        logger.name, level, file, line, "%s", (message,), info, function, extra
    )
    record.exc_text = trace.text
    logger.handle(record)


def trace_of(error: BaseException, tb: TracebackType | None = None, most: int = MOST) -> Trace:
    """Return the traceback of an error, as Python prints it, in at most ``most`` bytes of UTF-8.

    Its only control characters are line breaks. If it does not fit, errors that led to this one
    are left out before the error itself, and outer frames before inner ones.

    Args:
        error: the exception.
        tb: its traceback; default that of the error.
        most: the most bytes, at least 1,000.
    """
    chain, are_all = _chain(error)
    is_whole = are_all
    text = ""
    for each, link in chain:
        left = most - len(text.encode()) - len(link) - 60
        if text and left < _LEAST:
            are_all = is_whole = False
            break
        frames = tb if each is error and tb is not None else each.__traceback__
        block, is_block_whole = _block(each, frames_of(frames), left, 0)
        is_whole = is_whole and is_block_whole
        text = f"{block}\n\n{link}\n\n{text}" if link else block
    if not are_all:
        text = f"(what led to this is left out)\n\n{text}"
    return Trace(text, is_whole)


def frames_of(tb: TracebackType | None) -> list[Frame]:
    """Return the innermost frames of a traceback, 41 at most, outermost first."""
    frames: deque[Frame] = deque(maxlen=MOST_FRAMES + 1)
    while tb is not None:
        code = tb.tb_frame.f_code
        frames.append((code.co_name, code.co_filename, tb.tb_lineno))
        tb = tb.tb_next
    return list(frames)


def failure_lines(name: str, text: str, frames: list[Frame], most: int = MOST) -> str:
    """Return the traceback of a Failure in its published form, in at most ``most`` bytes.

    Args:
        name: the name of the class of its exception.
        text: the text of its exception, which is made printable here.
        frames: the frames, outermost first.
        most: the most bytes, at least 1,000.
    """
    name = printable(name, 200, is_ascii=False)
    end = f"{name}: {printable(text, _MOST_TEXT, is_ascii=False)}"
    if not frames:
        return f"Traceback (most recent call last):\nFailure: {end}\n"
    lines, _ = _frame_lines(frames, most - len(end.encode()) - 2, are_published=True)
    return "\n".join([*lines, end, ""])


def format_frame(frame: PublishedFrame, detail: str) -> str:
    """Return the lines of one frame of a Failure, as `Failure.printTraceback` prints it."""
    name, file, line, local, shared = frame
    if detail == "brief":
        return f"{file}:{line}:{name}\n"
    if detail == "default":
        source = linecache.getline(file, line).strip()
        return f'  File "{file}", line {line}, in {name}\n    {source}\n'
    text = f"{file}:{line}: {name}(...)\n"
    for title, variables in (("[ Locals ]", local), ("( Globals )", shared)):
        if variables:
            text += f" {title}\n"
            text += "".join(
                f"  {key} : {repr_of(value, _MOST_VARIABLE)}\n" for key, value in variables
            )
    return text


def representations(variables: list[tuple[str, object]]) -> list[tuple[str, str]]:
    """Return the variables of a frame, each with the beginning of its ``repr`` as value."""
    return [(name, repr_of(value, _MOST_VARIABLE)) for name, value in variables]


def _chain(error: BaseException) -> tuple[list[tuple[BaseException, str]], bool]:
    """Return an error and those that led to it, and whether these are all.

    Each has the sentence that is printed between it and the one before it in the list.
    """
    chain: list[tuple[BaseException, str]] = [(error, "")]
    while True:
        last = chain[-1][0]
        link = _CAUSE
        before = last.__cause__
        if before is None and not last.__suppress_context__:
            link, before = _CONTEXT, last.__context__
        if before is None or any(before is each for each, _ in chain):
            return chain, True
        if len(chain) == _MOST_CHAIN:
            return chain, False
        chain.append((before, link))


def _block(error: BaseException, frames: list[Frame], most: int, depth: int) -> Trace:
    """Return the frames, the name, the text and the notes of one error."""
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    end, is_whole = _end(error, most // 2 if members else most - 100)
    left = most - len(end.encode())
    lines, are_all = _frame_lines(frames, left // 2 if members else left)
    text = "\n".join([*lines, end])
    is_whole = is_whole and are_all
    if not members:
        return Trace(text, is_whole)
    inner, is_inner_whole = _members(members, most - len(text.encode()), depth + 1)
    return Trace(f"{text}\n{inner}", is_whole and is_inner_whole)


def _members(members: Iterable[BaseException], most: int, depth: int) -> Trace:
    """Return the errors of a group, indented."""
    lines: list[str] = []
    errors = list(members)
    is_whole = True
    shown = 0
    for error in errors[:_MOST_IN_GROUP]:
        left = most - sum(len(line.encode()) + 1 for line in lines) - 60
        if left < _LEAST or depth > _DEEPEST_GROUP:
            break
        block, is_block_whole = _block(error, frames_of(error.__traceback__), left * 3 // 4, depth)
        is_whole = is_whole and is_block_whole
        lines += [f"  | {line}" for line in block.split("\n")] + ["  +---"]
        shown += 1
    if shown < len(errors):
        is_whole = False
        lines.append(f"  | ... {len(errors) - shown} more errors")
    # The marks at the beginning of the lines count, too.
    while len(lines) > 1 and sum(len(line.encode()) + 1 for line in lines) > most:
        is_whole = False
        del lines[-2]
    return Trace("\n".join(lines), is_whole)


def _end(error: BaseException, most: int) -> Trace:
    """Return the line with the name and the text of an error, and its notes."""
    cls = type(error)
    name = cls.__qualname__
    if cls.__module__ not in ("builtins", "__main__"):
        name = f"{cls.__module__}.{name}"
    name = printable(name, 200, is_ascii=False)
    text = text_of_error(error, _MOST_TEXT + 1)
    shown = printable(text, min(_MOST_TEXT, most // 2), is_ascii=False)
    is_whole = shown == text and has_small_text(error)
    lines = [f"{name}: {shown}" if shown else name]
    notes = getattr(error, "__notes__", None) or ()
    if not isinstance(notes, list | tuple):
        notes = [repr_of(notes)]
    for note in notes[:_MOST_NOTES]:
        text = note if isinstance(note, str) else repr_of(note, _MOST_TEXT)
        shown = printable(text, max(40, most // 2 // _MOST_NOTES), is_ascii=False)
        is_whole = is_whole and shown == note
        lines.append(shown)
    if len(notes) > _MOST_NOTES:
        is_whole = False
        lines.append(f"... {len(notes) - _MOST_NOTES} more notes")
    return Trace("\n".join(lines), is_whole)


def _frame_lines(
    frames: list[Frame], most: int, are_published: bool = False
) -> tuple[list[str], bool]:
    """Return the lines of the innermost frames that fit, and whether they are all.

    The published form has a line for the source even if that is not known.
    """
    if not frames:
        return [], True
    head = "Traceback (most recent call last):"
    left = most - len(head) - 40
    shown: list[str] = []
    for name, file, line in reversed(frames[-MOST_FRAMES:]):
        text = f'  File "{_short(file)}", line {line}, in {_short(name)}'
        source = linecache.getline(file, line).strip()
        if source or are_published:
            text += f"\n    {_short(source)}"
        left -= len(text.encode()) + 1
        if left < 0:
            break
        shown.append(text)
    is_whole = len(shown) == len(frames)
    if not is_whole:
        shown.append("  ... (outer frames left out)")
    return [head, *reversed(shown)], is_whole


def _short(text: str) -> str:
    return printable(text, 200, is_ascii=False)
