"""The tables of one name in a PostgreSQL database: their statements, and how they are made."""

from __future__ import annotations

from typing import Any, TypeAlias

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier

__all__ = ["Connection", "Tables"]

Connection: TypeAlias = AsyncConnection[Any]


class Tables:
    """Tables, and other things of the database, whose names begin with one name.

    Args:
        name: the beginning of their names.
        statements: make what is not there, divided by semicolons.
        words: each by the word that stands for it in a statement, such as ``{nodes}``.
        more: words that stand for other names.
    """

    def __init__(self, name: str, statements: str, words: tuple[str, ...], **more: str):
        self._name = name
        self._statements = statements
        self._identifiers = {word: Identifier(f"{name}_{word}") for word in words}
        self._identifiers |= {word: Identifier(other) for word, other in more.items()}

    def sql(self, text: str) -> Composed:
        """Return a statement with the names in it."""
        return SQL(text).format(**self._identifiers)

    async def make(self, connection: Connection) -> None:
        """Make what is not there, one node after the other; call it in a transaction."""
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext(%s))", [f"broker {self._name}"]
        )
        for statement in self._statements.split(";")[:-1]:
            await connection.execute(self.sql(statement))
