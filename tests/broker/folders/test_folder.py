"""A folder gives its own regular files, and nothing outside it."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import FileRefused, NoSuchFile
from broker.folders.folder import Folder, Usage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder to be served, with a folder outside it."""
    for name in ("root/inner", "outside"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root" / "file").write_bytes(b"a file")
    (tmp_path / "root" / "inner" / "file").write_bytes(b"inside")
    (tmp_path / "outside" / "file").write_bytes(b"outside")
    (tmp_path / "outside" / "secret").write_bytes(b"outside")
    return tmp_path / "root"


@pytest.fixture(params=[True, False], ids=["descriptors", "paths"])
def folder(request: pytest.FixtureRequest, root: Path) -> Folder:
    """Return the folder, in each of the two ways."""
    return Folder(root, by_descriptor=request.param)


def content(folder: Folder, name: object) -> bytes:
    """Return the bytes of a file."""
    file = folder.open(name)
    try:
        data = file.read(1_000)
        assert file.size == len(data)
        return data
    finally:
        file.close()


def names(folder: Folder, name: str = "") -> set[object]:
    """Return the names that are listed."""
    listing = folder.entries(name)
    try:
        found: set[object] = set()
        while some := listing.some(2):
            found.update(each["name"] for each in some)
        return found
    finally:
        listing.close()


def test_files(folder: Folder) -> None:
    """Files are opened by their names, described, and listed."""
    assert content(folder, "file") == b"a file"
    assert content(folder, "inner/file") == b"inside"
    described = folder.stat("inner/file")
    assert (described["kind"], described["size"]) == ("file", 6)
    assert folder.stat("inner").keys() == {"kind", "modified"}
    assert names(folder) == {"file", "inner"}
    assert names(folder, "inner") == {"file"}


@pytest.mark.parametrize("name", ["none", "none/file", "file/file", "inner/none", "a" * 255])
def test_no_such_file(folder: Folder, name: str) -> None:
    """What is not there is NoSuchFile, which has no path of this machine in its text."""
    for use in (folder.open, folder.stat, folder.open_partial, folder.entries):
        with pytest.raises(NoSuchFile) as caught:
            use(name)
        assert str(caught.value) == "no such file"
    with pytest.raises(FileNotFoundError):
        folder.open(name)


def test_what_is_not_a_regular_file(folder: Folder, root: Path) -> None:
    """Links, FIFOs, sockets and devices are not there; a FIFO blocks nothing; a folder is told."""
    (root / "link").symlink_to(root / "file")
    (root / "out").symlink_to(root.parent / "outside" / "secret")
    (root / "outer").symlink_to(root.parent / "outside")
    (root / "self").symlink_to("self")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
    for name in ("link", "out", "outer/secret", "self", "self/x", "fifo", "socket", "outer"):
        with pytest.raises(NoSuchFile):
            folder.open(name)
        with pytest.raises(NoSuchFile):
            folder.stat(name)
    with pytest.raises(NoSuchFile):
        folder.entries("outer")
    with pytest.raises(FileRefused, match="it is a folder"):
        folder.open("inner")
    assert names(folder) == {"file", "inner"}


def test_names_that_cannot_be_asked_for(folder: Folder, root: Path) -> None:
    """Files whose names a peer may not send are not listed."""
    for name in (".hidden", "a:b", "a\\b", "a\n", "NUL"):
        (root / name).touch()
    (root / os.fsdecode(b"\xff")).touch()
    assert names(folder) == {"file", "inner"}


def test_a_new_file(folder: Folder, root: Path) -> None:
    """A file has its name at the end, not before, and replaces another one, whose mode it has."""
    (root / "file").chmod(0o640)
    for name, mode in (("inner/new", 0o666 & ~umask()), ("file", 0o640)):
        new = folder.create(name)
        new.write(b"half")
        assert not (root / "inner" / "new").exists() or name == "file"
        assert (root / "file").read_bytes() == b"a file"
        new.write(bytearray(b" and half"))
        new.finish()
        assert (root / name).read_bytes() == b"half and half"
        assert (root / name).stat().st_mode & 0o777 == mode
        assert new.is_added == (name != "file")
    assert set(os.listdir(root)) == {"file", "inner"}
    assert set(os.listdir(root / "inner")) == {"file", "new"}


def umask() -> int:
    """Return the umask of this process."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("way", ["give up", "forget"])
def test_a_new_file_that_does_not_end(folder: Folder, root: Path, way: str) -> None:
    """A file that is given up, or forgotten, leaves nothing, and the old one is as it was."""
    new = folder.create("file")
    new.write(b"half")
    if way == "give up":
        new.give_up()
        new.give_up()
    del new
    assert (root / "file").read_bytes() == b"a file"
    assert set(os.listdir(root)) == {"file", "inner"}


def test_where_no_file_can_be(folder: Folder, root: Path) -> None:
    """A folder, a link and a FIFO are not replaced; nothing is made behind a link."""
    (root / "out").symlink_to(root.parent / "outside" / "new")
    (root / "outer").symlink_to(root.parent / "outside")
    os.mkfifo(root / "fifo")
    for name in ("inner", "out", "fifo"):
        with pytest.raises(FileRefused, match="it is not a regular file"):
            folder.create(name)
    for name in ("outer/new", "none/new", "file/new"):
        with pytest.raises(NoSuchFile):
            folder.create(name)
    assert set(os.listdir(root)) == {"file", "inner", "out", "outer", "fifo"}
    assert set(os.listdir(root.parent / "outside")) == {"file", "secret"}


def test_a_folder_that_appears_under_the_name(folder: Folder, root: Path) -> None:
    """A link that takes the name before the end is not followed."""
    new = folder.create("new")
    new.write(b"data")
    (root / "new").symlink_to(root.parent / "outside" / "secret")
    with pytest.raises(FileRefused):
        new.finish()
    new.give_up()
    assert (root.parent / "outside" / "secret").read_bytes() == b"outside"
    assert set(os.listdir(root)) == {"file", "inner", "new"}


def test_two_writers(folder: Folder, root: Path) -> None:
    """Of two that write one name, each is whole, and the last one to end is kept."""
    first, second = folder.create("new"), folder.create("new")
    first.write(b"first")
    second.write(b"second")
    second.finish()
    assert (root / "new").read_bytes() == b"second"
    first.finish()
    assert (root / "new").read_bytes() == b"first"
    assert set(os.listdir(root)) == {"file", "inner", "new"}


def test_bytes_that_are_kept(folder: Folder, root: Path) -> None:
    """With a start the bytes are kept after an error, and the next one goes on behind them."""
    for start, data in ((0, b"ab"), (2, b"cd")):
        new = folder.create("new", start)
        new.write(data)
        new.give_up()
    kept = folder.open_partial("new")
    assert (kept.size, kept.read(10)) == (4, b"abcd")
    kept.close()
    assert names(folder) == {"file", "inner"}
    with pytest.raises(FileRefused, match="4 bytes of the file are there, not 3"):
        folder.create("new", 3)
    new = folder.create("new", 4)
    with pytest.raises(NoSuchFile):
        # One writer has it.
        folder.create("new", 4)
    new.write(b"ef")
    new.finish()
    assert (root / "new").read_bytes() == b"abcdef"
    assert set(os.listdir(root)) == {"file", "inner", "new"}


def test_to_begin_anew(folder: Folder, root: Path) -> None:
    """With the start 0 the kept bytes are replaced, and at the end they are removed."""
    for data in (b"first", b"second"):
        new = folder.create("new", 0)
        new.write(data)
        new.give_up()
    kept = folder.open_partial("new")
    assert kept.size == 6
    kept.close()
    new = folder.create("new", 0)
    new.finish()
    assert set(os.listdir(root)) == {"file", "inner", "new"}


def test_kept_bytes_that_are_no_file(folder: Folder, root: Path) -> None:
    """A link or a FIFO with the name of the kept bytes is not used."""
    new = folder.create("new", 0)
    new.give_up()
    (kept,) = root.glob(".*.part")
    for make in (lambda: kept.symlink_to(root / "file"), lambda: os.mkfifo(kept)):
        kept.unlink()
        make()
        with pytest.raises(NoSuchFile):
            folder.open_partial("new")
        with pytest.raises((NoSuchFile, FileRefused)):
            folder.create("new", 6)
    assert (root / "file").read_bytes() == b"a file"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (28, "the disk of the server is full"),
        (13, "the server may not open it"),
        (30, "the disk of the server is read-only"),
        (5, "the server cannot use the file"),
    ],
)
def test_errors_of_the_system(
    folder: Folder,
    root: Path,
    number: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error of the system is told in general words, without a path, which the log may have."""
    caplog.set_level("DEBUG", "broker.folders")

    def fail(fd: int, data: object) -> int:
        raise OSError(number, "failed", str(root))

    new = folder.create("new")
    monkeypatch.setattr("broker.folders.open_files.os.write", fail)
    with pytest.raises(FileRefused) as caught:
        new.write(b"data")
    assert str(caught.value) == text
    with pytest.raises(PermissionError):
        new.write(b"data")
    new.give_up()
    logged = [each.getMessage() for each in caplog.records]
    assert len(logged) == (2 if number in (5, 28) else 0)
    assert all(each.startswith("a served file cannot be used: ") for each in logged)
    assert set(os.listdir(root)) == {"file", "inner"}


def test_a_file_that_is_closed_while_it_is_used(folder: Folder) -> None:
    """A file is closed when the thread that uses it is done, not before, and only once."""
    file = folder.open("file")
    with file._in_use():
        file.close()
        os.fstat(file._fd)
    with pytest.raises(OSError):
        os.fstat(file._fd)
    file.close()
    with pytest.raises(FileRefused, match="closed"):
        file.read(1)


def test_usage(folder: Folder, root: Path) -> None:
    """All files and folders are counted, new files only by their bytes; links are not followed."""
    (root / "outer").symlink_to(root.parent)
    assert folder.usage(100) == Usage(4, 12)
    new = folder.create("new")
    new.write(b"data")
    assert folder.usage(100) == Usage(4, 16)
    new.give_up()
    assert folder.usage(1).files > 1


HOSTILE = st.lists(
    st.sampled_from(["..", ".", "", "outer", "inner", "file", "secret", "~", "\x00", "/", "\\"]),
    max_size=6,
).map("/".join)


@given(name=st.one_of(HOSTILE, st.text(max_size=20)))
@pytest.mark.parametrize("by_descriptor", [True, False])
def test_hostile_names(
    tmp_path_factory: pytest.TempPathFactory, by_descriptor: bool, name: str
) -> None:
    """By no name comes a byte of a file outside, and none is written there."""
    base = tmp_path_factory.getbasetemp() / f"hostile{by_descriptor}"
    root = base / "root"
    if not base.exists():
        (root / "inner").mkdir(parents=True)
        (root / "outer").symlink_to(base)
        (root / "inner" / "secret").symlink_to("../../secret")
        (root / "inner" / "up").symlink_to("..")
        (base / "secret").write_bytes(b"outside")
        (root / "file").write_bytes(b"inside")
    folder = Folder(root, by_descriptor=by_descriptor)
    before = set(os.listdir(base))
    with suppress(NoSuchFile, FileRefused):
        assert content(folder, name) != b"outside"
    with suppress(NoSuchFile, FileRefused):
        folder.create(name).give_up()
    assert set(os.listdir(base)) == before
    assert (base / "secret").read_bytes() == b"outside"


def test_a_race_with_links(root: Path) -> None:
    """While a folder and a link out of it change places, no file outside is read or made."""
    folder = Folder(root)
    outside = root.parent / "outside"
    (root / "link").symlink_to(outside)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            os.rename(root / "inner", root / "spare")
            os.rename(root / "link", root / "inner")
            os.rename(root / "inner", root / "link")
            os.rename(root / "spare", root / "inner")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(300):
            with suppress(NoSuchFile, FileRefused):
                assert content(folder, "inner/file") == b"inside"
            with suppress(NoSuchFile, FileRefused):
                new = folder.create("inner/new")
                new.write(b"x")
                new.finish()
    finally:
        ended.set()
        thread.join()
    assert set(os.listdir(outside)) == {"file", "secret"}
