"""The certificate of the web pages: read again when its files have changed, for new connections."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from broker.file_stamp import FileStamp, stamp_at

__all__ = ["RenewedContext"]

logger = logging.getLogger("examples.chat")


class RenewedContext:
    """Gives the settings of TLS for a new connection; open connections keep theirs.

    Args:
        certificate: the file of the certificate, with its chain.
        key: the file of its private key.

    Raises:
        OSError: a file cannot be read; ssl.SSLError, an OSError: a file is not valid, or the key is
            that of another certificate.
    """

    def __init__(self, certificate: Path, key: Path):
        self._files = (certificate, key)
        # Before the files are read, so that a change in between is noticed the next time.
        self._seen = self._look()
        self._context = self._make()

    def __call__(self) -> ssl.SSLContext:
        """Return the settings; the old ones, with a line in the log, if the new files are wrong."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._make()
            except OSError as error:
                names = ", ".join(map(str, self._files))
                logger.error("%s: %s; still using the old pair", names, error)
        return self._context

    def _look(self) -> tuple[FileStamp | None, ...]:
        return tuple(map(stamp_at, self._files))

    def _make(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files)
        return context
