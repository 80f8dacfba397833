"""The replies that a server keeps: limits, ages, and shares."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.calls.once import OnceCall, OnceKey
from broker.core.wire.msgpack.replies import KeptReply
from broker.errors import ConfigError, ResultLost, ServerBusy, WrongArguments
from broker.replies import KeptReplies, Replies, RepliesToPeer

BUSY = r"^{} replies kept \(replies\.most\)$"


def reply(size: int = 5) -> KeptReply:
    """A reply of so many bytes."""
    return KeptReply(b"\x93\x05", b"x" * size)


class Shelf:
    """The replies of a server, with a clock."""

    def __init__(self, **settings: int):
        self.kept = KeptReplies(Replies(**settings))
        self.now = 1000.0

    def find(
        self,
        number: int,
        settled: int = 0,
        *,
        nonce: str = "n",
        name: Any = "alice",
        method: str = "m",
    ) -> tuple[OnceCall, bool]:
        """Find the call of a key."""
        return self.kept.find(name, OnceKey(nonce, number, settled), method, self.now)

    def run(self, number: int, settled: int = 0, size: int = 5, **kw: Any) -> OnceCall:
        """Run a new call, to its end."""
        call, is_new = self.find(number, settled, **kw)
        assert is_new
        call.end(reply(size), True)
        return call


@pytest.mark.parametrize(
    "given",
    [
        {"seconds": 0},
        {"seconds": 604_801},
        {"seconds": 1.5},
        {"seconds": True},
        {"most": 19},
        {"most": "20"},
        {"size": -1},
        {"each": -1},
        {"each": None},
    ],
)
def test_settings(given: Any) -> None:
    """A setting of another type or out of range is refused."""
    with pytest.raises(ConfigError, match=r"^Replies\("):
        Replies(**given)


def test_the_states_of_a_key() -> None:
    """New, running, with a reply; for the same method only."""
    shelf = Shelf()
    call, is_new = shelf.find(1)
    assert (is_new, call.is_running) == (True, True)
    assert shelf.find(1) == (call, False)
    with pytest.raises(WrongArguments, match=r"^this key was used for another call$"):
        shelf.find(1, method="other")
    call.end(reply(), True)
    assert shelf.find(1) == (call, False)
    assert call.outcome() == reply()
    with pytest.raises(WrongArguments):
        shelf.find(1, method="other")
    assert (shelf.kept.count, shelf.kept.size) == (2, 5)


def test_a_call_that_has_not_run() -> None:
    """Its key is free again."""
    shelf = Shelf()
    call, _ = shelf.find(1)
    call.end(reply(), False)
    assert shelf.kept.count == 1
    again, is_new = shelf.find(1, method="other")
    assert is_new
    assert again is not call


def test_a_reply_without_bytes() -> None:
    """It is lost, and its key stays."""
    shelf = Shelf(each=4)
    shelf.run(1, size=4)
    call = shelf.run(2, size=5)
    assert call.reply is None
    assert shelf.find(2) == (call, False)
    assert shelf.kept.size == 4


def test_acknowledged_replies_go() -> None:
    """With their keys; the numbers are known to have run."""
    shelf = Shelf()
    for number in range(1, 6):
        shelf.run(number)
    assert (shelf.kept.count, shelf.kept.size) == (6, 25)
    shelf.run(9, settled=4)
    assert (shelf.kept.count, shelf.kept.size) == (3, 10)
    for number in range(1, 5):
        with pytest.raises(ResultLost):
            shelf.find(number)
    assert not shelf.find(5)[1]
    # A smaller number later changes nothing.
    with pytest.raises(ResultLost):
        shelf.find(4, settled=1)
    assert shelf.find(6)[1]


def test_an_acknowledged_call_that_runs() -> None:
    """It counts until its end, and then goes."""
    shelf = Shelf()
    call, _ = shelf.find(1)
    with pytest.raises(ResultLost):
        shelf.find(1, settled=1)
    assert shelf.kept.count == 2
    call.end(reply(), True)
    assert (shelf.kept.count, shelf.kept.size) == (1, 0)


def test_a_client_that_has_lost_its_numbers() -> None:
    """A first key that is acknowledged already has run, as far as the server can know."""
    shelf = Shelf()
    with pytest.raises(ResultLost):
        shelf.find(3, settled=3)
    assert (shelf.kept.count, len(shelf.kept._owners)) == (0, 0)
    assert shelf.find(4, settled=3)[1]
    with pytest.raises(ResultLost):
        shelf.find(3)


def test_keys_of_one_avatar() -> None:
    """A tenth of all, with the nonces; younger keys are never forgotten."""
    shelf = Shelf(most=200)
    for number in range(1, 20):
        shelf.run(number)
    shelf.now += 119
    with pytest.raises(ServerBusy, match=BUSY.format(20)) as got:
        shelf.find(20)
    assert (got.value.limit, got.value.most) == ("replies.most", 20)
    with pytest.raises(ServerBusy):
        shelf.find(1, nonce="other")
    assert not shelf.find(1)[1]
    shelf.run(1, name="bob")
    shelf.run(1, name=None)
    shelf.run(20, settled=1)


def test_old_keys_make_place() -> None:
    """A key that is older than the promised time goes when there are too many."""
    shelf = Shelf(most=200)
    for number in range(1, 20):
        shelf.run(number)
    shelf.now += 121
    shelf.run(20)
    assert shelf.kept.count == 2
    # They have run: a repetition that is late does not run.
    for number in range(1, 20):
        with pytest.raises(ResultLost):
            shelf.find(number)


def test_old_keys_stay_while_there_is_place() -> None:
    """So a repetition that was sent in time gets its reply; after twice the time they go."""
    shelf = Shelf()
    first = shelf.run(1)
    shelf.now += 130
    assert shelf.find(1) == (first, False)
    shelf.now += 241
    shelf.run(1, name="bob")
    assert shelf.kept.count == 2
    assert shelf.find(1)[1]


def test_running_calls_do_not_grow_old() -> None:
    """However long a method runs, its key stays."""
    shelf = Shelf(most=200)
    call, _ = shelf.find(1)
    shelf.now += 100_000
    for number in range(2, 20):
        shelf.run(number)
    shelf.now += 1000
    shelf.run(1, name="bob")
    shelf.run(20)
    assert shelf.find(1) == (call, False)
    call.end(reply(), True)
    assert shelf.find(1) == (call, False)


def test_all_keys() -> None:
    """The sum of all avatars has a limit; avatars that are gone make place."""
    shelf = Shelf(most=100)
    for name in range(10):
        for number in range(1, 10):
            shelf.run(number, name=f"user {name}")
    assert shelf.kept.count == 100
    with pytest.raises(ServerBusy, match=BUSY.format(100)):
        shelf.find(1, name="late")
    shelf.now += 100
    for name in range(9):
        assert not shelf.find(1, name=f"user {name}")[1]
    shelf.now += 21
    shelf.run(1, name="late")
    assert shelf.kept.count < 100


def test_bytes_of_one_avatar() -> None:
    """Beyond a tenth of all bytes its oldest replies are lost; those of others stay."""
    shelf = Shelf(size=1000, each=100)
    other = shelf.run(1, 0, 50, name="bob")
    calls = [shelf.run(number, 0, 40) for number in range(1, 6)]
    assert [call.reply is None for call in calls] == [True, True, True, False, False]
    assert other.reply is not None
    assert shelf.kept.size == 130
    assert shelf.kept.count == 8


def test_bytes_of_all_avatars() -> None:
    """Beyond the sum an avatar loses its own replies only."""
    shelf = Shelf(size=1000, each=100)
    calls = [shelf.run(1, 0, 100, name=name) for name in range(10)]
    late = shelf.run(1, 0, 1, name="late")
    assert late.reply is None
    assert all(call.reply is not None for call in calls)
    assert shelf.kept.size == 1000


def test_the_end_of_a_server() -> None:
    """It waits for running calls, and can cancel them."""
    shelf, idle, cancelled = Shelf(), [], []
    shelf.kept.idle().addCallback(idle.append)
    assert idle == [None]
    calls = [shelf.find(number)[0] for number in (1, 2)]
    shelf.kept.idle().addCallback(idle.append)
    calls[0].end(None, True)
    calls[1].cancel = lambda: cancelled.append(2)
    shelf.kept.cancel()
    assert (idle, cancelled) == ([None], [2])
    calls[1].end(None, True)
    assert idle == [None, None]


def test_nothing_is_left() -> None:
    """All counts are 0 again when all keys are old."""
    shelf = Shelf()
    for name in range(5):
        for number in range(1, 5):
            shelf.run(number, name=name, nonce=f"{number % 2}")
    shelf.now += 1000
    for _ in range(5):
        with pytest.raises(ResultLost):
            shelf.find(1, settled=1, name="last")
    assert (shelf.kept.count, shelf.kept.size, len(shelf.kept._owners)) == (0, 0, 0)


def test_peers_without_a_user() -> None:
    """Where peers log in, a peer that is not a user has no keys; elsewhere it is a guest."""
    kept = KeptReplies(Replies())
    key = OnceKey("n", 1, 0)
    assert RepliesToPeer(kept, has_logins=True).find(None, key, "m", 1.0) is None
    found = RepliesToPeer(kept, has_logins=False).find(None, key, "m", 1.0)
    assert found is not None
    assert kept.find(None, key, "m", 1.0) == (found[0], False)
