"""What the tests of stores share: each kind of store, empty, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from support.postgres import Postgres, running_postgres

from cred.stores import open_store
from cred.stores.sql import METADATA
from cred.users import UserStore

DATABASES = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests: it takes two seconds to start."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """The PostgreSQL, running, without tables of ours before and after."""
    drop_tables(postgres_server)
    yield postgres_server
    drop_tables(postgres_server)


def drop_tables(server: Postgres) -> None:
    """Leave nothing of a test to the next."""
    server.start()
    engine = sqlalchemy.create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"))
    METADATA.drop_all(engine)
    engine.dispose()


def text_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """Return the string of a store of some kind; only PostgreSQL asks for a server."""
    if kind == "postgresql":
        return f"sql:{request.getfixturevalue('postgres').url}"
    return f"file:{folder}/users.db" if kind == "file" else f"sql:sqlite:///{folder}/users.sqlite"


@pytest.fixture(params=["file", *DATABASES])
def store_text(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The string of a store that does not exist yet, of each kind."""
    return text_of(request.param, tmp_path, request)


@pytest.fixture(params=DATABASES)
def sql_text(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The string of a SQL store that does not exist yet, of each database."""
    return text_of(request.param, tmp_path, request)


@pytest.fixture
def store(store_text: str) -> Iterator[UserStore]:
    """An empty store of each kind."""
    store = open_store(store_text, create=True)
    yield store
    store.close()
