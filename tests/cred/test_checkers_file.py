"""cred.checkers.FilePasswordDB: users in a text file, beside Twisted's."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import twisted.cred.checkers
import twisted.cred.credentials
import twisted.cred.error
from zope.interface import implementer
from zope.interface.verify import verifyObject

from broker.defer import Deferred, succeed
from cred import checkers
from cred.challenges import challenge, hash_password, respond, verify
from cred.checkers import FilePasswordDB, ICredentialsChecker, OnDiskUsernamePasswordDatabase
from cred.credentials import (
    CramMD5Credentials,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernameHashedPassword,
    UsernamePassword,
)
from cred.error import UnauthorizedLogin
from cred.octets import to_octets

Outcome = Callable[[Any], Any]

Theirs = twisted.cred.checkers.FilePasswordDB
WRONG = r"^wrong user name or password$"
LINES = b"alice:secret\nbob:hunter2\nZo\xc3\xab:s\xc3\xa9same:more\n"


def sha(username: bytes, shown: bytes, kept: bytes) -> bytes:
    """A hash of the three-argument form: here salted with the user name."""
    return hashlib.sha256(username + shown).hexdigest().encode()


@implementer(IUsernameHashedPassword)
class Told:
    """Credentials whose answer is decided by the test; they remember what they were asked."""

    password = "secret"

    def __init__(self, username: Any, answer: Any) -> None:
        self.username = username
        self.answer = answer
        self.asked: list[Any] = []

    def checkPassword(self, password: Any) -> Any:
        """Give the answer."""
        self.asked.append(password)
        return self.answer


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A file with three users."""
    path = tmp_path / "users.txt"
    path.write_bytes(LINES)
    return path


def find(database: Any, name: bytes) -> Any:
    """What a database, ours or Twisted's, has for a name; None for an unknown one."""
    try:
        return database.getUser(name)
    except KeyError:
        return None


def test_signature_is_the_published_one() -> None:
    """The constructor has Twisted's parameters, in their order, with their defaults."""

    def outline(cls: Any) -> list[tuple[str, Any]]:
        parameters = inspect.signature(cls).parameters.values()
        return [(each.name, each.default) for each in parameters]

    assert outline(FilePasswordDB) == outline(Theirs)
    assert OnDiskUsernamePasswordDatabase is FilePasswordDB


