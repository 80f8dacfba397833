"""The pages for a reader of msgpack/1: the opening, the faults and the names of errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vectors import notation
from vectors.msgpack_served import surroundings
from vectors.record_msgpack import Server

import broker.errors
import broker.login.errors
from broker.failure import qual
from cred import error as cred_errors
from jelly.registry import defaults

WIRE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "wire"
FATES = {case["name"]: case["fate"] for case in notation.load("msgpack")}


@pytest.fixture(autouse=True, scope="module")
def served() -> Iterator[None]:
    """Serve what the vectors are about."""
    with surroundings():
        yield


def table(page: str, head: str) -> list[list[str]]:
    """The cells of the rows of the table that begins with this head."""
    lines = (WIRE / page).read_text("utf-8").splitlines()
    rows = []
    for line in lines[lines.index(head) + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line[1:-1].split("|")])
    return rows


def codes(cell: str) -> list[str]:
    """What a cell has in code."""
    return re.findall(r"`([^`]+)`", cell)


def cited(cell: str) -> list[str]:
    """The vectors that a cell names."""
    names = re.findall(r"\*\(?([^*]+?)\)?\*", cell)
    return [part.split(":")[0].strip() for text in names for part in text.split(",")]


def test_the_opening() -> None:
    """A server answers the client's bytes on the page with the server's bytes on the page."""
    rows = table("msgpack.md", "| from | bytes | meaning |")
    server = Server("opening")
    expected = {"client": b"", "server": b""}
    for side, data, _ in rows:
        expected[side] += bytes.fromhex(codes(data)[0])
    said = server.transport.take()
    for side, data, _ in rows:
        if side == "client":
            said += server.hear(bytes.fromhex(codes(data)[0]))
    assert len(rows) == 11
    # The server's version leaves with the choice: each side has its own order.
    assert said == expected["server"]
    server.end()


def test_the_examples() -> None:
    """Each frame of the last table is as long as it says."""
    for _, data in table("msgpack.md", "| message | frame |"):
        frame = bytes.fromhex("".join(codes(data)))
        assert int.from_bytes(frame[:4], "big") == len(frame) - 4


@pytest.mark.parametrize("row", table("msgpack.md", "| fault | error | vectors |"))
def test_faults_of_calls(row: list[str]) -> None:
    """The vectors of a fault fail their call with this error."""
    _, error, vectors = row
    assert cited(vectors)
    for name in cited(vectors):
        assert FATES[name].startswith("call: ")
        assert FATES[name].split(": ")[1].rpartition(".")[2] == codes(error)[0]


@pytest.mark.parametrize("row", table("msgpack.md", "| fault | text |"))
def test_faults_of_connections(row: list[str]) -> None:
    """The vectors of a fault end the connection, and one of them does so with the text."""
    fault, text = row
    fates = [FATES[name] for name in cited(fault)]
    assert all(fate.startswith("connection: ") for fate in fates)
    assert fates or codes(text) == ["malformed message: …"]
    if fates:
        assert {f"connection: {each}" for each in codes(text)} <= set(fates)


NAMES = {
    name
    for row in table(
        "messages.md", "| what happened | a Twisted peer sends | this library sends | vector |"
    )
    for name in codes(row[1] if row[2] == "the same" else row[2])
    if re.fullmatch(r"\w+(\.\w+)+", name)
}
OURS = {
    name
    for name, cls in defaults.declared.errors.items()
    if cls.__module__ in ("broker.errors", "jelly.errors", "cred.error")
}


def test_every_registered_error_is_named() -> None:
    """The table has the name of each error that this library registers, and no other."""
    named = {*OURS, qual(broker.errors.RemoteError)}
    assert named == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_names_are_those_of_classes(name: str) -> None:
    """A name stands for the class that has it in Python, or has had it in Twisted."""
    cls: Any = defaults.declared.errors.get(name, broker.errors.RemoteError)
    assert qual(cls) == name
    known = vars(broker.errors) | vars(cred_errors)
    assert known[name.rpartition(".")[2]] is cls
