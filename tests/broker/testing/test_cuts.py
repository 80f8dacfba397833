"""every_cut: a test with each cut that its connection can have."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import Any

import pytest
from support.club import DIALECTS, Club, Member, club_portal

import broker
from broker.testing.connected_pair import Pair, Pairing, pair
from broker.testing.cuts import every_cut


class Program:
    """Makes a pair for each run, and keeps their clubs."""

    def __init__(self, dialect: str = "msgpack/1"):
        self.dialect = dialect
        self.clubs: list[Club] = []

    def __call__(self) -> Pairing:
        """Make a pair."""
        self.clubs.append(Club())
        return pair(self.clubs[-1], dialect=self.dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_cut_at_each_byte(dialect: str) -> None:
    """The test runs whole, and then once for each byte; what was paid is all or nothing."""
    program = Program(dialect)
    sizes: list[int] = []
    seen: list[int] = []
    answered: list[bool] = []

    @every_cut(program)
    async def pays(pair: Pair) -> None:
        answered.append(False)
        with contextlib.suppress(broker.Disconnected):
            assert await pair.client.root.callRemote("pay", 5) == 5
            answered[-1] = True
        seen.append(program.clubs[-1].total)
        sizes.append(pair.network.carried)

    await pays()
    assert len(program.clubs) == sizes[0] + 2
    assert set(seen) == {0, 5}
    # The first run, and that with the cut behind the last byte.
    assert answered.count(True) == 2
    assert max(sizes) == sizes[0]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_login(dialect: str) -> None:
    """The cuts begin with the handshake; each avatar that was made logs out once."""
    members: list[Member] = []
    runs: list[int] = []

    def program() -> Pairing:
        return pair(club_portal(members), user="bob", dialect=dialect)

    @every_cut(program)
    async def asks(pair: Pair) -> None:
        runs.append(pair.network.carried)
        await pair.client.avatar.callRemote("whoami")

    await asks()
    assert 2 < len(runs) < runs[0]
    assert len(members) > len(runs)
    assert {member.logouts for member in members} == {1}


async def test_frames() -> None:
    """Cuts between messages only are far fewer, and have no size limit."""
    program = Program()

    @every_cut(program, frames=True)
    async def echoes(pair: Pair) -> None:
        await pair.client.root.callRemote("echo", "x" * 20_000)

    await echoes()
    # Before the first of 6 messages, and behind each; and the whole run.
    assert len(program.clubs) == 8


async def test_a_long_program_is_refused() -> None:
    """More than 20,000 bytes are refused, with the fix."""

    @every_cut(Program())
    async def echoes(pair: Pair) -> None:
        await pair.client.root.callRemote("echo", "x" * 20_000)

    with pytest.raises(ValueError, match=r"^4\d{4} bytes: cut it at frames \(frames=True\)$"):
        await echoes()


@pytest.mark.parametrize("wrong", [0, 5])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_failure_in_each_frame(dialect: str, wrong: int) -> None:
    """A wrong belief about a lost call is found, whether the call or its answer was cut."""
    program = Program(dialect)

    @every_cut(program)
    async def pays(pair: Pair) -> None:
        with contextlib.suppress(broker.Disconnected):
            await pair.client.root.callRemote("pay", 5)
            return
        assert program.clubs[-1].total != wrong, "money is lost"

    with pytest.raises(AssertionError) as seen:
        await pays()
    text = str(seen.value)
    assert text.startswith("cut after ")
    assert ": AssertionError: money is lost" in text
    assert "\nthe conversation:\n" in text
    assert text.endswith("client: call 1 root.pay(5)") == (wrong == 5)
    assert isinstance(seen.value.__cause__, AssertionError)


async def test_the_message_is_named() -> None:
    """The text says in which message the byte is."""
    program = Program()

    @every_cut(program)
    async def pays(pair: Pair) -> None:
        with contextlib.suppress(broker.Disconnected):
            await pair.client.root.callRemote("pay", 5)
            return
        assert not program.clubs[-1].total

    with pytest.raises(AssertionError) as seen:
        await pays()
    assert "behind 'client: call 1 root.pay(5)'" in str(seen.value)


async def test_other_errors_fail() -> None:
    """An error that is not a Disconnected is a failure, and so is one of the whole run."""

    @every_cut(Program())
    async def breaks_when_cut(pair: Pair) -> None:
        try:
            await pair.client.root.callRemote("pay", 5)
        except broker.Disconnected:
            raise KeyError("planted") from None

    with pytest.raises(AssertionError, match="KeyError: 'planted'"):
        await breaks_when_cut()

    @every_cut(Program())
    async def breaks(pair: Pair) -> None:
        raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        await breaks()


async def test_a_run_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits without an end fails after its time."""
    monkeypatch.setattr("broker.testing.cuts._PATIENCE", 0.2)

    @every_cut(Program())
    async def hangs_when_cut(pair: Pair) -> None:
        with contextlib.suppress(broker.Disconnected):
            await pair.client.root.callRemote("pay", 5)
            return
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match=r"TimeoutError in 0\.2 s"):
        await hangs_when_cut()


async def test_other_arguments() -> None:
    """The decorated test takes the arguments behind the pair, such as fixtures."""
    seen: set[Any] = set()

    @every_cut(Program())
    async def takes(pair: Pair, tmp_path: str, *, other: int = 1) -> None:
        """Is documented."""
        seen.add((tmp_path, other))

    assert list(inspect.signature(takes).parameters) == ["tmp_path", "other"]
    assert takes.__doc__ == "Is documented."
    await takes("here", other=2)
    assert seen == {("here", 2)}


def test_misuse() -> None:
    """A decorator without a function that makes pairs, and a plain test, are refused."""

    async def takes(pair: Pair) -> None:
        raise KeyError

    with pytest.raises(TypeError, match="a function that makes a pair"):
        every_cut(takes)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="for an async def"):
        every_cut(Program())(lambda pair: None)  # type: ignore[arg-type,return-value]