def test_attributes_are_the_published_ones(users: Path) -> None:
    """What was given can be read back under Twisted's names."""
    given = (str(users), b";", 2, 3, False, sha, True)
    ours, theirs = FilePasswordDB(*given), Theirs(*given)
    for name in ("filename", "delim", "ufield", "pfield", "caseSensitive", "hash", "cache"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert FilePasswordDB.__init__.__defaults__ == Theirs.__init__.__defaults__
    assert verifyObject(ICredentialsChecker, ours)


def test_kinds_of_credentials_follow_the_hash(users: Path) -> None:
    """In clear, both kinds are taken; with a hash, only passwords in clear can be checked."""
    assert FilePasswordDB(users).credentialInterfaces == (
        IUsernamePassword,
        IUsernameHashedPassword,
    )
    assert FilePasswordDB(users, hash=sha).credentialInterfaces == (IUsernamePassword,)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize(
    ("lines", "options"),
    [
        (LINES, {}),
        (b"alice:secret", {}),
        (b"alice:secret\r\nbob:x\r\n", {}),
        (b"alice:secret  \n  bob: y\n\n\n", {}),
        (b"# no user\nalice\nbob:x\n", {}),
        (b"alice:\nbob:x:y\n", {}),
        (LINES, {"caseSensitive": False}),
        (b"Alice:S\nBOB:x\n", {"caseSensitive": False}),
        (b"alice secret\nbob x\n", {"delim": b" "}),
        (b"alice::secret\n", {"delim": b"::"}),
        (b"1:secret:alice\n2:x:bob\n3\n", {"usernameField": 2}),
        (b"alice:7:secret\nbob:8\n", {"passwordField": 2}),
        (b"secret:alice\nx:bob\n", {"usernameField": 1, "passwordField": 0}),
        (b"alice:a:b:secret\nbob:x\n", {"passwordField": -1}),
        (b"", {}),
    ],
)
def test_file_is_read_as_by_twisted(
    lines: bytes, options: dict[str, Any], cache: bool, tmp_path: Path
) -> None:
    """Whatever the options and the lines, both find the same users and passwords."""
    path = tmp_path / "users.txt"
    path.write_bytes(lines)
    ours = FilePasswordDB(str(path), cache=cache, **options)
    theirs = Theirs(str(path), cache=cache, **options)
    for name in (b"alice", b"ALICE", b"bob", b"  bob", b"Zo\xc3\xab", b"zo\xc3\xab", b"# no user"):
        assert find(ours, name) == find(theirs, name)
    assert lines == b"" or find(ours, b"alice") or find(ours, b"bob")


@pytest.mark.parametrize("cache", [True, False])
def test_first_of_two_lines_counts(cache: bool, tmp_path: Path) -> None:
    """Of two lines for one user the first counts, with a cache as without."""
    path = tmp_path / "users.txt"
    path.write_bytes(b"Alice:first\nalice:second\n")
    assert FilePasswordDB(path, cache=cache).getUser("alice") == (b"alice", b"second")
    either = FilePasswordDB(path, cache=cache, caseSensitive=False)
    assert either.getUser("ALICE") == (b"alice", b"first")


def test_line_without_a_name_is_nobody(tmp_path: Path) -> None:
    """A careless line without a user name lets nobody in."""
    path = tmp_path / "users.txt"
    path.write_bytes(b":\n:secret\nalice:x\n")
    with pytest.raises(KeyError):
        FilePasswordDB(path).getUser("")


def test_delimiter_may_be_text_and_is_not_empty(tmp_path: Path) -> None:
    """A delimiter may be a str; an empty one is refused when the checker is made."""
    path = tmp_path / "users.txt"
    path.write_bytes(b"alice\xc2\xa7secret\n")
    assert FilePasswordDB(path, delim="§").getUser("alice") == (b"alice", b"secret")
    for empty in ("", b""):
        with pytest.raises(ValueError, match="delimiter of a password file is not empty"):
            FilePasswordDB(path, delim=empty)


@pytest.mark.parametrize("form", [str, os.fsencode, Path])
def test_filename_may_have_any_form_of_a_path(form: Any, users: Path) -> None:
    """The file may be named by str, bytes or a path object."""
    assert FilePasswordDB(form(users)).getUser("bob") == (b"bob", b"hunter2")


@pytest.mark.parametrize("username", ["nobody", b"nobody", "alic", "ALICE", ""])
def test_unknown_user_is_a_key_error(username: Any, users: Path) -> None:
    """Looking up who is not there is a KeyError, as published."""
    with pytest.raises(KeyError):
        FilePasswordDB(users).getUser(username)


@pytest.mark.parametrize("username", ["alice", b"alice"])
@pytest.mark.parametrize("password", ["secret", b"secret"])
def test_right_password_gives_the_user_name_of_the_file(
    username: Any, password: Any, users: Path, outcome: Outcome
) -> None:
    """The avatar id is the user name as the file has it, bytes, whichever form is shown."""
    database = FilePasswordDB(users)
    for kind in (UsernamePassword, UsernameHashedPassword):
        answer = database.requestAvatarId(kind(username, password))
        assert isinstance(answer, Deferred)
        avatar_id = outcome(answer)
        assert (type(avatar_id), avatar_id) == (bytes, b"alice")


def salted(username: Any, shown: Any, kept: bytes) -> bytes:
    """A hash that takes str and bytes."""
    return sha(to_octets(username).lower(), to_octets(shown), kept)


@pytest.mark.parametrize("case_sensitive", [True, False])
@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("hashed", [None, salted])
def test_who_is_let_in_by_twisted(
    hashed: Any, cache: bool, case_sensitive: bool, tmp_path: Path, outcome: Outcome
) -> None:
    """Whom Twisted's lets in, ours lets in, as the same avatar id of the same type.

    Twisted's lets in nobody whose name is a str, nor a str for a password in clear; ours does, and
    the avatar id is the one that Twisted's has for that user. What is wrong is refused by both.
    """
    path = tmp_path / "users.txt"
    kept = salted("alice", b"secret", b"") if hashed else b"secret"
    path.write_bytes(b"Alice:" + kept + b"\n")
    options = {"caseSensitive": case_sensitive, "hash": hashed, "cache": cache}
    known = b"Alice" if case_sensitive else b"alice"
    for name, password in itertools.product(
        ("Alice", b"Alice", "alice", b"alice", "bob", b"bob"), ("secret", b"secret", "x", b"x")
    ):
        let_in = []
        for kind, made in (
            (FilePasswordDB, UsernamePassword(name, password)),
            (Theirs, twisted.cred.credentials.UsernamePassword(name, password)),
        ):
            try:
                let_in.append(outcome(kind(path, **options).requestAvatarId(made)))
            except (UnauthorizedLogin, twisted.cred.error.UnauthorizedLogin):
                let_in.append(None)
        octets = to_octets(name) if case_sensitive else to_octets(name).lower()
        is_right = octets == known and to_octets(password) == b"secret"
        assert let_in[0] == (known if is_right else None)
        is_exact = type(name) is bytes and (hashed or type(password) is bytes)
        assert let_in[1] == (known if is_right and is_exact else None)


def test_name_without_case_is_in_lower_case(users: Path, outcome: Outcome) -> None:
    """Where case does not count, the avatar id is the name in lower case, as with Twisted."""
    ours, theirs = FilePasswordDB(users, caseSensitive=False), Theirs(users, caseSensitive=False)
    for name in (b"Alice", b"ALICE", b"alice"):
        shown = twisted.cred.credentials.UsernamePassword(name, b"secret")
        assert outcome(theirs.requestAvatarId(shown)) == b"alice"
        assert outcome(ours.requestAvatarId(UsernamePassword(name, b"secret"))) == b"alice"
    assert outcome(ours.requestAvatarId(UsernamePassword("ZOë", "sésame"))) == "zoë".encode()


def test_answers_to_challenges_are_taken(users: Path, outcome: Outcome) -> None:
    """A file in clear serves CRAM-MD5 and PB's own challenge too."""
    sent = challenge()

    @implementer(IUsernameHashedPassword)
    class Answer:
        username = b"alice"

        def checkPassword(self, password: bytes) -> bool:
            """Verify the answer; raises if it is wrong."""
            verify(sent, respond(sent, "secret"), hash_password(password))
            return True

    cram = CramMD5Credentials("h")
    cram.challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    cram.setResponse("tim b913a602c7eda7a495b4e6e7334d3890")
    users.write_bytes(b"alice:secret\ntim:tanstaaftanstaaf\n")
    database = FilePasswordDB(users)
    assert outcome(database.requestAvatarId(Answer())) == b"alice"
    assert outcome(database.requestAvatarId(cram)) == b"tim"


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", None),
        ("alice", "hunter2"),
        ("nobody", "secret"),
        ("ALICE", "secret"),
        (b"\xff", "secret"),
        ("\ud800", "secret"),
        (None, "secret"),
        (7, "secret"),
        ([b"alice"], "secret"),
    ],
)
@pytest.mark.parametrize("hashed", [None, sha])
def test_wrong_login_has_one_error(
    username: Any, password: Any, hashed: Any, tmp_path: Path, outcome: Outcome
) -> None:
    """A wrong password, an unknown user, and what is no text fail with one class and text."""
    path = tmp_path / "users.txt"
    kept = sha(b"alice", b"secret", b"") if hashed else b"secret"
    path.write_bytes(b"alice:" + kept + b"\n")
    database = FilePasswordDB(path, hash=hashed)
    with pytest.raises(UnauthorizedLogin, match=WRONG) as caught:
        outcome(database.requestAvatarId(UsernamePassword(username, password)))
    assert type(caught.value) is UnauthorizedLogin
    assert outcome(database.requestAvatarId(UsernamePassword("alice", "secret"))) == b"alice"


