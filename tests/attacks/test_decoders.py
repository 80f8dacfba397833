"""Decoders, beyond attacks of a few bytes: memory, chunks, and bytes after a fault."""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attacks.attacker import NOTHING, POLICIES, Speaker, Target, Victim, binds, cost, taming
from attacks.catalogue import a_frame, a_list, a_string, bomb, nested

import broker
from broker.core.policy import STRICT
from broker.core.wire.messages import GraphAnswer, GraphError
from broker.net.tls.settings import TLS
from jelly.limits import Limits

MIB = 1 << 20
HOUSE = Path(__file__).parents[2]


def announced_frame() -> bytes:
    """The beginning of the largest frame."""
    return (16 * MIB).to_bytes(4, "big")


TOO_MUCH = {
    "strings": (
        "pb",
        lambda: a_list(200) + (a_string(150_000) + bytes(150_000)) * 3,
        "expression larger than 400000 bytes (max_expression)",
    ),
    "empty lists": (
        "pb",
        lambda: a_list(1_000) + (a_list(1_100) + b"\x80" * 1_100) * 25,
        "expression of more than 25000 nodes (max_nodes)",
    ),
    "a frame of empty lists": (
        "msgpack/1",
        lambda: a_frame(b"\x97\x07\x05\x01\x00\xa0\xdd\x00\x00\x7f\xff" + b"\x90" * 0x7FFF),
        "expression of more than 25000 nodes (max_nodes)",
    ),
}


@binds("A3", dialects=())
@pytest.mark.parametrize("name", TOO_MUCH)
def test_memory_of_a_large_total(name: str, policy: str, caplog: pytest.LogCaptureFixture) -> None:
    """A total over the limit is refused before it costs ten times the limit, and leaves no memory.

    The limits are a fortieth of the real ones, which are 16 MiB and a million nodes: it is faster.
    """
    dialect, make, text = TOO_MUCH[name]
    limits = Limits(max_expression=400_000, max_nodes=25_000)
    victim, data = Victim(dialect, POLICIES[policy].but(limits=limits)), make()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        with taming(caplog) as lines:
            victim.hear(data, 64 * 1024)
        assert victim.is_dead
        # A server also forgets a closed connection.
        del victim
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert lines == [f"closed PEER: {text}"]
    assert peak - before <= 4_000_000
    assert after - before <= 200_000


@binds("A3", "A4", dialects=())
@pytest.mark.parametrize(
    ("dialect", "head"),
    [("pb", a_list(655_360)), ("pb", a_string(655_360)), ("msgpack/1", announced_frame())],
)
def test_nothing_is_kept_for_what_is_announced(dialect: str, head: bytes, policy: str) -> None:
    """An announced size takes no memory until its bytes arrive."""
    victim = Victim(dialect, policy)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        victim.hear(head)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 20_000
    assert not victim.is_dead
    victim.end()


@binds("A3", dialects=())
@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
def test_tiny_pieces_take_no_more_than_they_are(dialect: str, policy: str) -> None:
    """A large message that arrives two bytes at a time takes a few times its size."""
    victim = Victim(dialect, policy)
    size = 500_000
    head = a_string(size) if dialect == "pb" else size.to_bytes(4, "big")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        victim.broker.dataReceived(head)
        for number in range(10_000):
            victim.broker.dataReceived(number.to_bytes(3, "big")[1:])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= 200_000
    victim.end()


def many_ints(speaker: Speaker, count: int) -> bytes:
    """A call with a list of ints, which is received and kept."""
    return speaker.call([b"list", *range(count)], name=b"keep")


@binds("A4")
@pytest.mark.parametrize("chunk", [1, 1448, 65536])
def test_chunks_change_nothing(policy: str, dialect: str, chunk: int) -> None:
    """Bytes in any pieces give the same result, for at most a few times the time of one piece."""
    speaker = Speaker(dialect)
    size = 2_000 if chunk == 1 else 50_000
    data = many_ints(speaker, size)
    target = Target()
    victim = Victim(dialect, policy, target)
    victim.hear(data, chunk)
    assert target.kept == list(range(size))
    victim.end()
    if chunk > 1:
        whole = cost(lambda other: other.hear(data), lambda: Victim(dialect, policy))
        pieces = cost(lambda other: other.hear(data, chunk), lambda: Victim(dialect, policy))
        assert pieces <= 2 * whole + 0.01


