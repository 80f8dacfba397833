"""cred.users: what a user can be."""

from __future__ import annotations

import pytest

from cred.users import (
    NoSuchUser,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    User,
    UserChanged,
    UserExists,
)


@pytest.mark.parametrize(
    "user",
    [
        User("alice"),
        User("a"),
        User("n" * 256),
        User("é" * 128),
        User("cert:0a1b"),
        User("alice smith@example.org", "$argon2id$", frozenset({"staff", "日本", "a-b.c:d"})),
        User("alice", "$" * 512, frozenset({"g" * 64}), True),
    ],
)
def test_what_a_user_can_be(user: User) -> None:
    """Any prepared name up to 256 bytes will do, and any groups that can stand in a list."""
    assert user == User(user.name, user.verifier, user.groups, user.is_disabled)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "a user's name is not empty, and is kept as cred.saslprep.saslprep has it"),
        ("ａlice", "a user's name is not empty, and is kept as cred.saslprep.saslprep has it"),
        ("n" * 257, "this cannot be a user's name: 257 bytes, of 256"),
        ("é" * 129, "this cannot be a user's name: 258 bytes, of 256"),
        *(
            (
                f"a{char}b",
                "this cannot be a user's name: it has a character that SASLprep prohibits"
                f" (U+{ord(char):04X})",
            )
            for char in "\t\n\x00\x7f\x85\u2028\ud800"
        ),
    ],
)
def test_what_no_name_can_be(name: str, text: str) -> None:
    """The text says what is wrong, and does not repeat the name."""
    with pytest.raises(ValueError, match=r"name") as caught:
        User(name)
    assert str(caught.value) == text


@pytest.mark.parametrize("group", ["", "a b", "a,b", "a\t", "a\n", "g" * 65, "\u2028", "\xa0"])
def test_what_no_group_can_be(group: str) -> None:
    """A group's name ends no field, no line and no item of a list."""
    with pytest.raises(ValueError, match=r"^a group's name has 1 to 64 characters, without spaces"):
        User("alice", groups=frozenset({"staff", group}))


@pytest.mark.parametrize("verifier", ["", "two words", "é", "a\tb", "$" * 513])
def test_what_no_verifier_can_be(verifier: str) -> None:
    """A verifier is one word of ASCII."""
    with pytest.raises(ValueError, match=r"^a verifier is printable ASCII without spaces, at most"):
        User("alice", verifier)


def test_a_user_shows_no_verifier() -> None:
    """What is printed or logged of a user has nothing to try passwords on."""
    assert "secret" not in repr(User("alice", "$argon2id$secret"))


def test_the_tree_of_errors() -> None:
    """Each error is a StoreError, and the builtin that fits."""
    for kind in (StoreUnavailable, StoreCorrupt, UserExists, NoSuchUser, UserChanged):
        assert issubclass(kind, StoreError)
    assert issubclass(StoreCorrupt, ValueError)
    assert issubclass(UserExists, ValueError)
    assert issubclass(NoSuchUser, LookupError)
