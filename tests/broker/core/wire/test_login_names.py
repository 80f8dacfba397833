"""The names of logins in a server's offer: one string of 256 bytes, written and read."""

from __future__ import annotations

import pytest

from broker.core.wire.login_names import LONGEST, read_names, write_names
from broker.login.mechanisms import MECHANISMS
from jelly.errors import ProtocolError

ALL = [mechanism.name for mechanism in MECHANISMS.rows]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], b"login"),
        (["anonymous"], b"login anonymous"),
        (["SCRAM-SHA-256", "token", "password"], b"login SCRAM-SHA-256 token password"),
    ],
)
def test_one_string(names: list[str], text: bytes) -> None:
    """The word and the names, strongest first, with a space before each; read back as they were."""
    assert write_names(tuple(names)) == text
    assert read_names([b"pb", b"none", text]) == tuple(names)
    assert read_names([text, b"pb"]) == tuple(names)


def test_all_that_there_are() -> None:
    """The names of all mechanisms fit, and none has what would make two of it."""
    assert read_names([write_names(tuple(ALL))]) == tuple(ALL)


def test_the_weakest_are_left_out() -> None:
    """What does not fit into 256 bytes is left out from the end."""
    names = [f"way-{number:03}" for number in range(100)]
    text = write_names(tuple(names))
    assert LONGEST - 8 < len(text) <= LONGEST
    assert read_names([text]) == tuple(names[: text.count(b" ")])


@pytest.mark.parametrize("offer", [[], [b"pb", b"none"], [b"logins"], [b"LOGIN x"], [b" login x"]])
def test_no_names(offer: list[bytes]) -> None:
    """An offer without the string names no logins, which is another thing than none."""
    assert read_names(offer) is None


@pytest.mark.parametrize(
    ("offer", "told"),
    [
        ([b"login a", b"pb", b"login b"], "the offer names the logins 2 times"),
        ([b"login", b"login"], "the offer names the logins 2 times"),
        ([b"login " + b"a" * 251], "the logins of the offer have 257 bytes, of 256"),
        ([b"login " + b"x " * 500], "the logins of the offer have 1006 bytes, of 256"),
        ([b"login pass\xc3\xa9"], "the logins of the offer are not ASCII"),
        ([b"login \xff"], "the logins of the offer are not ASCII"),
    ],
)
def test_what_cannot_be_read(offer: list[bytes], told: str) -> None:
    """A second string, a long one and one that is not ASCII are refused; none is half read."""
    with pytest.raises(ProtocolError) as caught:
        read_names(offer)
    assert str(caught.value) == told


def test_the_longest_that_is_read() -> None:
    """A string of exactly 256 bytes is read, and so are names that are empty or come twice."""
    text = b"login " + b"a" * 250
    assert read_names([text]) == ("a" * 250,)
    assert read_names([b"login a  a "]) == ("a", "", "a", "")