@binds("A4")
def test_the_work_is_linear(policy: str, dialect: str) -> None:
    """Eight times the bytes take eight times as long, or little more; never sixty-four times."""
    data = [many_ints(Speaker(dialect), count) for count in (12_500, 100_000)]
    # Python's garbage collector scans young lists repeatedly, and more often if there are more.
    gc.disable()
    try:
        once, eight = (
            cost(lambda other, d=d: other.hear(d, 64 * 1024), lambda: Victim(dialect, policy))
            for d in data
        )
    finally:
        gc.enable()
    assert eight <= 16 * once + 0.005


@binds("A4", dialects=("pb",))
def test_a_string_byte_by_byte(policy: str, dialect: str) -> None:
    """The largest string in pieces of a byte costs less than 2 µs each, also near its end."""
    victim = Victim(dialect, policy)
    victim.hear(a_string(655_360) + bytes(600_000))
    seconds = cost(lambda other: other.hear(bytes(5_000), 1), lambda: victim, 1)
    assert seconds <= 5_000 * 10e-6
    victim.end()


@binds("A2", dialects=("pb",))
def test_the_deepest_that_is_allowed(policy: str, dialect: str) -> None:
    """A value as deep as the limit is accepted by every layer, whatever Python's own limit is."""
    target = Target()
    victim = Victim(dialect, policy, target)
    victim.hear(victim.speaker.call(nested(96), name=b"keep"))
    value, depth = target.kept, 0
    while value:
        (value,), depth = value, depth + 1
    assert depth == 96
    assert [type(m) for m in victim.speaker.read(victim.said)[1:]] == [GraphAnswer]
    victim.end()


@binds("A5", policies=(), dialects=())
def test_no_table_grows_by_what_a_peer_says() -> None:
    """The vocabulary is fixed: a peer's word never becomes a number."""
    victim = Victim("pb")
    for number in range(100):
        victim.hear(victim.speaker.call(name=b"name%d" % number, number=number + 1))
    reader = victim.broker.session.inbox.read.__self__._reader
    assert len(reader._words) == 31
    victim.end()


@binds("A10", "A11", "A12", "A15")
def test_what_is_harmless_still_comes_in(policy: str, dialect: str) -> None:
    """Shared parts within max_expanded, cycles and tuples as keys are ordinary values."""
    target = Target()
    victim = Victim(dialect, policy, target)
    speaker = victim.speaker
    cycle = [b"reference", 1, [b"list", [b"dereference", 1]]]
    keys = [b"dictionary", *([[b"tuple", n, n + 1], n] for n in range(2_000))]
    for number, value in enumerate((bomb(16), cycle, keys), 1):
        victim.hear(speaker.call(value, name=b"keep", number=number))
        assert type(speaker.read(victim.said)[-1]) is GraphAnswer
    assert target.kept == {(n, n + 1): n for n in range(2_000)}
    victim.end()


@binds("A13")
def test_decimals_that_are_taken_are_cheap(policy: str, dialect: str) -> None:
    """The largest accepted Decimal becomes an int quickly."""
    target = Target()
    victim = Victim(dialect, policy, target)
    victim.hear(victim.speaker.call([b"decimal", 1, 6_144], name=b"keep"))
    assert target.kept == Decimal("1E+6144")
    assert cost(int, lambda: target.kept) < 0.01
    victim.end()


@binds("A14")
def test_too_many_objects_go_out(policy: str, dialect: str) -> None:
    """A method that returns more objects than a peer may hold fails that call only."""

    class Generous(Target):
        """Has many objects."""

        def remote_all(self) -> list[Any]:
            """Return more objects than allowed."""
            return [broker.Referenceable() for _ in range(most + 1)]

    victim = Victim(dialect, policy, Generous())
    most = victim.broker.policy.max_refs
    victim.hear(victim.speaker.call(name=b"all"))
    assert type(victim.speaker.read(victim.said)[-1]) is GraphError
    assert not victim.is_dead
    assert len(victim.broker.session.translator.exports) == 0
    victim.hear(victim.speaker.call(1, number=2))
    assert type(victim.speaker.read(victim.said)[-1]) is GraphAnswer
    victim.end()