def test_unknown_user_costs_the_same_comparison(users: Path, outcome: Outcome) -> None:
    """An unknown user's password is compared too, with bytes that nobody can guess; never right."""
    known, unknown = Told("alice", False), Told("nobody", True)
    first, second = FilePasswordDB(users), FilePasswordDB(users)
    for database, credentials in ((first, known), (first, unknown), (second, unknown)):
        with pytest.raises(UnauthorizedLogin, match=WRONG):
            outcome(database.requestAvatarId(credentials))
    assert known.asked == [b"secret"]
    assert [(type(asked), len(asked)) for asked in unknown.asked] == [(bytes, 16), (bytes, 16)]
    assert len(set(unknown.asked)) == 2


# With a hash.


def test_hash_is_given_three_bytes(users: Path, outcome: Outcome) -> None:
    """A hash sees the name and the password as shown and the one that is kept, all bytes."""
    asked = []

    def remember(*args: Any) -> bytes:
        asked.append(args)
        return b"s\xc3\xa9same"

    database = FilePasswordDB(users, hash=remember, caseSensitive=False)
    assert outcome(database.requestAvatarId(UsernamePassword("ZOë", "plain"))) == b"zo\xc3\xab"
    assert outcome(database.requestAvatarId(UsernamePassword(b"zo\xc3\xab", b"x"))) == b"zo\xc3\xab"
    assert asked == [
        ("ZOë".encode(), b"plain", "sésame".encode()),
        ("zoë".encode(), b"x", "sésame".encode()),
    ]


