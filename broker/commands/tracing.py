"""The traceback of an application's code, without the library's frames above it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

__all__ = ["traceback_of"]

_HERE = str(Path(__file__).parent)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error that the application's code raised.

    It begins with the first frame of the application: the frames of the commands and of ``import``
    before it are omitted. All later frames are kept, whichever module they belong to.
    """
    lines = traceback.format_exception(type(error), error, _from(error.__traceback__, _is_not_its))
    return "".join(lines).rstrip()


def _from(frames: TracebackType | None, is_left_out: Callable[[str], bool]) -> TracebackType | None:
    while frames is not None and is_left_out(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_not_its(filename: str) -> bool:
    return filename.startswith((_HERE, "<frozen importlib")) or Path(filename).parts[-2:] == (
        "importlib",
        "__init__.py",
    )
