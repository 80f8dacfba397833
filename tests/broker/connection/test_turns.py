"""Turns: the connections of a server share the time of a turn, and are served in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.memory import BrokerPair, ManualScheduler

from broker.connection.turns import Turns
from broker.core.policy import STRICT
from broker.flavors.referenceable import Root
from broker.net.scheduler import ImmediateScheduler

TIME = 0.005
COST = 0.0001
LEAST = 0.0002


class Busy:
    """A connection that always has more to do.

    Args:
        turns, scheduler: of its server.
        served: where it notes its name when it is served from the queue.
        name: that name.
        left: messages that it has; for ever unless given.
    """

    def __init__(
        self,
        turns: Turns,
        scheduler: ManualScheduler,
        served: list[Any],
        name: Any,
        left: float = float("inf"),
    ):
        self.turns = turns
        self.scheduler = scheduler
        self.served = served
        self.name = name
        self.left = left

    def handle(self) -> None:
        """Handle one message."""
        self.scheduler.clock += COST
        self.left -= 1

    def receive(self) -> None:
        """Handle one message, more while there is time, and leave the rest for later."""
        self.handle()
        ends = self.turns.deadline(self.scheduler)
        while self.left and self.scheduler.now() < ends:
            self.handle()
        if self.left:
            self.turns.ask(self.scheduler, self.serve)

    def serve(self) -> None:
        """Do so when served from the queue."""
        self.served.append(self.name)
        self.receive()


class Server:
    """Turns over a manual scheduler."""

    def __init__(self) -> None:
        self.scheduler = ManualScheduler()
        self.turns = Turns(TIME)
        self.served: list[Any] = []

    def busy(self, name: Any, left: float = float("inf")) -> Busy:
        """Return a connection."""
        return Busy(self.turns, self.scheduler, self.served, name, left)

    def timed(self, act: Callable[[], object]) -> float:
        """Return how long something takes."""
        before = self.scheduler.clock
        act()
        return self.scheduler.clock - before


@pytest.mark.parametrize("count", [1, 2, 10, 200])
def test_the_connections_share_a_turn(count: int) -> None:
    """However many receive in one turn, they take its time together, and a message each."""
    server = Server()
    connections = [server.busy(number) for number in range(count)]
    taken = server.timed(lambda: [one.receive() for one in connections])
    # All but those among whom the time was used handle the one message of theirs.
    assert taken >= TIME - COST / 2
    assert taken <= TIME + count * COST + COST


@pytest.mark.parametrize("count", [1, 2, 10, 200])
def test_the_queue_takes_a_turns_time(count: int) -> None:
    """The queue takes about the time of a turn, too, however many wait in it."""
    server = Server()
    for number in range(count):
        server.busy(number).receive()
    for _ in range(50):
        taken = server.timed(server.scheduler.step)
        # The last may begin just before the end.
        assert TIME * 0.9 <= taken <= TIME + max(TIME / count, LEAST) + 2 * COST


@pytest.mark.parametrize("count", [2, 10, 200])
def test_all_are_served_equally(count: int) -> None:
    """In the long run each connection is served as often as any other, in the same order."""
    server = Server()
    for number in range(count):
        server.busy(number).receive()
    while len(server.served) < 5 * count:
        server.scheduler.step()
    rounds = [server.served[begin : begin + count] for begin in range(0, 5 * count, count)]
    assert rounds == [list(range(count))] * 5


def test_a_newcomer_is_handled_at_once() -> None:
    """Its first message waits for no turn, while two hundred others wait in the queue."""
    server = Server()
    for number in range(200):
        server.busy(number).receive()
    server.scheduler.step()
    newcomer = server.busy("new", left=1)
    taken = server.timed(newcomer.receive)
    assert newcomer.left == 0
    assert taken == pytest.approx(COST)
    assert "new" not in server.served


def test_one_that_asks_again_goes_to_the_end() -> None:
    """Whoever has been served and has more waits behind all that wait already."""
    server = Server()
    for name in "abc":
        server.turns.ask(server.scheduler, server.busy(name, left=100).serve)
    server.scheduler.step()
    first = list(server.served)
    server.turns.ask(server.scheduler, server.busy("d", left=1).serve)
    server.scheduler.run()
    assert first == ["a", "b", "c"]
    assert server.served[3:7] == ["a", "b", "c", "d"]


def test_each_is_served_once_a_turn() -> None:
    """Where time is left, those that ask again meanwhile still wait for the next turn."""
    server = Server()

    def again() -> None:
        server.served.append("again")
        server.turns.ask(server.scheduler, again)

    server.turns.ask(server.scheduler, again)
    for turn in range(1, 6):
        server.scheduler.step()
        assert len(server.served) == turn


def test_the_queue_goes_on_behind_a_fault() -> None:
    """What one connection raises passes, and the others are served in the next turn."""
    server = Server()

    def fail() -> None:
        raise ValueError("wrong")

    server.turns.ask(server.scheduler, fail)
    server.turns.ask(server.scheduler, server.busy("next", left=1).serve)
    with pytest.raises(ValueError, match="wrong"):
        server.scheduler.step()
    assert server.served == []
    server.scheduler.run()
    assert server.served == ["next"]


def test_a_quiet_queue_asks_for_no_turns() -> None:
    """Once nobody waits, the loop is left alone; who asks then is served in the next turn."""
    server = Server()
    for _ in range(2):
        server.turns.ask(server.scheduler, server.busy("x", left=1).serve)
        assert server.scheduler.step()
        assert not server.scheduler.step()
    assert server.served == ["x", "x"]


def test_the_next_turn_has_its_own_time() -> None:
    """A turn's deadline is one for all that receive in it; the next turn has another."""
    server = Server()
    turns, scheduler = server.turns, server.scheduler
    assert turns.deadline(scheduler) == TIME
    scheduler.clock = 0.003
    assert turns.deadline(scheduler) == TIME
    scheduler.clock = 1.0
    assert turns.deadline(scheduler) == TIME
    scheduler.run()
    assert turns.deadline(scheduler) == 1.0 + TIME


