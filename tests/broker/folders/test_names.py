"""Names of peers: those that could lead out of a folder, or mean something else, are refused."""

from __future__ import annotations

import os.path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import FileRefused
from broker.folders.names import is_servable, parts_of

GOOD = ["a", "a/b", "a b.txt", "über/été", "a..b", "~", "-rf", "$HOME", "a" * 255, "nullable"]
BAD = [
    *("", "/", "/etc/passwd", "//host/share", "a//b", "a/", "/a"),
    *(".", "..", "../a", "a/..", "a/../b", "./a", "a/./b", ".a", "a/.b", "...", "a/..."),
    *("..\\a", "a\\b", "\\\\host\\share", "C:", "C:\\a", "C:/a", "a:stream", "file:///etc"),
    *("a\x00", "\x00", "a\x00/../b", "a\nb", "a\x1b[2J", "a\x7f", "a\x9b", "a\u2028b", "\ud800"),
    *("a.", "a ", "a/b.", " ", "a /b"),
    *("CON", "nul", "Aux.txt", "a/com1", "LPT9.log", "con .txt", "CONIN$", "com¹"),
    *("a" * 256, "é" * 128, "/".join("a" * 33), "a/" * 2_500 + "a"),
]


@pytest.mark.parametrize("name", GOOD)
def test_a_name(name: str) -> None:
    """A relative name is split into its parts."""
    assert "/".join(parts_of(name)) == name


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_refused(name: str) -> None:
    """Other names are refused, with a text that does not repeat them."""
    with pytest.raises(FileRefused) as caught:
        parts_of(name)
    assert len(name.strip("./\\: ")) < 3 or name not in str(caught.value)


@pytest.mark.parametrize("name", [None, 1, b"a", ["a"], ("a", "b"), object()])
def test_a_name_is_text(name: object) -> None:
    """Anything but a str is refused."""
    with pytest.raises(FileRefused, match="a name must be a str"):
        parts_of(name)


def test_a_subclass_of_str() -> None:
    """A subclass, whose methods may lie, is refused."""

    class Name(str):
        """Splits into something else."""

        def split(self, *args: object) -> list[str]:  # type: ignore[override]
            """Lead out."""
            return [".."]

    with pytest.raises(FileRefused):
        parts_of(Name("a"))


HOSTILE = st.text(st.sampled_from("ab./\\:\x00~\n CON\u202e\ud800*"), max_size=12)


@given(st.one_of(HOSTILE, st.text(max_size=40)))
def test_any_name(name: str) -> None:
    """Any text is refused, or leads to a place below the folder, on each system."""
    try:
        parts = parts_of(name)
    except FileRefused:
        return
    assert parts
    assert all(is_servable(part) for part in parts)
    for system in (os.path, __import__("ntpath"), __import__("posixpath")):
        root = "C:\\root" if system.__name__ == "ntpath" else "/root"
        path = system.normpath(system.join(root, name))
        assert path.startswith(root + system.sep)
        assert path[len(root) + 1 :].split(system.sep) == list(parts)
