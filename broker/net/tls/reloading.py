"""The OpenSSL context of one end, made again when the files it was made from have changed.

Theory of operation. A context that a connection has used must not be changed any more. So new files
make a new context for new connections; open connections keep theirs. There is no timer and no
thread: the files are needed only when a handshake begins. Then each file is checked (one `stat` a
file), and the files are read only if one looks different. An invalid pair is read and logged once:
it is not tried again until the files change again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from broker.errors import ConfigError
from broker.file_stamp import FileStamp, stamp_at
from broker.printable import printable, text_of_error

if TYPE_CHECKING:
    from pathlib import Path

    from OpenSSL import SSL

__all__ = ["KeyMismatch", "ReloadingContext"]

logger = logging.getLogger("broker.net.tls")


class KeyMismatch(ConfigError):
    """The key does not belong to the certificate."""


class ReloadingContext:
    """A context and the files that it was made from.

    Args:
        make: makes a context from the current content of the files; may raise ConfigError.
        files: the files that it reads; if empty, the context is never made again.

    Raises:
        ConfigError: ``make`` has raised it.
    """

    __slots__ = ("_current", "_make", "_seen", "files")

    def __init__(self, make: Callable[[], SSL.Context], files: Sequence[str | Path] = ()):
        self._make = make
        self.files = tuple(files)
        # Before the files are read, so that a change in between is noticed the next time.
        self._seen = self._look()
        self._current = make()

    def current(self) -> SSL.Context:
        """Return the context for a new connection; the old one if the new files are invalid."""
        if self.files and self._look() != self._seen:
            try:
                self.reload()
            except ConfigError as exc:
                text = printable(text_of_error(exc, 401), 400, is_ascii=False)
                logger.error("%s: ConfigError: %s", self._names(), text)
        return self._current

    def reload(self) -> None:
        """Read the files again, changed or not.

        Raises:
            ConfigError: they are invalid; the old context stays in use.
        """
        self._seen = self._look()
        try:
            self._current = self._make()
        except KeyMismatch as exc:
            text = "key does not match certificate; still using the old pair"
            raise ConfigError(text) from exc
        except ConfigError as exc:
            raise ConfigError(f"{exc}; still using the old pair") from exc
        logger.info("%s: read again, for the connections to come", self._names())

    def _look(self) -> tuple[FileStamp | None, ...]:
        return tuple(map(stamp_at, self.files))

    def _names(self) -> str:
        return ", ".join(map(str, self.files)) or "certificates without a file"
