"""Runs a configuration file, Python that makes an `application`; reports errors in one line."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

from broker.reactor.service import IService

__all__ = ["WrongFile", "application_of"]

# The module name of classes in the file; it cannot hide an importable module.
MODULE = "__application__"


class WrongFile(Exception):
    """The file does not make an application; the text names the file, and the line if known.

    Its cause is the exception that the file raised, if any.
    """


def application_of(file: str) -> object:
    """Run a file, as ``python FILE`` would, and return its `application`.

    Its folder is the first place that it imports from. `__name__` is not ``"__main__"``.

    Raises:
        WrongFile: the file is not Python, raised an exception, or does not make an application.
    """
    path = Path(file).absolute()
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module
    sys.path.insert(0, str(path.parent))
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102 - its purpose
    except SyntaxError as exc:
        raise WrongFile(f"{exc.filename or file}, line {exc.lineno}: {exc.msg}") from exc
    except Exception as exc:
        where = f"{file}, line {_line(exc, str(path))}"
        raise WrongFile(f"{where}: {type(exc).__name__}: {exc}") from exc
    application: object = getattr(module, "application", None)
    if application is None:
        raise WrongFile(
            f"{file} does not make an application: add a line such as"
            " application = service.Application('name')"
        )
    if IService(application, None) is None:
        raise WrongFile(
            f"{file}: its application is of type {type(application).__name__}, and was not made"
            " by service.Application('name')"
        )
    return application


def _line(exc: Exception, path: str) -> int | str:
    """Return the line in the file that an exception came from."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(exc.__traceback__)
        if frame.filename == path and frame.lineno
    ]
    return lines[-1] if lines else "?"
