"""cred.stores.sql: what is special about databases."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from support.postgres import Postgres

from broker.errors import ConfigError
from cred.stores import open_store, sql
from cred.stores.sql import METADATA, SQLStore
from cred.users import StoreCorrupt, StoreUnavailable, User


def test_many_users_come_page_by_page(sql_text: str) -> None:
    """More users than a page holds come all, in order, each once."""
    store = open_store(sql_text, create=True)
    assert isinstance(store, SQLStore)
    names = [f"user{number:04}" for number in range(1001)]
    rows = [{"name": name, "group_names": "", "is_disabled": False} for name in names]
    with store._begin() as connection:
        connection.execute(METADATA.tables["pb_users"].insert(), rows)
    assert [user.name for user in store.users()] == names
    store.close()


def test_making_tables_twice(sql_text: str) -> None:
    """Tables that are there are used as they are, with their users."""
    store = open_store(sql_text, create=True)
    store.add(User("alice"))
    again = open_store(sql_text, create=True)
    assert again.find("alice") == User("alice")
    store.close()
    again.close()


def test_tables_that_go_away(sql_text: str) -> None:
    """A database without the tables is not taken for one without users."""
    store = open_store(sql_text, create=True)
    assert isinstance(store, SQLStore)
    with store._begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE pb_users"))
    with pytest.raises(StoreCorrupt, match=r" has not the tables of a store of users$"):
        store.find("alice")
    store.close()


def test_tables_of_another_version(sql_text: str) -> None:
    """What a later program has written is refused, and so are tables that are half made."""
    store = open_store(sql_text, create=True)
    assert isinstance(store, SQLStore)
    with store._begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE pb_store SET version = 2"))
    with pytest.raises(StoreCorrupt, match=r" is of version 2; this program knows version 1$"):
        open_store(sql_text)
    with store._begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM pb_store"))
    with pytest.raises(StoreCorrupt, match=r" is of version none; this program knows version 1$"):
        open_store(sql_text)
    store.close()


def test_a_row_that_is_no_user(sql_text: str) -> None:
    """A row that somebody else has written is refused, not read as well as may be."""
    store = open_store(sql_text, create=True)
    assert isinstance(store, SQLStore)
    with store._begin() as connection:
        row = {"name": "alice", "verifier": "in clear", "group_names": "", "is_disabled": False}
        connection.execute(METADATA.tables["pb_users"].insert().values(row))
    with pytest.raises(
        StoreCorrupt, match=r"has a row that is not a user: a verifier is printable"
    ):
        store.find("alice")
    store.close()


@pytest.mark.parametrize("url", ["postgresql", "://", "sqlite", "host:port/"])
def test_what_is_no_url(url: str) -> None:
    """The text says what is one, and does not repeat what was given."""
    with pytest.raises(ConfigError) as caught:
        open_store(f"sql:{url}")
    assert str(caught.value) == (
        "sql: needs a URL, such as sql:sqlite:///users.sqlite or sql:postgresql://host/database"
    )


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_sqlite_in_memory(url: str) -> None:
    """A database that each connection has its own of is none to keep users in."""
    with pytest.raises(ConfigError) as caught:
        open_store(f"sql:{url}", create=True)
    assert str(caught.value) == "sql: SQLite needs a file, as in sql:sqlite:///users.sqlite"


def test_a_database_without_driver() -> None:
    """A database that SQLAlchemy does not know, or whose driver is missing, is named."""
    with pytest.raises(ConfigError, match=r"^sql: no driver for nosuch; for PostgreSQL run: "):
        open_store("sql:nosuch://host/database")


def test_a_sqlite_file_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made with mode 0600, and refused when others can read it, at each use."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(0)
    try:
        store = open_store("sql:sqlite:///users.sqlite", create=True)
    finally:
        os.umask(before)
    path = tmp_path / "users.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    text = r"^users.sqlite is readable by others \(mode 0644\); run: chmod 600 users.sqlite$"
    for use in (lambda: store.find("alice"), lambda: open_store("sql:sqlite:///users.sqlite")):
        with pytest.raises(ConfigError, match=text):
            use()
    store.close()


def test_a_missing_sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not made by looking for it; the text has the command that makes it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreUnavailable) as caught:
        open_store("sql:sqlite:///users.sqlite")
    assert str(caught.value) == (
        "users.sqlite does not exist; make it with:"
        " pb users add NAME --store sql:sqlite:///users.sqlite"
    )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreUnavailable) as caught:
        open_store("sql:sqlite:///nowhere/users.sqlite", create=True)
    assert str(caught.value) == "nowhere/users.sqlite cannot be written: No such file or directory"


def test_a_file_that_is_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file is not taken for an empty database, and not written to."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "users.sqlite"
    path.write_text("alice:secret\n" * 100)
    path.chmod(0o600)
    for create in (False, True):
        with pytest.raises(StoreCorrupt) as caught:
            open_store("sql:sqlite:///users.sqlite", create=create)
        assert str(caught.value) == ("sqlite:///users.sqlite is damaged: file is not a database")
    assert path.read_text() == "alice:secret\n" * 100


def test_a_locked_sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another who holds the database for too long makes the store unavailable, not the user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(_timeouts(), "sqlite", {"timeout": 0.05})
    store = open_store("sql:sqlite:///users.sqlite", create=True)
    other = sqlite3.connect("users.sqlite")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable) as caught:
        store.find("alice")
    assert str(caught.value) == "sqlite:///users.sqlite does not answer: database is locked"
    other.close()
    assert store.find("alice") is None
    store.close()


def _timeouts() -> dict[str, dict[str, Any]]:
    return sql._TIMEOUTS


def test_postgresql_going_away_and_coming_back(postgres: Postgres) -> None:
    """While it is away the store says so in bounded time; when it is back the store works again."""
    store = open_store(f"sql:{postgres.url}", create=True)
    store.add(User("alice"))
    postgres.stop()
    with pytest.raises(StoreUnavailable, match=r" does not answer: "):
        store.find("alice")
    with pytest.raises(StoreUnavailable, match=r" does not answer: "):
        open_store(f"sql:{postgres.url}")
    postgres.start()
    assert store.find("alice") == User("alice")
    store.close()


def test_connections_that_are_cut(postgres: Postgres) -> None:
    """A connection that the server has ended while it lay in the pool costs nobody a login."""
    store = open_store(f"sql:{postgres.url}", create=True)
    store.add(User("alice"))
    cut(postgres)
    assert store.find("alice") == User("alice")
    store.close()


def test_a_statement_that_takes_too_long(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that somebody else has locked makes the store unavailable when the time is over."""
    usual = _timeouts()["postgresql"]
    assert usual["options"] == "-c statement_timeout=5000 -c lock_timeout=5000"
    brief = {**usual, "options": usual["options"].replace("5000", "50")}
    monkeypatch.setitem(_timeouts(), "postgresql", brief)
    store = open_store(f"sql:{postgres.url}", create=True)
    url = postgres.url.replace("postgresql:", "postgresql+psycopg:")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as other:
        other.execute(sqlalchemy.text("LOCK TABLE pb_users"))
        with pytest.raises(StoreUnavailable, match=r" does not answer: .*timeout"):
            store.find("alice")
    assert store.find("alice") is None
    engine.dispose()
    store.close()


def test_no_password_in_a_text(postgres: Postgres) -> None:
    """What went wrong with a database is told without the password of its URL."""
    with pytest.raises(StoreUnavailable) as caught:
        open_store("sql:postgresql://alice:wonderland@/postgres?host=/nowhere")
    assert "postgresql+psycopg://alice:***@/postgres?host=%2Fnowhere does not answer: " in str(
        caught.value
    )
    assert "wonderland" not in str(caught.value)


def cut(postgres: Postgres) -> None:
    """End all connections but the one that asks for it."""
    engine = sqlalchemy.create_engine(postgres.url.replace("postgresql:", "postgresql+psycopg:"))
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"{others} AND backend_type = 'client backend'"))
    engine.dispose()
