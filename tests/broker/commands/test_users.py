"""``pb users``: what it does to a store, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker.commands.users import users
from cred.error import UnauthorizedLogin
from cred.passwords import verify_password
from cred.stores import open_store
from cred.users import User, UserStore

KINDS = pytest.mark.parametrize(
    "where", ["file:{}/users.db", "sql:sqlite:///{}/users.sqlite"], indirect=True
)


OPENED: list[UserStore] = []


@pytest.fixture
def where(request: Any, tmp_path: Path) -> str:
    """Return the string of a store: of a file, unless a test asks for others too."""
    text: str = getattr(request, "param", "file:{}/users.db").format(tmp_path)
    return text


def run(where: str, *arguments: str, typed: str = "") -> tuple[int, str]:
    """Run ``pb users`` with a password at the standard input; return status and output."""
    result = CliRunner().invoke(users, [*arguments, "--store", where], input=typed)
    return result.exit_code, result.output


def add(where: str, name: str, *options: str, kind: str = "argon2id") -> tuple[int, str]:
    """Add a user with the password wonderland; Argon2id, the quicker one, unless it matters."""
    password = ("--password-file", "-", "--verifier", kind)
    return run(where, "add", name, *password, *options, typed="wonderland\n")


def store_of(where: str) -> UserStore:
    """Open the store until the end of the test."""
    store = open_store(where)
    OPENED.append(store)
    return store


@pytest.fixture(autouse=True)
def closes_stores() -> Iterator[None]:
    """Close the stores that a test has opened."""
    yield
    while OPENED:
        OPENED.pop().close()


@KINDS
def test_add(where: str) -> None:
    """The first user makes the store; password and groups are the user's then."""
    assert add(where, "alice", "--group", "staff", "--group", "admin") == (0, "added alice\n")
    found = store_of(where).find("alice")
    assert found is not None
    assert (found.groups, found.is_disabled) == (frozenset({"staff", "admin"}), False)
    assert found.verifier is not None
    verify_password("wonderland", found.verifier)
    assert add(where, "alice") == (1, "pb users: there is a user of that name already\n")


def test_the_kind_of_verifier(where: str) -> None:
    """The first user gets a SCRAM verifier, the next ones get what the others have."""
    password = ("--password-file", "-")
    run(where, "add", "alice", *password, typed="wonderland\n")
    run(where, "add", "bob", *password, typed="builder\n")
    assert {(user.verifier or "")[:14] for user in store_of(where).users()} == {"SCRAM-SHA-256$"}
    assert add(where, "carol") == (
        2,
        "pb users: the users of this store have verifiers of the kind scram: omit --verifier,"
        " or make another store\n",
    )
    assert [user.name for user in store_of(where).users()] == ["alice", "bob"]


def test_the_only_user_may_change_the_kind(where: str) -> None:
    """With no other user there, a new password can be kept in the other way."""
    add(where, "alice")
    changed = run(
        where, "passwd", "alice", "--password-file", "-", "--verifier", "scram", typed="x"
    )
    assert changed == (0, "changed the password of alice\n")
    found = store_of(where).find("alice")
    assert found is not None and (found.verifier or "").startswith("SCRAM-SHA-256$")


def test_passwd(where: str) -> None:
    """A new password replaces the old one, and nothing else of the user."""
    add(where, "alice", "--group", "staff")
    run(where, "disable", "alice")
    run(where, "passwd", "alice", "--password-file", "-", typed="looking glass\n")
    found = store_of(where).find("alice")
    assert found is not None and found.verifier is not None
    verify_password("looking glass", found.verifier)
    with pytest.raises(UnauthorizedLogin):
        verify_password("wonderland", found.verifier)
    assert (found.groups, found.is_disabled) == (frozenset({"staff"}), True)


def test_disable_and_enable(where: str) -> None:
    """A user is disabled, and enabled again."""
    add(where, "alice")
    states = []
    for command in ("disable", "enable"):
        assert run(where, command, "alice") == (0, f"{command}d alice\n")
        found = store_of(where).find("alice")
        states.append(found is not None and found.is_disabled)
    assert states == [True, False]


def test_remove(where: str) -> None:
    """A user is removed."""
    add(where, "alice")
    assert run(where, "remove", "alice") == (0, "removed alice\n")
    assert run(where, "list") == (0, "no users\n")


@KINDS
def test_list(where: str) -> None:
    """The list has names, states, how they log in and groups; brackets in a name are its own."""
    add(where, "alice", "--group", "staff", "--group", "admin")
    assert run(where, "add", "[bold]", "--no-password") == (0, "added [bold]\n")
    run(where, "disable", "[bold]")
    status, printed = run(where, "list")
    assert [line.split() for line in printed.splitlines()] == [
        ["user", "password", "groups"],
        ["[bold]", "disabled"],
        ["alice", "enabled", "argon2id", "admin", "staff"],
    ]
    assert status == 0


