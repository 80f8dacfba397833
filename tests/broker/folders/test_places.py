"""A folder that is open stays that folder, whatever is done to its path meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.folders.places import CREATE, HAS_DESCRIPTORS, READ, ByDescriptor, ByPath, Place

Opened = Callable[[Path], Place]


@pytest.fixture(params=[ByDescriptor, ByPath])
def opened(request: pytest.FixtureRequest) -> Opened:
    """Return each way to open a folder."""
    kind = request.param

    def open_it(path: Path) -> Place:
        place: Place = kind(str(path))
        return place

    return open_it


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a folder to be served, with an inner one, beside another folder."""
    for name in ("root/inner", "outside"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    return tmp_path


def swap(tree: Path) -> None:
    """Replace the inner folder by a link that leads out."""
    (tree / "root" / "inner").rename(tree / "moved")
    (tree / "root" / "inner").symlink_to(tree / "outside")


def test_this_system_has_descriptors() -> None:
    """Linux and macOS have what the first way needs."""
    assert (os.name == "posix") == HAS_DESCRIPTORS


def test_an_inner_folder(tree: Path, opened: Opened) -> None:
    """Files of an inner folder are opened, looked at, listed, renamed and removed."""
    root = opened(tree / "root")
    inner = root.inner("inner")
    fd = inner.open("file", READ)
    assert os.read(fd, 100) == b"root/inner"
    os.close(fd)
    assert inner.stat("file").st_size == 10
    with inner.scan() as entries:
        assert [each.name for each in entries] == ["file"]
    inner.replace("file", "other")
    inner.unlink("other")
    assert os.listdir(tree / "root" / "inner") == []
    inner.close()
    root.close()
    root.close()


@pytest.mark.parametrize("is_relative", [True, False])
def test_a_link_to_a_folder(tree: Path, opened: Opened, is_relative: bool) -> None:
    """A link is not followed, also if it leads to a folder of the same root."""
    (tree / "root" / "out").symlink_to("../outside" if is_relative else tree / "outside")
    (tree / "root" / "same").symlink_to("inner" if is_relative else tree / "root" / "inner")
    root = opened(tree / "root")
    for name in ("out", "same"):
        with pytest.raises(OSError):
            root.inner(name)
    root.close()


def test_a_link_to_a_file(tree: Path, opened: Opened) -> None:
    """A link to a file is not opened, and not written through."""
    (tree / "root" / "out").symlink_to(tree / "outside" / "file")
    (tree / "root" / "nowhere").symlink_to(tree / "outside" / "new")
    root = opened(tree / "root")
    for name, flags in (("out", READ), ("out", CREATE), ("nowhere", CREATE)):
        with pytest.raises(OSError):
            root.open(name, flags)
    root.close()
    assert os.listdir(tree / "outside") == ["file"]


@pytest.mark.parametrize(
    "use",
    [
        lambda place: os.close(place.open("file", READ)),
        lambda place: os.close(place.open("new", CREATE)),
        lambda place: place.stat("file"),
        lambda place: place.scan().close(),
        lambda place: place.replace("file", "other"),
        lambda place: place.unlink("file"),
    ],
)
def test_a_folder_that_is_replaced(tree: Path, opened: Opened, use: Callable[[Place], Any]) -> None:
    """A link in place of the folder, made after it was opened, leads nothing out."""
    root = opened(tree / "root")
    inner = root.inner("inner")
    swap(tree)
    if isinstance(inner, ByDescriptor):
        use(inner)
    else:
        with pytest.raises(FileNotFoundError):
            use(inner)
    inner.close()
    root.close()
    assert (tree / "outside" / "file").read_text() == "outside"
    assert os.listdir(tree / "outside") == ["file"]


def test_a_file_that_is_replaced_while_it_is_opened(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By path, a file that is another one after it was opened is closed again."""
    root = ByPath(str(tree / "root" / "inner"))
    real = os.open
    fds: list[int] = []

    def replaced(path: str, flags: int, *args: Any) -> int:
        os.unlink(path)
        os.link(tree / "outside" / "file", path)
        fds.append(real(path, flags, *args))
        return fds[-1]

    monkeypatch.setattr("broker.folders.places.os.open", replaced)
    with pytest.raises(FileNotFoundError):
        root.open("file", READ)
    with pytest.raises(OSError):
        os.fstat(fds[0])


def test_not_a_folder(tree: Path, opened: Opened) -> None:
    """A file is not a folder."""
    with pytest.raises(NotADirectoryError):
        opened(tree / "outside" / "file")
