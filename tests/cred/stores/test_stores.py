"""cred.stores: what every kind of store does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from broker.errors import ConfigError
from cred.stores import open_store
from cred.users import (
    NoSuchUser,
    StoreError,
    StoreUnavailable,
    User,
    UserChanged,
    UserExists,
    UserStore,
)

ALICE = User("alice", "$argon2id$of-alice", frozenset({"staff", "admins"}))
ZOË = User("zoë", None, is_disabled=True)


def test_what_is_added_is_found(store: UserStore) -> None:
    """A user comes back as it was added: with any groups, with none, disabled, without verifier."""
    store.add(ALICE)
    store.add(ZOË)
    assert store.find("alice") == ALICE
    assert store.find("zoë") == ZOË


@pytest.mark.parametrize("name", ["Alice", "alice ", "alic", "", "a\tb", "%", "_lice", "'; --"])
def test_a_name_is_compared_as_it_stands(store: UserStore, name: str) -> None:
    """Another name, in whatever respect, finds nobody."""
    store.add(ALICE)
    assert store.find(name) is None


def test_users_come_in_the_order_of_their_names(store: UserStore) -> None:
    """All users come, by the code points of their names, whatever the language of the database."""
    names = ["zoë", "Zoe", "alice", "Bob", "émile", "a:b", "日本"]
    for name in names:
        store.add(User(name))
    assert [user.name for user in store.users()] == sorted(names)


def test_an_empty_store_has_no_users(store: UserStore) -> None:
    """There is nothing to go through, and nobody to find."""
    assert list(store.users()) == []
    assert store.find("alice") is None


def test_replace(store: UserStore) -> None:
    """A replaced user is as the new record says in all respects; others stay as they are."""
    store.add(ALICE)
    store.add(ZOË)
    store.replace(User("alice", None, frozenset(), True))
    assert store.find("alice") == User("alice", is_disabled=True)
    assert store.find("zoë") == ZOË


@pytest.mark.parametrize(
    "was",
    [
        User("alice", "$other", ALICE.groups),
        User("alice", None, ALICE.groups),
        User("alice", ALICE.verifier, frozenset({"staff"})),
        User("alice", ALICE.verifier, ALICE.groups, True),
    ],
)
def test_replace_never_overwrites_what_has_changed(store: UserStore, was: User) -> None:
    """With `was`, a user who is not as it says is left alone."""
    store.add(ALICE)
    with pytest.raises(UserChanged, match=r"^the user has been changed meanwhile; try again$"):
        store.replace(User("alice", "$new"), was)
    assert store.find("alice") == ALICE
    store.replace(User("alice"), ALICE)
    store.replace(ALICE, User("alice"))
    assert store.find("alice") == ALICE


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (lambda s: s.add(User("alice")), UserExists, "there is a user of that name already"),
        (lambda s: s.replace(User("bob")), NoSuchUser, "there is no user of that name"),
        (lambda s: s.replace(User("bob"), ALICE), NoSuchUser, "there is no user of that name"),
        (lambda s: s.remove("bob"), NoSuchUser, "there is no user of that name"),
    ],
)
def test_what_cannot_be_done(
    store: UserStore, act: Callable[[Any], None], kind: type[StoreError], text: str
) -> None:
    """Each refusal has its class and its text, and changes nothing."""
    store.add(ALICE)
    with pytest.raises(kind, match=f"^{text}$"):
        act(store)
    assert list(store.users()) == [ALICE]


def test_remove(store: UserStore) -> None:
    """A removed user is gone, and can be added again."""
    store.add(ALICE)
    store.add(ZOË)
    store.remove("alice")
    assert list(store.users()) == [ZOË]
    store.add(ALICE)
    assert store.find("alice") == ALICE


def test_two_that_have_a_store_open_see_each_other(store_text: str) -> None:
    """What one writes, the other finds at once; the secret is the same, and stays."""
    one = open_store(store_text, create=True)
    other = open_store(store_text)
    one.add(ALICE)
    assert other.find("alice") == ALICE
    other.remove("alice")
    assert one.find("alice") is None
    assert len(one.secret()) >= 16
    assert one.secret() == other.secret()
    one.close()
    other.close()
    again = open_store(store_text, create=True)
    assert again.secret() == one.secret()
    again.close()


def test_two_writers_lose_nobody(store_text: str) -> None:
    """Of forty users that four threads add at once, through stores of their own, all are there."""
    open_store(store_text, create=True).close()

    def add(first: int) -> None:
        store = open_store(store_text)
        for number in range(first, first + 10):
            store.add(User(f"user{number:02}"))
        store.close()

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 40, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = open_store(store_text)
    assert [user.name for user in store.users()] == [f"user{number:02}" for number in range(40)]
    store.close()


def test_who_may_not_log_in_any_more(store: UserStore) -> None:
    """Of many names, those of disabled users and of unknown ones are refused."""
    for number in range(3):
        store.add(User(f"user{number}", is_disabled=number == 1))
    ask: Any = store
    assert ask.refused(["user0", "user1", "user2", "nobody"]) == {"user1", "nobody"}
    assert ask.refused([]) == set()
    many = [f"nobody{number}" for number in range(1200)]
    assert ask.refused([*many, "user0"]) == set(many)


def test_closing_twice(store: UserStore) -> None:
    """A second close does nothing."""
    store.close()
    store.close()


def test_a_missing_store_says_how_to_make_it(store_text: str) -> None:
    """What does not exist is not made unless asked for; the text has the command that makes it."""
    with pytest.raises(StoreUnavailable, match=r" with: pb users add NAME --store (file|sql):"):
        open_store(store_text)


@pytest.mark.parametrize("text", ["", "file", "file:", "sql:", "ldap:secret", "users.db"])
def test_a_string_that_is_no_store(text: str) -> None:
    """The text says what is one, and does not repeat what was given."""
    with pytest.raises(ConfigError) as caught:
        open_store(text)
    assert str(caught.value) == (
        "a store of users is file:users.db, sql:sqlite:///users.sqlite or"
        " sql:postgresql://host/database"
    )


def test_without_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, the text says how to install it."""
    monkeypatch.delitem(sys.modules, "cred.stores.sql", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigError) as caught:
        open_store("sql:sqlite:///users.sqlite")
    assert str(caught.value) == (
        "sql: needs SQLAlchemy; run: python -m pip install 'perspective-broker[sql]'"
    )