@pytest.mark.parametrize("command", ["remove", "disable", "enable", "passwd"])
def test_nobody_of_that_name(where: str, command: str) -> None:
    """A user that there is not cannot be changed."""
    add(where, "alice")
    assert run(where, command, "bob") == (1, "pb users: there is no user of that name\n")


@KINDS
def test_no_store(where: str) -> None:
    """Only adding makes a store; the other commands do not."""
    status, printed = run(where, "list")
    assert (status, printed[:10]) == (1, "pb users: ")
    assert "does not exist" in printed or "there is no" in printed


def test_a_store_of_no_kind() -> None:
    """What is no store says how one is written."""
    status, printed = run("users.db", "list")
    assert (status, printed) == (
        2,
        "pb users: a store of users is file:users.db, sql:sqlite:///users.sqlite or"
        " sql:postgresql://host/database\n",
    )


def test_names_are_prepared(where: str) -> None:
    """A name is kept in the form that logins are looked up by, however it was typed."""
    add(where, "ali\u00adce")
    assert [user.name for user in store_of(where).users()] == ["alice"]
    assert run(where, "remove", "\uff41lice")[0] == 0


@pytest.mark.parametrize("arguments", [("add", ""), ("add", "alice", "--group", "a b")])
def test_wrong_names(where: str, arguments: tuple[str, ...]) -> None:
    """A name or a group that cannot be kept is refused with status 2, and nothing is added."""
    assert run(where, *arguments, "--no-password")[0] == 2
    assert run(where, "list") == (0, "no users\n")


def test_no_terminal(where: str) -> None:
    """Where nobody can be asked, the command says how else to give the password."""
    status, printed = run(where, "add", "alice")
    assert status == 2
    assert "use --password-file FILE, or -" in printed


def test_a_password_file_that_others_can_read(where: str, tmp_path: Path) -> None:
    """A file with a password must be its owner's alone; then its first line is the password."""
    file = tmp_path / "password"
    file.write_text("wonderland\nand more\n")
    file.chmod(0o644)
    arguments = ("add", "alice", "--verifier", "argon2id", "--password-file", str(file))
    assert run(where, *arguments) == (
        2,
        f"pb users: {file} is readable by others (mode 0644); run: chmod 600 {file}\n",
    )
    file.chmod(0o600)
    assert run(where, *arguments) == (0, "added alice\n")
    found = store_of(where).find("alice")
    assert found is not None and found.verifier is not None
    verify_password("wonderland", found.verifier)


def test_an_empty_password(where: str) -> None:
    """An empty password is refused."""
    assert run(where, "add", "alice", "--password-file", "-", typed="\n") == (
        2,
        "pb users: the password is empty: it must be the first line of the file\n",
    )
    assert list(store_of(where).users()) == []


def test_without_a_password(where: str) -> None:
    """A user of certificates or tokens has no verifier."""
    run(where, "add", "alice", "--no-password", "--group", "staff")
    assert store_of(where).find("alice") == User("alice", None, frozenset({"staff"}))
    refused = run(where, "add", "bob", "--no-password", "--verifier", "scram")
    assert refused[0] == 2


@KINDS
def test_groups(where: str) -> None:
    """The groups of a user are printed and changed; without a name all groups are printed."""
    add(where, "alice", "--group", "staff")
    add(where, "bob")
    assert run(where, "groups", "alice") == (0, "staff\n")
    assert run(where, "groups", "bob") == (0, "no groups\n")
    changes = ("--add", "admin", "--add", "ops", "--remove", "staff", "--remove", "none")
    assert run(where, "groups", "alice", *changes) == (0, "admin\nops\n")
    found = store_of(where).find("alice")
    assert found is not None
    assert found.groups == {"admin", "ops"}
    assert run(where, "groups", "bob", "--add", "admin", "--json") == (0, '["admin"]\n')
    assert json.loads(run(where, "groups", "--json")[1]) == {
        "admin": ["alice", "bob"],
        "ops": ["alice"],
    }
    assert run(where, "groups")[1].split() == ["group", "users", "admin", "alice", "bob", "ops",
                                               "alice"]  # fmt: skip


def test_groups_that_cannot_be_changed(where: str) -> None:
    """Without a name nothing is changed, and neither is a user that there is not."""
    add(where, "alice")
    assert run(where, "groups") == (0, "no groups\n")
    assert run(where, "groups", "--add", "admin")[0] == 2
    assert run(where, "groups", "alice", "--add", "x", "--remove", "x")[0] == 2
    assert run(where, "groups", "eve", "--add", "x") == (
        1,
        "pb users: there is no user of that name\n",
    )


def test_a_list_for_programs(where: str) -> None:
    """With --json the list is JSON, with what the table has."""
    add(where, "alice", "--group", "staff")
    run(where, "add", "carol", "--no-password")
    run(where, "disable", "carol")
    assert json.loads(run(where, "list", "--json")[1]) == [
        {"name": "alice", "disabled": False, "password": "argon2id", "groups": ["staff"]},
        {"name": "carol", "disabled": True, "password": None, "groups": []},
    ]
