"""cred.stores.files: the password file."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from broker.errors import ConfigError
from cred.stores import HEADER
from cred.stores.files import MAX_SIZE, FileStore
from cred.users import StoreCorrupt, StoreError, StoreUnavailable, User

FIRST = f"{HEADER} 1 {'0a' * 16}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, so that errors call the file `users.db`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str | bytes, mode: int = 0o600) -> None:
    """Write users.db as somebody else would."""
    path = Path("users.db")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)


def refusal(kind: type[Exception], **options: float) -> str:
    """Return the text with which opening users.db is refused."""
    with pytest.raises(kind) as caught:
        FileStore("users.db", **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_what_is_written(folder: Path) -> None:
    """The file is text: a line of its own, and a line a user in the order of their names."""
    store = FileStore("users.db", create=True)
    store.add(User("zoë", None, is_disabled=True))
    store.add(User("alice", "$argon2id$of-alice", frozenset({"staff", "admins"})))
    assert (folder / "users.db").read_text("utf-8") == (
        f"{HEADER} 1 {store.secret().hex()}\n"
        "alice\tenabled\tadmins,staff\t$argon2id$of-alice\n"
        "zoë\tdisabled\t\t\n"
    )


def test_what_is_read(folder: Path) -> None:
    """A file that was written by hand, in any order, is as good."""
    write(FIRST + "bob\tdisabled\tstaff\t$argon2id$\nalice\tenabled\t\t\n")
    store = FileStore("users.db")
    assert list(store.users()) == [
        User("alice"),
        User("bob", "$argon2id$", frozenset({"staff"}), True),
    ]
    assert store.secret() == b"\n" * 16


def test_it_is_its_owners_alone(folder: Path) -> None:
    """File and lock are made with mode 0600, whatever the umask; nothing else is left behind."""
    before = os.umask(0)
    try:
        store = FileStore("users.db", create=True)
        store.add(User("alice"))
    finally:
        os.umask(before)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert found == {"users.db": 0o600, "users.db.lock": 0o600}


@pytest.mark.row("C7")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660])
def test_a_file_that_others_can_read(folder: Path, mode: int) -> None:
    """It is refused when it is opened, and at each use."""
    write(FIRST, mode)
    text = f"users.db is readable by others (mode 0{mode:o}); run: chmod 600 users.db"
    assert refusal(ConfigError) == text
    (folder / "users.db").chmod(0o600)
    store = FileStore("users.db")
    (folder / "users.db").chmod(mode)
    for use in (store.users, lambda: store.find("alice"), lambda: store.add(User("alice"))):
        with pytest.raises(ConfigError) as caught:
            use()
        assert str(caught.value) == text


def test_a_missing_file(folder: Path) -> None:
    """The text has the command that makes one; a file that goes away later is missed too."""
    text = "users.db does not exist; make it with: pb users add NAME --store file:users.db"
    assert refusal(StoreUnavailable) == text
    store = FileStore("users.db", create=True)
    os.unlink("users.db")
    with pytest.raises(StoreUnavailable, match=r"^users.db does not exist; "):
        store.find("alice")


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    """The text says what the system says; a pipe that nobody writes is not waited for."""
    os.symlink("users.db", "users.db")
    assert refusal(StoreUnavailable) == (
        "users.db cannot be read: Too many levels of symbolic links"
    )
    os.unlink("users.db")
    os.mkfifo("users.db", 0o600)
    assert refusal(ConfigError) == "users.db is not a regular file"
    os.unlink("users.db")
    os.mkdir("users.db", 0o700)
    assert refusal(StoreUnavailable) == "users.db cannot be read: Is a directory"


def test_a_folder_that_does_not_exist(folder: Path) -> None:
    """Nothing can be written there, and the text says so."""
    with pytest.raises(StoreUnavailable) as caught:
        FileStore("nowhere/users.db", create=True)
    assert str(caught.value) == "nowhere/users.db cannot be written: No such file or directory"


CORRUPT = {
    "": "users.db, line 1: not the first line of a store of users",
    "alice:secret\n": "users.db, line 1: not the first line of a store of users",
    f"{HEADER}\n": "users.db, line 1: not the first line of a store of users",
    f"{HEADER} 2\nanything": "users.db is of version 2; this program knows version 1",
    f"{HEADER} 1\n": "users.db, line 1: it is cut off",
    FIRST[:-1]: "users.db, line 1: it is cut off",
    f"{FIRST}a\tenabled\t\t\nb\tenabled\t\t": "users.db, line 3: it is cut off",
    f"{FIRST}a\tenabled\t\t\na\tenabled\t\t\n": "users.db, line 3: a user who has a line already",
}
NOT_A_USER = (
    "users.db, line 3: not a user: name, enabled or disabled, groups, verifier, with a tab between"
    " each two"
)


@pytest.mark.parametrize(("text", "message"), CORRUPT.items(), ids=range(len(CORRUPT)))
def test_a_corrupt_file(folder: Path, text: str, message: str) -> None:
    """The text names the line, and never repeats what stands there."""
    write(text)
    assert refusal(StoreCorrupt) == message


@pytest.mark.parametrize(
    "line",
    [
        "",
        "secret",
        "b\tenabled\tstaff",
        "b\tenabled\tstaff\t$argon2id$\tmore",
        "b\tENABLED\t\t",
        "b\t\t\t",
        "\tenabled\t\t",
        "b\x00\tenabled\t\t",
        "b\r\tenabled\t\t",
        f"{'b' * 257}\tenabled\t\t",
        "b\tenabled\ta b\t",
        "b\tenabled\ta,\t",
        "b\tenabled\t\tpassword in clear",
        f"b\tenabled\t\t{'$' * 513}",
    ],
    ids=lambda line: repr(line[:20]),
)
def test_a_line_that_is_no_user(folder: Path, line: str) -> None:
    """Whatever is wrong with it, nobody is let in by what is left."""
    write(f"{FIRST}a\tenabled\t\t\n{line}\nc\tenabled\t\t\n")
    assert refusal(StoreCorrupt) == NOT_A_USER


def test_bytes_that_are_not_text(folder: Path) -> None:
    """A file that is not UTF-8 is corrupt, and the line is named."""
    write(f"{FIRST}a\tenabled\t\t\n".encode() + b"zo\xeb\tenabled\t\t\n")
    assert refusal(StoreCorrupt) == "users.db, line 3: not UTF-8"


def test_a_file_without_end(folder: Path) -> None:
    """What is larger than any store is not read."""
    write(FIRST)
    os.truncate("users.db", MAX_SIZE + 1)
    assert refusal(StoreCorrupt) == f"users.db is larger than {MAX_SIZE} bytes"


def test_a_corrupt_file_is_never_overwritten(folder: Path) -> None:
    """Adding a user to what cannot be read fails, and leaves it as it is."""
    store = FileStore("users.db", create=True)
    write("alice:secret\n")
    with pytest.raises(StoreCorrupt):
        store.add(User("alice"))
    assert (folder / "users.db").read_text() == "alice:secret\n"
    with pytest.raises(StoreCorrupt):
        FileStore("users.db", create=True)


def test_a_locked_file(folder: Path) -> None:
    """A writer waits for another only so long, and a reader does not wait at all."""
    store = FileStore("users.db", create=True, lock_timeout=0.05)
    with open("users.db.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable) as caught:
            store.add(User("alice"))
        assert str(caught.value) == (
            "users.db is locked: another process has been writing it for 0.05 s; see who has"
            " users.db.lock open"
        )
        assert store.find("alice") is None
    store.add(User("alice"))
    assert store.find("alice") == User("alice")


def test_a_write_that_fails_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk takes no more, the old file stays whole, and nothing lies beside it."""
    store = FileStore("users.db", create=True)
    store.add(User("alice"))
    before = (folder / "users.db").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"^users.db cannot be written: No space left on device$"):
        store.add(User("bob"))
    assert (folder / "users.db").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["users.db", "users.db.lock"]


def test_what_is_on_the_disk_before_it_has_the_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is synced, then renamed, then the folder is synced."""
    store = FileStore("users.db", create=True)
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append("folder" if is_folder else f"file of {os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def note_replace(source: str, target: str) -> None:
        done.append("renamed")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    store.add(User("alice"))
    size = (folder / "users.db").stat().st_size
    assert done == [f"file of {size} bytes", "renamed", "folder"]


def test_it_is_read_again_only_when_it_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two searches in the same file parse it once; a new file is seen at once."""
    store = FileStore("users.db", create=True)
    store.add(User("alice"))
    first = store.find("alice")
    assert store.find("alice") is first
    write(FIRST + "alice\tdisabled\t\t\n")
    assert store.find("alice") == User("alice", is_disabled=True)


def test_a_symbolic_link_is_followed(folder: Path) -> None:
    """A store behind a link is written where it is, and the link stays one."""
    os.mkdir("etc", 0o700)
    FileStore("etc/users.db", create=True)
    os.symlink("etc/users.db", "users.db")
    FileStore("users.db").add(User("alice"))
    assert (folder / "users.db").is_symlink()
    assert FileStore("etc/users.db").find("alice") == User("alice")
