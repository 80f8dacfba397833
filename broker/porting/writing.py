"""Puts a changed source in the place of the file that it was read from."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from broker.porting.sources import Source

__all__ = ["write"]


def write(source: Source, text: str) -> None:
    """Replace a file by one with another text, in one step; mode and owner stay.

    Where the path is a link, the file that it leads to is replaced.

    Raises:
        OSError: it cannot be written, or is not any more what was read; it is left as it is.
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
            # Only root can give a file away.
            os.chown(name, status.st_uid, status.st_gid)
        os.chmod(name, status.st_mode & 0o7777)
        if path.read_bytes() != source.text.encode(source.encoding):
            raise OSError("it has changed since it was read")
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
