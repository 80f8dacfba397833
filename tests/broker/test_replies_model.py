"""The replies of a server under any sequence of calls, ends and pauses."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.calls.once import OnceCall, OnceKey
from broker.core.wire.msgpack.replies import KeptReply
from broker.errors import ResultLost, ServerBusy
from broker.replies import KeptReplies, Replies

SETTINGS = Replies(seconds=10, most=40, size=300, each=25)
OWNERS = ["alice", "bob", None, *map(str, range(12))]

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("call"),
            st.sampled_from(OWNERS),
            st.sampled_from("ab"),
            st.integers(1, 6),
            st.integers(0, 7),
        ),
        st.tuples(st.just("end"), st.integers(0, 9), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0, 9.5, 11.0, 25.0])),
    ),
    max_size=120,
)


class Model:
    """What must be true of the replies, whatever happens."""

    def __init__(self) -> None:
        self.kept = KeptReplies(SETTINGS)
        self.now = 0.0
        self.running: list[tuple[Any, OnceCall]] = []
        self.ran: set[Any] = set()
        self.last: dict[Any, float] = {}
        self.settled: dict[Any, int] = {}

    def call(self, owner: str | None, nonce: str, number: int, settled: int) -> None:
        """A key that has run does not run again while its client may repeat it."""
        client = owner, nonce
        pause = self.now - self.last.get(client, self.now)
        try:
            call, is_new = self.kept.find(owner, OnceKey(nonce, number, settled), "m", self.now)
        except ServerBusy:
            return
        except ResultLost:
            self.last[client] = self.now
            return
        if pause > SETTINGS.seconds:
            # The nonce may have been forgotten, and its numbers with it.
            self.ran = {key for key in self.ran if key[:2] != client} if is_new else self.ran
        key = (owner, nonce, number)
        assert not (is_new and key in self.ran)
        assert number > settled
        if is_new:
            assert all(key != other for other, _ in self.running)
            self.running.append((key, call))
        else:
            assert call.is_running or key in self.ran
        self.last[client] = self.now

    def end(self, index: int, size: int, was_run: bool) -> None:
        """Its bytes are kept, lost, or forgotten."""
        if self.running:
            key, call = self.running.pop(index % len(self.running))
            call.end(KeptReply(b"\x93\x05", bytes(size)), was_run)
            if was_run:
                self.ran.add(key)
            assert call.reply is None or size <= SETTINGS.each

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    def check(self) -> None:
        """The counts are right, and nobody has more than a share."""
        owners = list(self.kept._owners.values())
        for owner in owners:
            keys = [key for nonce in owner.nonces.values() for key in nonce.keys.values()]
            assert owner.count == len(keys) + len(owner.nonces) <= SETTINGS.most // 10
            assert owner.size == sum(len(key.call.reply.tail) for key in keys if key.call.reply)
            assert owner.size <= SETTINGS.size // 10
        assert self.kept.count == sum(owner.count for owner in owners) <= SETTINGS.most
        assert self.kept.size == sum(owner.size for owner in owners) <= SETTINGS.size
        assert len(self.kept._running) == len(self.running)
        kept = {id(key.call) for key in self.kept._running}
        assert kept == {id(call) for _, call in self.running}


@given(STEPS)
@settings(deadline=None, max_examples=300)
def test_any_sequence(steps: list[Any]) -> None:
    """No key runs twice, the counts are right, and all have their shares only."""
    model = Model()
    for name, *args in steps:
        getattr(model, name)(*args)
        model.check()