def test_hashed_file_is_read_as_by_twisted(tmp_path: Path, outcome: Outcome) -> None:
    """The same hash and the same file let the same login in."""
    path = tmp_path / "users.txt"
    path.write_bytes(b"alice:" + sha(b"alice", b"secret", b"") + b"\n")
    for kind, credentials in (
        (FilePasswordDB, UsernamePassword),
        (Theirs, twisted.cred.credentials.UsernamePassword),
    ):
        database = kind(path, hash=sha)
        assert outcome(database.requestAvatarId(credentials(b"alice", b"secret"))) == b"alice"
        failures: list[Any] = []
        database.requestAvatarId(credentials(b"alice", b"wrong")).addErrback(failures.append)
        assert failures[0].check("twisted.cred.error.UnauthorizedLogin")


@pytest.mark.parametrize("make", [lambda value: value, succeed, lambda value: value.decode()])
def test_hash_may_answer_in_any_way(make: Any, users: Path, outcome: Outcome) -> None:
    """A hash may return bytes or str, plainly or as a Deferred."""
    database = FilePasswordDB(users, hash=lambda name, shown, kept: make(b"hunter2"))
    assert outcome(database.requestAvatarId(UsernamePassword("bob", "x"))) == b"bob"
    with pytest.raises(UnauthorizedLogin, match=WRONG):
        outcome(database.requestAvatarId(UsernamePassword("alice", "x")))


async def test_hash_may_be_async(users: Path) -> None:
    """A hash may wait for something on the loop: for a thread that computes it."""

    async def slow(name: bytes, shown: bytes, kept: bytes) -> bytes:
        return await asyncio.to_thread(lambda: shown)

    async def main() -> Any:
        database = FilePasswordDB(users, hash=slow)
        return await database.requestAvatarId(UsernamePassword("bob", "hunter2"))

    assert await main() == b"bob"


def test_hash_refuses_credentials_without_the_password(users: Path, outcome: Outcome) -> None:
    """Credentials that do not show the password cannot be checked against a hash."""
    credentials = Told("alice", True)
    with pytest.raises(UnauthorizedLogin, match=WRONG):
        outcome(FilePasswordDB(users, hash=sha).requestAvatarId(credentials))
    assert credentials.asked == []


def test_hash_is_computed_for_an_unknown_user_too(users: Path, outcome: Outcome) -> None:
    """Refusing an unknown user costs a hash of what is kept for another, and its error is none."""
    asked = []

    def demanding(name: bytes, shown: bytes, kept: bytes) -> bytes:
        asked.append(kept)
        raise ZeroDivisionError("broken")

    database = FilePasswordDB(users, hash=demanding)
    with pytest.raises(UnauthorizedLogin, match=WRONG):
        outcome(database.requestAvatarId(UsernamePassword("nobody", "x")))
    assert asked == [b"secret"]
    with pytest.raises(ZeroDivisionError, match="broken"):
        outcome(database.requestAvatarId(UsernamePassword("bob", "x")))


