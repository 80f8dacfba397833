"""The traceback of an application's code, as far as it is the application's."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

__all__ = ["traceback_of"]

_HERE = str(Path(__file__).parent)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error that the application's code has raised.

    It begins with the first frame of the application: what called that, the commands and the
    machinery of ``import``, is left out. Further down nothing is, whichever module raised.
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
