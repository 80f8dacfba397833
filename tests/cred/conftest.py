"""What the tests of cred share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.users_in_a_store import CHEAP, HASH, SCRAM_VERIFIER, STAFF

from cred.store_checker import StoreChecker
from cred.stores.files import FileStore
from cred.users import User


@pytest.fixture
def outcome() -> Callable[[Any], Any]:
    """A function that returns the result of a Deferred that has fired, or raises its failure."""

    def read(deferred: Any) -> Any:
        results: list[Any] = []
        failures: list[Any] = []
        deferred.addCallbacks(results.append, failures.append)
        if failures:
            raise failures[0].value
        assert len(results) == 1, "the Deferred has not fired"
        return results[0]

    return read


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """A store with a user of each kind."""
    store = FileStore(str(tmp_path / "users.db"), create=True)
    store.add(User("alice", HASH, STAFF))
    store.add(User("zoë", HASH))
    store.add(User("sam", str(SCRAM_VERIFIER), STAFF))
    store.add(User("dora", HASH, STAFF, True))
    store.add(User("dan", str(SCRAM_VERIFIER), STAFF, True))
    store.add(User("cert"))
    store.add(User("odd", "$argon2id$v=19$m=9999999,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAA"))
    return store


@pytest.fixture
def checker(store: FileStore) -> StoreChecker:
    """A checker of that store that hashes at little cost."""
    return StoreChecker(store, profile=CHEAP)


@pytest.fixture(autouse=True)
def quiet_workers() -> Iterator[None]:
    """No thread outlives its test."""
    yield
    for thread in threading.enumerate():
        if thread.name == "cred-worker":
            thread.join(10)