@pytest.mark.parametrize(
    ("waiting", "share"), [(1, TIME), (5, TIME / 5), (25, LEAST), (1000, LEAST)]
)
def test_the_share_of_one(waiting: int, share: float) -> None:
    """The time is divided by those that wait, down to a least share."""
    server = Server()
    shares: list[float] = []

    def look() -> None:
        shares.append(server.turns.deadline(server.scheduler) - server.scheduler.now())

    for _ in range(waiting):
        server.turns.ask(server.scheduler, look)
    server.scheduler.step()
    assert shares == [pytest.approx(share)] * waiting


def test_without_turns_of_a_loop() -> None:
    """Where soon is now, each connection has a turn's time for itself."""
    scheduler = ImmediateScheduler()
    turns = Turns(TIME)
    for _ in range(3):
        before = scheduler.now()
        assert before + TIME <= turns.deadline(scheduler) <= scheduler.now() + TIME
    done: list[int] = []
    turns.ask(scheduler, lambda: done.append(1))
    assert done == [1]


class Counter(Root):
    """Takes time for each call.

    Attributes:
        log: whose calls were made.
    """

    def __init__(self, scheduler: ManualScheduler):
        self.scheduler = scheduler
        self.log: list[Any] = []

    def remote_count(self, name: Any) -> None:
        """Take time, and note whose call it is."""
        self.scheduler.clock += COST
        self.log.append(name)


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
def test_brokers_of_one_server(dialect: str) -> None:
    """200 busy connections take turns; a newcomer's first call is made as soon as it comes."""
    scheduler = ManualScheduler()
    root = Counter(scheduler)
    turns = Turns(STRICT.turn_time)

    def connect() -> BrokerPair:
        policy = STRICT.but(dialects=(dialect,))
        pair = BrokerPair(root, policy=policy, scheduler=scheduler)
        pair.server.pump.turns = turns
        return pair

    pairs = [connect() for _ in range(200)]
    newcomer = connect()
    scheduler.run()
    for number, pair in enumerate(pairs):
        for _ in range(20):
            pair.root.callRemote("count", number).addErrback(lambda _: None)
    newcomer.root.callRemote("count", "new").addErrback(lambda _: None)
    scheduler.run()
    before = scheduler.clock
    for pair in pairs:
        pair.server.dataReceived(pair.transport(pair.client).take())
    # One call each, and what is left of the slice in which the time was up.
    assert scheduler.clock - before <= STRICT.turn_time + 210 * COST
    assert set(root.log) == set(range(200))
    newcomer.server.dataReceived(newcomer.transport(newcomer.client).take())
    assert root.log[-1] == "new"
    while len(root.log) < 4001:
        before = scheduler.clock
        assert scheduler.step()
        # A slice that has begun is finished: each is at most as long as all before it.
        assert scheduler.clock - before <= 2 * STRICT.turn_time
    assert [root.log.count(number) for number in range(200)] == [20] * 200
