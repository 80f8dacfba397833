"""Replaces a source file by its changed text."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from broker.porting.sources import Source

__all__ = ["write"]


def write(source: Source, text: str) -> None:
    """Replace a file atomically by one with another text; mode and owner stay.

    If the path is a link, its target is replaced.

    Raises:
        OSError: it cannot be written, or has changed since it was read; it is left unchanged.
    """
    path = Path(os.path.realpath(source.path))
    data = text.encode(source.encoding)
    status = path.stat()
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(number, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(number)
        with suppress(PermissionError):
            # Only root can change the owner of a file.
            os.chown(name, status.st_uid, status.st_gid)
        os.chmod(name, status.st_mode & 0o7777)
        if path.read_bytes() != source.text.encode(source.encoding):
            raise OSError("it has changed since it was read")
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
