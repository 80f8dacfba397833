"""A store of users in a SQL database, by SQLAlchemy Core: SQLite in a file, or PostgreSQL.

Theory of operation. A user is one row of ``pb_users``, with the groups separated by commas. So each
change is one statement, which is atomic; its WHERE has the expected old values. ``pb_store`` has
one row, with the version of the tables and the secret of the store.

A connection from the pool is tested before use, and replaced if the database has been restarted.
Every wait has a limit, see `TIMEOUT`: without an answer in time it is StoreUnavailable.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    exc,
    false,
    inspect,
    not_,
    select,
)
from sqlalchemy.engine import URL, Engine, make_url

from broker.config_error import ConfigError
from cred.saslprep import LONGEST_NAME
from cred.stores.privacy import check_private
from cred.users import (
    MAX_VERIFIER,
    NoSuchUser,
    StoreCorrupt,
    StoreUnavailable,
    User,
    UserChanged,
    UserExists,
)

__all__ = ["TIMEOUT", "SQLStore"]

TIMEOUT: Final = 5
"""The most seconds for a connection, for a statement, for a lock, and for a silent network."""

_VERSION: Final = 1
_PAGE: Final = 500

# PostgreSQL would order by the rules of a language; users are ordered by the code points of names.
_NAME: Final = String(LONGEST_NAME).with_variant(String(LONGEST_NAME, collation="C"), "postgresql")

METADATA: Final = MetaData()
USERS: Final = Table(
    "pb_users",
    METADATA,
    Column("name", _NAME, primary_key=True),
    Column("verifier", String(MAX_VERIFIER)),
    Column("group_names", Text, nullable=False),
    Column("is_disabled", Boolean, nullable=False, server_default=false()),
)
STORE: Final = Table(
    "pb_store",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("secret", LargeBinary, nullable=False),
)

_TIMEOUTS: Final[dict[str, dict[str, object]]] = {
    "sqlite": {"timeout": TIMEOUT},
    "postgresql": {
        "connect_timeout": TIMEOUT,
        "tcp_user_timeout": TIMEOUT * 1000,
        "options": f"-c statement_timeout={TIMEOUT * 1000} -c lock_timeout={TIMEOUT * 1000}",
    },
}
"""The options of the driver of each kind of database, so that every wait has a limit."""


class SQLStore:
    """Users in a SQL database; a `cred.users.UserStore`.

    Args:
        text: a URL of SQLAlchemy, such as ``sqlite:///users.sqlite`` or
            ``postgresql://user:password@host/database``.
        create: make the tables if they do not exist, and the file of a SQLite database.

    Raises:
        ConfigError: the URL is not understood, its driver is not installed, or the file of a SQLite
            database can be read by others.
        StoreUnavailable, StoreCorrupt: as in every method.
    """

    def __init__(self, text: str, *, create: bool = False) -> None:
        url = _parse_url(text)
        self._name = url.render_as_string(hide_password=True)
        self._file = url.database if url.get_backend_name() == "sqlite" else None
        if create and self._file is not None:
            self._make_file(self._file)
        self._engine = _make_engine(url)
        with ExitStack() as undo:
            undo.callback(self._engine.dispose)
            if create:
                self._make_tables()
            self._secret = self._read_secret()
            undo.pop_all()

    def secret(self) -> bytes:
        """Return the random bytes of ``pb_store``."""
        return self._secret

    def find(self, name: str) -> User | None:
        """Return the user of that name, or None."""
        with self._begin() as connection:
            row = connection.execute(select(USERS).where(USERS.c.name == name)).one_or_none()
        return None if row is None else self._user_of(row)

    def add(self, user: User) -> None:
        """Add a user; UserExists if there is one of that name."""
        try:
            with self._begin() as connection:
                connection.execute(USERS.insert().values(_row_of(user)))
        except exc.IntegrityError:
            raise UserExists("there is a user of that name already") from None

    def replace(self, user: User, was: User | None = None) -> None:
        """Replace the user of the same name; or raise NoSuchUser or UserChanged."""
        change = USERS.update().where(USERS.c.name == user.name)
        if was is not None:
            for column, value in _row_of(was).items():
                change = change.where(USERS.c[column].is_not_distinct_from(value))
        with self._begin() as connection:
            is_done = connection.execute(change.values(_row_of(user))).rowcount == 1
        if not is_done:
            if was is None or self.find(user.name) is None:
                raise NoSuchUser("there is no user of that name")
            raise UserChanged("the user has been changed meanwhile; try again")

    def remove(self, name: str) -> None:
        """Remove the user of that name; or raise NoSuchUser."""
        with self._begin() as connection:
            removed = connection.execute(USERS.delete().where(USERS.c.name == name))
        if removed.rowcount == 0:
            raise NoSuchUser("there is no user of that name")

    def users(self) -> Iterator[User]:
        """Yield all users, in the order of their names; some hundreds are read at a time."""
        after = ""
        while True:
            page = select(USERS).where(USERS.c.name > after).order_by(USERS.c.name).limit(_PAGE)
            with self._begin() as connection:
                rows = connection.execute(page).all()
            yield from map(self._user_of, rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1].name

    def refused(self, names: Collection[str]) -> set[str]:
        """Return those of these users who are disabled, or not there; some hundreds at a time."""
        found = set(names)
        asked = list(found)
        for start in range(0, len(asked), _PAGE):
            page = asked[start : start + _PAGE]
            query = select(USERS.c.name).where(USERS.c.name.in_(page), not_(USERS.c.is_disabled))
            with self._begin() as connection:
                found.difference_update(connection.execute(query).scalars())
        return found

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        """Run a transaction; convert errors of SQLAlchemy to StoreError, except IntegrityError."""
        if self._file is not None:
            self._check_file(self._file)
        try:
            with self._engine.begin() as connection:
                yield connection
        except exc.IntegrityError:
            raise
        except exc.ProgrammingError as error:
            raise StoreCorrupt(f"{self._name} has not the tables of a store of users") from error
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            if "no such table" in str(error):  # a ProgrammingError with other databases
                raise StoreCorrupt(
                    f"{self._name} has not the tables of a store of users"
                ) from error
            raise StoreUnavailable(f"{self._name} does not answer: {_cause(error)}") from error
        except exc.DatabaseError as error:
            raise StoreCorrupt(f"{self._name} is damaged: {_cause(error)}") from error

    def _check_file(self, path: str) -> None:
        try:
            check_private(path, os.stat(path), os.geteuid())
        except FileNotFoundError as error:
            raise StoreUnavailable(
                f"{path} does not exist; make it with:"
                f" pb users add NAME --store sql:sqlite:///{path}"
            ) from error
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be read: {error.strerror}") from error

    def _make_file(self, path: str) -> None:
        # SQLite itself would make it readable by all users.
        try:
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be written: {error.strerror}") from error

    def _make_tables(self) -> None:
        # If two processes make the tables at once, one of them fails, and the tables are there.
        with suppress(StoreCorrupt, exc.IntegrityError), self._begin() as connection:
            METADATA.create_all(connection)
            if connection.execute(select(STORE)).first() is None:
                row = {"version": _VERSION, "secret": secrets.token_bytes(16)}
                connection.execute(STORE.insert().values(row))

    def _read_secret(self) -> bytes:
        with self._begin() as connection:
            if not inspect(connection).has_table(STORE.name):
                raise StoreUnavailable(
                    f"{self._name} has no users yet; make its tables with:"
                    f" pb users add NAME --store sql:{self._name}"
                )
            row = connection.execute(select(STORE)).first()
        if row is None or row.version != _VERSION:
            version = "none" if row is None else row.version
            raise StoreCorrupt(
                f"{self._name} is of version {version}; this program knows version {_VERSION}"
            )
        return bytes(row.secret)

    def _user_of(self, row: Any) -> User:
        groups = row.group_names.split(",") if row.group_names else ()
        try:
            return User(row.name, row.verifier, frozenset(groups), row.is_disabled)
        except ValueError as error:
            raise StoreCorrupt(f"{self._name} has a row that is not a user: {error}") from error


def _parse_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        # The URL may have a password, and is not repeated.
        raise ConfigError(
            "sql: needs a URL, such as sql:sqlite:///users.sqlite or sql:postgresql://host/database"
        ) from None
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError("sql: SQLite needs a file, as in sql:sqlite:///users.sqlite")
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    return url


def _make_engine(url: URL) -> Engine:
    try:
        return create_engine(
            url,
            connect_args=_TIMEOUTS.get(url.get_backend_name(), {}),
            pool_pre_ping=True,
            # The number of threads of `cred.workers`.
            pool_size=2,
            max_overflow=0,
            pool_timeout=TIMEOUT,
            hide_parameters=True,
        )
    except (exc.NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"sql: no driver for {url.drivername}; for PostgreSQL run:"
            " python -m pip install 'perspective-broker[sql]'"
        ) from error


def _row_of(user: User) -> dict[str, object]:
    return {
        "name": user.name,
        "verifier": user.verifier,
        "group_names": ",".join(sorted(user.groups)),
        "is_disabled": user.is_disabled,
    }


def _cause(error: exc.SQLAlchemyError) -> str:
    """Return the first line of the text without SQLAlchemy's addition, the statement."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
