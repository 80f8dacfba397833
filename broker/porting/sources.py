"""Finds the source files of a program, and reads their text with its positions."""

from __future__ import annotations

import ast
import bisect
import io
import os
import re
import stat
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from broker.porting.findings import Finding, Kind

__all__ = ["Source", "Unreadable", "files_of", "hiding", "read"]

_SUFFIXES = (".py", ".pyw", ".tac")
_LINE_END = re.compile(r"\r\n|\r|\n")
_SHEBANG = re.compile(rb"#!.*python")
_OURS = ("broker", "cred", "jelly")


class Unreadable(Exception):
    """A file cannot be read, or is not Python 3; the text says why.

    Attributes:
        line: the line number, from 1; 0 means the whole file.
    """

    def __init__(self, text: str, line: int = 0):
        super().__init__(text)
        self.line = line


class Source:
    """The text of one file, and the positions of its syntax nodes.

    Args:
        path: where it was read.
        text: its content, with its own line endings.
        encoding: of its bytes; that of a file with a byte order mark adds one.

    Raises:
        Unreadable: it is not Python 3.
    """

    def __init__(self, path: Path, text: str, encoding: str = "utf-8"):
        self.path = path
        self.text = text
        self.encoding = encoding
        self.tree = _parsed(text)
        self._starts = [0, *(end.end() for end in _LINE_END.finditer(text))]

    def offset(self, line: int, column: int) -> int:
        """Return the position in the text of a line, from 1, and a column in bytes of UTF-8."""
        start = self._starts[line - 1]
        end = self._starts[line] if line < len(self._starts) else len(self.text)
        return start + len(self.text[start:end].encode()[:column].decode())

    def span(self, node: ast.stmt | ast.expr | ast.alias) -> tuple[int, int]:
        """Return the positions where a node begins and ends."""
        last, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self.offset(node.lineno, node.col_offset), self.offset(last, column)

    def line_around(self, start: int, end: int) -> tuple[str, str]:
        """Return the text before a span on its first line, and after it on its last line."""
        begin = self._starts[bisect.bisect_right(self._starts, start) - 1]
        found = _LINE_END.search(self.text, end)
        return self.text[begin:start], self.text[end : found.start() if found else None]

    @property
    def newline(self) -> str:
        """The line ending of its first line."""
        found = _LINE_END.search(self.text)
        return found.group() if found else "\n"


def _parsed(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # Warnings about escapes in strings and the like matter only when the program runs.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as exc:
        text = f"not Python 3: {exc.msg}; if it is Python 2, convert it first"
        raise Unreadable(text, exc.lineno or 0) from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise Unreadable(f"cannot be parsed: {exc or type(exc).__name__}") from exc


def read(path: Path) -> Source:
    """Read the source in a file.

    Raises:
        Unreadable: it cannot be read or decoded, or is not Python 3.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable("not a regular file")
        data = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        is_whole = text.encode(encoding) == data
    except OSError as exc:
        raise Unreadable(f"cannot be read: {exc.strerror or exc}") from exc
    except (SyntaxError, UnicodeError, LookupError) as exc:
        raise Unreadable(f"cannot be decoded: {exc}") from exc
    if not is_whole:
        raise Unreadable(f"its {encoding} cannot be written back byte for byte")
    return Source(path, text, encoding)


def files_of(paths: Iterable[Path]) -> Iterator[Path | Finding]:
    """Yield the Python files among the paths, and in folders among them, each once.

    In a folder these are ``*.py``, ``*.pyw``, ``*.tac``, and files without a suffix but with a
    ``#!`` line for python. Names that begin with a dot, caches, and virtual environments are
    skipped. Links in a folder are not followed; for one that leads out of the folder there is a
    `Finding`.
    """
    seen: set[tuple[int, int]] = set()
    for path in paths:
        for found in _files_in(path) if path.is_dir() else [path]:
            if isinstance(found, Finding):
                yield found
                continue
            try:
                status = found.stat()
            except OSError:
                # The error is reported when the file is read.
                yield found
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield found


def _files_in(top: Path) -> Iterator[Path | Finding]:
    failed: list[OSError] = []
    for name, folders, files in os.walk(top, onerror=failed.append):
        folder = Path(name)
        while failed:
            yield _unread(failed.pop())
        links = [each for each in sorted(folders) if (folder / each).is_symlink()]
        folders[:] = sorted(each for each in folders if _is_walked(folder / each))
        for each in links + sorted(files):
            path = folder / each
            if path.is_symlink():
                if (each in links or _is_python(path)) and _leads_out(path, top):
                    text = "a link, which is not followed: name the target if it is of the program"
                    yield Finding(str(path), 0, Kind.LOOK, text)
            elif _is_python(path):
                yield path
    while failed:
        yield _unread(failed.pop())


def _unread(error: OSError) -> Finding:
    text = f"cannot be read: {error.strerror or error}"
    return Finding(str(error.filename), 0, Kind.UNREAD, text)


def _is_walked(folder: Path) -> bool:
    return not (
        folder.name.startswith(".")
        or folder.name == "__pycache__"
        or (folder / "pyvenv.cfg").exists()
    )


def _leads_out(link: Path, top: Path) -> bool:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        # The target does not exist, or the link is a loop.
        return False
    return not target.is_relative_to(top.resolve())


def _is_python(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.suffix:
        return path.suffix in _SUFFIXES
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as opened:
            return _SHEBANG.match(opened.readline(200)) is not None
    except OSError:
        return False


def hiding(path: Path) -> dict[str, Path]:
    """Return the packages of this library that modules of the program hide, and the files."""
    folder = path.resolve().parent
    while (folder / "__init__.py").exists() and folder.parent != folder:
        folder = folder.parent
    found = {}
    for name in _OURS:
        for own in (folder / f"{name}.py", folder / name / "__init__.py"):
            if own.exists() and not _is_ours(own, name):
                found[name] = own
    return found


def _is_ours(path: Path, name: str) -> bool:
    module = import_module(name)
    return module.__file__ is not None and path.samefile(module.__file__)
