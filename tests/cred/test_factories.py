"""cred.factories: the built-in schemes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import twisted.cred.strcred
from zope.interface.verify import verifyClass, verifyObject

from broker.errors import ConfigError
from cred import factories
from cred.checkers import (
    AllowAnonymousAccess,
    FilePasswordDB,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.credentials import UsernamePassword
from cred.error import UnauthorizedLogin
from cred.factories import (
    AnonymousCheckerFactory,
    FileCheckerFactory,
    InMemoryCheckerFactory,
    SQLCheckerFactory,
)
from cred.passwords import Profile, hash_password
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.stores.files import FileStore
from cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from cred.users import StoreUnavailable, User

Outcome = Callable[[Any], Any]
ALICE = User("alice", hash_password("secret", Profile(64, 1, 1)), frozenset({"staff"}))


@pytest.mark.parametrize("name", factories.__all__)
def test_factories_fulfil_the_interface(name: str) -> None:
    """Each factory has all that ICheckerFactory asks for, with help in full sentences."""
    cls = getattr(factories, name)
    assert verifyClass(ICheckerFactory, cls)
    factory = cls()
    assert verifyObject(ICheckerFactory, factory)
    assert "\n" not in factory.argStringFormat
    assert factory.authHelp.endswith(".")


@pytest.mark.parametrize(
    "name", [name for name in factories.__all__ if name != "SQLCheckerFactory"]
)
def test_kinds_are_those_of_twisted_and_of_the_checker(name: str, tmp_path: Path) -> None:
    """A factory names the kinds that its checkers take, which are those of Twisted's factory."""
    factory = getattr(factories, name)()
    theirs = twisted.cred.strcred.findCheckerFactory(factory.authType)
    kinds = [kind.__name__ for kind in factory.credentialInterfaces]
    assert kinds == [kind.__name__ for kind in theirs.credentialInterfaces]
    path = tmp_path / "users.txt"
    path.touch()
    checker = factory.generateChecker(str(path) if factory.authType == "file" else "")
    assert checker.credentialInterfaces == factory.credentialInterfaces


def test_anonymous_takes_no_argument() -> None:
    """`anonymous` gives AllowAnonymousAccess; anything after it is refused."""
    factory = AnonymousCheckerFactory()
    assert type(factory.generateChecker()) is AllowAnonymousAccess
    assert type(factory.generateChecker("")) is AllowAnonymousAccess
    with pytest.raises(InvalidAuthArgumentString, match=r"^anonymous: it takes no argument$"):
        factory.generateChecker("alice")


@pytest.mark.parametrize(
    ("argument", "users"),
    [
        ("", {}),
        ("alice:secret", {"alice": "secret"}),
        ("alice:secret:zoë:sésame", {"alice": "secret", "zoë": "sésame"}),
        ("alice:", {"alice": ""}),
    ],
)
def test_memory_takes_names_and_passwords(argument: str, users: dict[str, str]) -> None:
    """`memory` gives a checker that knows the users of the argument."""
    checker = InMemoryCheckerFactory().generateChecker(argument)
    assert type(checker) is InMemoryUsernamePasswordDatabaseDontUse
    assert checker.users == users


@pytest.mark.parametrize("argument", ["alice", "alice:secret:bob", "a:b:"])
def test_memory_refuses_a_user_without_password(argument: str) -> None:
    """An odd number of parts is refused; the text repeats none, since they may be passwords."""
    with pytest.raises(InvalidAuthArgumentString) as caught:
        InMemoryCheckerFactory().generateChecker(argument)
    text = str(caught.value)
    assert text == "memory: the last user has no password; it takes name:password:name:password..."


def test_file_reads_the_users_of_a_file(tmp_path: Path, outcome: Outcome) -> None:
    """`file` gives a FilePasswordDB with its defaults, for the path as it was given."""
    path = tmp_path / "users.txt"
    path.write_text("alice:secret\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker = FileCheckerFactory().generateChecker(str(path))
    assert type(checker) is FilePasswordDB
    public = {name: value for name, value in vars(checker).items() if name != "_decoy"}
    assert public == {
        name: value for name, value in vars(FilePasswordDB(str(path))).items() if name != "_decoy"
    }
    assert outcome(checker.requestAvatarId(UsernamePassword("alice", "secret"))) == b"alice"


def test_file_warns_of_a_missing_file(tmp_path: Path, outcome: Outcome) -> None:
    """A file may come later, as with Twisted; until then a warning says that no user can log in."""
    path = tmp_path / "users.txt"
    with pytest.warns(UserWarning, match=r"users\.txt is not a file; no user can log in$"):
        checker = FileCheckerFactory().generateChecker(str(path))
    with pytest.raises(UnauthorizedLogin):
        outcome(checker.requestAvatarId(UsernamePassword("alice", "secret")))
    path.write_text("alice:secret\n")
    assert outcome(checker.requestAvatarId(UsernamePassword("alice", "secret"))) == b"alice"


@pytest.mark.parametrize("argument", ["", " "])
def test_file_needs_a_path(argument: str) -> None:
    """Without a path there is nothing to read; Twisted raises a ValueError, and so do we."""
    with pytest.raises(InvalidAuthArgumentString, match=r"^file: the path .* is missing") as caught:
        FileCheckerFactory().generateChecker(argument)
    assert isinstance(caught.value, ValueError)


@pytest.fixture
def users(tmp_path: Path) -> str:
    """A store of users in a file, with alice in it."""
    path = str(tmp_path / "users.db")
    FileStore(path, create=True).add(ALICE)
    return path


def test_file_takes_a_store_of_users(users: str, outcome: Outcome) -> None:
    """A file that "pb users" has made is a store: its hashes are checked, its groups given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker = FileCheckerFactory().generateChecker(users)
    assert type(checker) is StoreChecker
    identity = outcome(checker.requestAvatarId(UsernamePassword("alice", "secret")))
    assert (identity, identity.groups) == ("alice", {"staff"})


def test_file_refuses_a_store_that_others_can_read(users: str) -> None:
    """A store is never read as a file with passwords in clear, whatever is wrong with it."""
    os.chmod(users, 0o644)
    with pytest.raises(ConfigError, match=r"users\.db is readable by others \(mode 0644\); run: "):
        FileCheckerFactory().generateChecker(users)


def test_sql_takes_a_database(tmp_path: Path, outcome: Outcome) -> None:
    """`sql` gives a checker for the users of a database, by the URL of SQLAlchemy's."""
    url = f"sqlite:///{tmp_path}/users.sqlite"
    store = open_store(f"sql:{url}", create=True)
    store.add(ALICE)
    store.close()
    checker = SQLCheckerFactory().generateChecker(url)
    assert outcome(checker.requestAvatarId(UsernamePassword("alice", "secret"))) == "alice"
    checker.close()


def test_sql_refuses_what_is_not_there(tmp_path: Path) -> None:
    """A missing argument and a missing database are told, each with what to do."""
    with pytest.raises(InvalidAuthArgumentString, match=r"^sql: the URL is missing, as in sql:"):
        SQLCheckerFactory().generateChecker(" ")
    with pytest.raises(StoreUnavailable, match=r" does not exist; make it with: pb users add "):
        SQLCheckerFactory().generateChecker(f"sqlite:///{tmp_path}/users.sqlite")
