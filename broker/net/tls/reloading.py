"""The OpenSSL context of one end, made again when the files that it was made from have changed.

Theory of operation. A context that a connection has used must not be changed any more, so new
files make a new context, which the connections to come use; those that are open keep theirs. There
is no timer and no thread: the files matter only when a handshake begins, so that is when they are
looked at (one `stat` a file), and only a file that looks different is read. A pair that is wrong is
read, and complained of, once: until the files change again nothing is tried.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from OpenSSL import SSL

from broker.errors import ConfigError
from broker.file_stamp import FileStamp, stamp_at
from broker.printable import printable, text_of_error

__all__ = ["KeyMismatch", "ReloadingContext"]

logger = logging.getLogger("broker.net.tls")


class KeyMismatch(ConfigError):
    """The key is not that of the certificate."""


class ReloadingContext:
    """A context and the files that it was made from.

    Args:
        make: makes a context of what the files hold now; may raise ConfigError.
        files: the files that it reads; without any, the context stays as it is.

    Raises:
        ConfigError: ``make`` has raised it.
    """

    __slots__ = ("_current", "_make", "_seen", "files")

    def __init__(self, make: Callable[[], SSL.Context], files: Sequence[str | Path] = ()):
        self._make = make
        self.files = tuple(files)
        # Before they are read: what changes in between is seen the next time.
        self._seen = self._look()
        self._current = make()

    def current(self) -> SSL.Context:
        """Return the context for a new connection; that of before where the new files are wrong."""
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
            ConfigError: they are wrong; the context of before stays.
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