def test_hashes_are_compared_in_constant_time(
    users: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    """The password that is kept goes to same_octets first, the computed one second."""
    calls = []
    monkeypatch.setattr(checkers, "same_octets", lambda *args: calls.append(args) or True)
    database = FilePasswordDB(users, hash=lambda name, shown, kept: b"computed")
    outcome(database.requestAvatarId(UsernamePassword("alice", "x")))
    assert calls == [(b"secret", b"computed")]


# The file comes, goes and changes.


@pytest.mark.parametrize("cache", [True, False])
def test_missing_file_refuses_and_logs(
    cache: bool, users: Path, caplog: pytest.LogCaptureFixture, outcome: Outcome
) -> None:
    """Without its file nobody gets in, also who was known before; the log says what is wrong."""
    database = FilePasswordDB(users, cache=cache)
    assert outcome(database.requestAvatarId(UsernamePassword("alice", "secret"))) == b"alice"
    users.unlink()
    with pytest.raises(UnauthorizedLogin, match=WRONG):
        outcome(database.requestAvatarId(UsernamePassword("alice", "secret")))
    with pytest.raises(UnauthorizedLogin, match=WRONG):
        database.getUser("alice")
    records = [(record.name, record.levelno) for record in caplog.records]
    assert records == [("broker.cred", logging.ERROR)] * 2
    assert caplog.records[0].getMessage().startswith("a password file cannot be read: ")
    assert str(users) in caplog.records[0].getMessage()
    users.write_bytes(LINES)
    assert outcome(database.requestAvatarId(UsernamePassword("alice", "secret"))) == b"alice"


@pytest.mark.parametrize("cache", [True, False])
def test_change_of_the_file_counts_at_the_next_login(cache: bool, users: Path) -> None:
    """New content is read at the next look-up, whether the file is rewritten or replaced."""
    database = FilePasswordDB(users, cache=cache)
    assert database.getUser("alice") == (b"alice", b"secret")
    users.write_bytes(b"alice:changed\n")
    assert database.getUser("alice") == (b"alice", b"changed")
    replacement = users.with_name("new.txt")
    replacement.write_bytes(b"alice:another\n")
    # Older than what was read before: a restored backup counts as well.
    os.utime(replacement, (1_000_000_000, 1_000_000_000))
    replacement.replace(users)
    assert database.getUser("alice") == (b"alice", b"another")


@pytest.mark.parametrize("cache", [True, False])
def test_cache_saves_reading_an_unchanged_file(cache: bool, users: Path) -> None:
    """With `cache` an unchanged file is read once; without, at each look-up."""
    readings = []

    class Counting(FilePasswordDB):
        def _parse(self, lines: Any) -> dict[bytes, bytes]:
            readings.append(1)
            return super()._parse(lines)

    database = Counting(users, cache=cache)
    for _ in range(3):
        database.getUser("alice")
    assert len(readings) == (1 if cache else 3)


def test_pickle_holds_no_password(users: Path, outcome: Outcome) -> None:
    """A pickled checker carries no passwords, and reads its file when it comes back."""
    database = FilePasswordDB(users, cache=True)
    assert outcome(database.requestAvatarId(UsernamePassword("alice", "secret"))) == b"alice"
    pickled = pickle.dumps(database)
    assert b"secret" not in pickled
    copy = pickle.loads(pickled)
    assert outcome(copy.requestAvatarId(UsernamePassword("alice", "secret"))) == b"alice"
    with pytest.raises(UnauthorizedLogin, match=WRONG):
        outcome(copy.requestAvatarId(UsernamePassword("nobody", "")))


def test_lookup_can_be_overridden(users: Path, outcome: Outcome) -> None:
    """A subclass that finds its users elsewhere overrides getUser alone, as with Twisted."""

    class Elsewhere(FilePasswordDB):
        def getUser(self, username: Any) -> tuple[bytes, bytes]:
            return {b"carol": (b"carol", b"c")}[username]

    database = Elsewhere(users)
    assert outcome(database.requestAvatarId(UsernamePassword(b"carol", b"c"))) == b"carol"
    with pytest.raises(UnauthorizedLogin, match=WRONG):
        outcome(database.requestAvatarId(UsernamePassword(b"alice", b"secret")))