@binds("A16", policies=(), dialects=())
def test_nothing_is_compressed() -> None:
    """No dialect compresses, and TLS does not either, so there is no decompression bomb."""
    for package in ("broker", "cred", "jelly"):
        for path in (HOUSE / package).rglob("*.py"):
            text = path.read_text("utf-8")
            assert not re.search(r"\b(zlib|gzip|bz2|lzma|zstd)\b", text), path
    assert "compression" in (TLS.__doc__ or "")


@binds("A17")
@pytest.mark.parametrize("rest", [b"\x80" * 1_000, b"\x01" * 100_000])
def test_nothing_after_a_fault_is_parsed(
    policy: str, dialect: str, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages before a fault are handled; bytes after it are not even read."""
    target = Target()
    victim = Victim(dialect, policy, target)
    speaker = victim.speaker
    fault = b"\x90" if dialect == "pb" else b"\xff\xff\xff\xff"
    with taming(caplog) as lines:
        victim.hear(
            speaker.call(1, name=b"keep") + fault + speaker.call(2, name=b"keep", number=2) + rest
        )
        victim.broker.dataReceived(rest)
    assert target.kept == 1
    assert len(lines) == 1
    with pytest.raises(RuntimeError, match=r"^decoder already failed$"):
        victim.broker.session.inbox.read(speaker.call(3), deque(), -1)


@binds("A17")
def test_a_reader_that_failed_is_dead(policy: str, dialect: str) -> None:
    """After an error a reader returns nothing more, whatever bytes it gets."""
    speaker = Speaker(dialect)
    reader: Any = speaker.dialect.reader(STRICT.limits)
    with pytest.raises(broker.ProtocolError):
        reader.receive(b"\x90" if dialect == "pb" else b"\xff\xff\xff\xff", [])
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^decoder already failed$"):
            reader.receive(speaker.call(1), [])


@binds("A7")
@pytest.mark.parametrize(
    "make",
    [
        lambda s: s.message(b"message", -1, b"root", b"echo", 1, [b"tuple"], NOTHING),
        lambda s: s.message(b"message", 1 << 63, b"root", b"echo", 1, [b"tuple"], NOTHING),
        lambda s: s.message(b"message", 1, b"root", b"x" * 129, 1, [b"tuple"], NOTHING),
        lambda s: s.message(b"message", 1, -1, b"echo", 1, [b"tuple"], NOTHING),
        lambda s: s.message(b"message", 1, b"r" * 2_000, b"echo", 1, [b"tuple"], NOTHING),
        lambda s: s.message(b"decref", -5) if s.name == "pb" else s.message(b"decref", -5, 1),
        lambda s: s.message(b"answer", -1, 1),
    ],
)
def test_fields_that_do_not_fit(
    make: Callable[[Speaker], bytes], policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each field is checked before any lookup: a wrong one ends the connection with one line."""
    victim = Victim(dialect, policy)
    with taming(caplog) as lines:
        victim.hear(make(victim.speaker))
    (line,) = lines
    assert line.startswith("closed PEER: malformed message: ")
    assert victim.is_dead


@binds("A7")
@pytest.mark.parametrize(
    "kw",
    [
        [b"dictionary", [1, 2]],
        [b"dictionary", [[b"unicode", b"not a name"], 2]],
        [b"dictionary", [[b"unicode", b"x" * 129], 2]],
        [b"list"],
        5,
    ],
)
def test_keywords_that_are_no_names(
    kw: Any, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Keywords are a dict of names; others fail that call."""
    victim = Victim(dialect, policy)
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call(1, kw=kw))
    (line,) = lines
    assert line.startswith("PEER: WrongArguments: ")
    assert not victim.is_dead
    assert type(victim.speaker.read(victim.said)[-1]) is GraphError
    victim.end()
