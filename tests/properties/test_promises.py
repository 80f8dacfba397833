"""Random programs of calls on promises, against a model that knows what each call must come to.

A program makes promises, calls on them, on their elements and on their references, passes them as
arguments, cancels calls, opens the gates of methods, stalls the network and lets turns pass. Calls
that are made through one promise, and then through its reference, start in the order in which they
were made (E-order); each ends as the model says; nothing hangs, and nothing remains.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import pb, testing
from broker.connection.promises.path import Path
from broker.core.calls import answering, remembered
from broker.core.inbox import Inbox
from broker.defer import CancelledError
from broker.errors import BrokenPromise, Error

Step = tuple[int, int, int]
NUMBERS = st.integers(0, 999)
PROGRAMS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=5, max_size=60)
KINDS = ["there", "other", "home", "new", "value", "fail", "list", "masked", "home list"]


class Thing(pb.Referenceable):
    """Notes the labels of its calls, when they start."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    def remote_plain(self, label: Any) -> Any:
        """Start at once."""
        self.started.append(label)
        return label

    async def remote_task(self, label: Any) -> Any:
        """Start as a task."""
        self.started.append(label)
        await asyncio.sleep(0)
        return label

    def remote_same(self, label: Any) -> Thing:
        """Return this object."""
        self.started.append(label)
        return self

    def remote_take(self, label: Any, other: Any) -> Any:
        """Take another object."""
        self.started.append(label)
        return label


class Masked(Thing):
    """Is sent as another object."""

    def __init__(self, shown: Thing) -> None:
        super().__init__()
        self.shown = shown

    def jellyFor(self, jellier: Any) -> Any:
        """Show that one."""
        return self.shown.jellyFor(jellier)


class House(pb.Root):
    """Returns things, when their gates are open."""

    def __init__(self) -> None:
        self.things = {"there": Thing(), "other": Thing()}
        self.masked = Masked(self.things["other"])
        self.made: list[Thing] = []
        self.gates: dict[int, asyncio.Event] = {}

    def gate(self, number: int) -> asyncio.Event:
        """Return a gate."""
        return self.gates.setdefault(number, asyncio.Event())

    def _result(self, kind: str, mine: Any) -> Any:
        if kind == "fail":
            raise Error("it fails")
        if kind == "new":
            self.made.append(Thing())
            return self.made[-1]
        if kind == "masked":
            return self.masked
        results = {"home": mine, "value": 5, "list": [1, self.things["there"]]}
        results["home list"] = [1, mine]
        return results[kind] if kind in results else self.things[kind]

    def remote_now(self, kind: str, mine: Any) -> Any:
        """Return at once."""
        return self._result(kind, mine)

    async def remote_later(self, kind: str, mine: Any, number: int) -> Any:
        """Return later."""
        await self.gate(number).wait()
        return self._result(kind, mine)


class Made:
    """A promise of a program: its kind, and the calls that were made through it."""

    def __init__(self, promise: Any, kind: str, source: Made | None = None) -> None:
        self.promise = promise
        self.kind = kind
        self.source = source
        self.labels: list[Any] = []
        self.outcome: Any = None

    @property
    def target(self) -> str:
        """What its calls come to."""
        return {"list": "value", "home list": "value", "masked": "other"}.get(self.kind, self.kind)


class Call:
    """A call of a program."""

    def __init__(self, promise: Any, label: Any, on: Made, passed: Made | None = None) -> None:
        self.promise = promise
        self.label = label
        self.on = on
        self.passed = passed
        self.is_cancelled = False
        self.outcome: Any = None


class Run:
    """One run of a program."""

    def __init__(self, pair: testing.Pair, house: House) -> None:
        self.pair = pair
        self.house = house
        self.mine = Thing()
        self.root = pair.client.root
        self.promises: list[Made] = []
        self.calls: list[Call] = []
        self.gates = 0
        self.asked: list[int] = []

    async def step(self, step: Step) -> None:
        """Do one thing."""
        kind, which, how = step
        kind %= 16
        if kind < 3 or not self.promises:
            self.get(which, how)
        elif kind < 9:
            self.call(self.promises[which % len(self.promises)], how)
        elif kind == 9:
            self.element(self.promises[which % len(self.promises)])
        elif kind == 10:
            self.chain(self.promises[which % len(self.promises)])
        elif kind == 11:
            self.hand_over(which, how)
        elif kind == 12 and self.asked:
            self.house.gate(self.asked.pop(which % len(self.asked))).set()
        elif kind == 13 and self.calls and how % 3 == 0:
            call = self.calls[which % len(self.calls)]
            call.is_cancelled = True
            if call.promise is not None:
                call.promise.cancel()
        elif kind == 14:
            (self.pair.network.stall if how % 2 else self.pair.network.resume)()
        else:
            for _ in range(which % 7):
                await asyncio.sleep(0)

    def get(self, which: int, how: int) -> None:
        """Ask for something."""
        kind = KINDS[which % len(KINDS)]
        if how % 2:
            promise = self.root.callRemote("now", kind, self.mine)
        else:
            self.gates += 1
            self.asked.append(self.gates)
            promise = self.root.callRemote("later", kind, self.mine, self.gates)
        self.promises.append(Made(promise, kind))

    def label(self, on: Made) -> Any:
        """Return the label of the next call through a promise."""
        label = [self.promises.index(on), len(on.labels)]
        on.labels.append(label)
        return label

    def call(self, on: Made, how: int) -> None:
        """Call a method of the result, or of the reference if it has come."""
        label = self.label(on)
        target = on.promise
        if how % 5 == 0 and on.promise.called and isinstance(on.promise.result, pb.RemoteReference):
            target = on.promise.result
        name = ("plain", "task")[how % 2]
        if how % 7 == 0:
            target.callRemote(name, label, pbanswer=False)
            self.calls.append(Call(None, label, on))
        else:
            self.calls.append(Call(target.callRemote(name, label), label, on))

    def element(self, on: Made) -> None:
        """Use the second element."""
        if on.kind in ("list", "home list", "value", "fail"):
            kind = {"list": "there", "home list": "home"}.get(on.kind, on.kind)
            try:
                self.promises.append(Made(on.promise[1], kind, on))
            except TypeError:
                # Of an element.
                assert on.source is not None

    def chain(self, on: Made) -> None:
        """Use the result of a call on a promise."""
        label = self.label(on)
        promise = on.promise.callRemote("same", label)
        self.calls.append(Call(promise, label, on))
        kind = on.target if on.target != "value" else "broken"
        self.promises.append(Made(promise, kind, on))

    def hand_over(self, which: int, how: int) -> None:
        """Pass a promise to the object of another one."""
        on = self.promises[which % len(self.promises)]
        passed = self.promises[how % len(self.promises)]
        label = self.label(on)
        promise = on.promise.callRemote("take", label, passed.promise)
        self.calls.append(Call(promise, label, on, passed))

    async def finish(self) -> None:
        """Let everything end."""
        self.pair.network.resume()
        for number in range(self.gates + 1):
            self.house.gate(number).set()
        for call in self.calls:
            if call.promise is not None:
                call.outcome = await _outcome(call.promise)
        for made in self.promises:
            made.outcome = await _outcome(made.promise)
        # One-way calls have no outcome.
        for _ in range(60):
            await asyncio.sleep(0)

    def check(self) -> None:
        """Compare with the model."""
        started: dict[str, list[Any]] = {
            "there": self.house.things["there"].started,
            "other": self.house.things["other"].started,
            "home": self.mine.started,
        }
        made = [thing.started for thing in self.house.made]
        assert self.house.masked.started == []
        everywhere = [*started.values(), *made]
        for number, promise in enumerate(self.promises):
            seen = [[each for each in place if each[0] == number] for place in everywhere]
            found = [each for each in seen if each]
            assert len(found) <= 1, (number, promise.kind, found)
            order = [label[1] for label in found[0]] if found else []
            assert order == sorted(order), (promise.kind, order)
            assert len(set(order)) == len(order)
            if found and promise.kind != "new" and promise.target in started:
                assert all(each in started[promise.target] for each in found[0])
        for call in self.calls:
            self.check_call(call, everywhere)

    def check_call(self, call: Call, everywhere: list[list[Any]]) -> None:
        """Compare the outcome of one call."""
        has_run = any(call.label in place for place in everywhere)
        if call.promise is None:
            if call.on.target in ("value", "broken", "fail"):
                assert not has_run
            elif not isinstance(call.on.outcome, CancelledError):
                assert has_run, (call.label, call.on.kind)
            return
        outcome = call.outcome
        if isinstance(outcome, CancelledError):
            assert self.may_be_cancelled(call), (call.label, call.on.kind)
        elif call.passed is not None and not self.can_be_passed(call):
            assert isinstance(outcome, Error | TypeError), (outcome, call.passed.kind)
            assert not has_run
        elif call.on.target == "fail":
            assert "it fails" in str(outcome), outcome
            assert not has_run
        elif call.on.target in ("value", "broken"):
            assert isinstance(outcome, BrokenPromise | TypeError), outcome
            assert not has_run
        else:
            assert has_run, (call.label, call.on.kind, outcome)
            assert not isinstance(outcome, Exception), outcome

    def can_be_passed(self, call: Call) -> bool:
        """Whether the promised argument of a call is a reference."""
        assert call.passed is not None
        return call.passed.target in ("there", "other", "new")

    def may_be_cancelled(self, call: Call) -> bool:
        """Whether something of a call was cancelled, or of what it needs."""
        return bool(call.is_cancelled or any(each.is_cancelled for each in self.calls))


async def _outcome(promise: Any) -> Any:
    try:
        return await promise
    except (Exception, CancelledError) as error:
        return error


async def run_program(program: list[Step], dialect: str, *, finds_leaks: bool = True) -> None:
    """Run a program and check it; at most a second may pass without an end."""
    house = House()
    async with asyncio.timeout(3):
        async with testing.pair(house, dialect=dialect) as pair:
            for flow in pair.network.flows:
                flow._profile = replace(flow._profile, pieces=(0, 1, 7, 50))
            run = Run(pair, house)
            for step in program:
                await run.step(step)
            await run.finish()
            run.check()
            if not finds_leaks:
                return
            await pair.settled()
            run.promises.clear()
            run.calls.clear()
            house.things.clear()
            await pair.settled()
            assert pair.leaks() == []
            for end in (pair.client, pair.server):
                outgoing, promises = end.broker.session.outgoing, end.broker.calls._promises
                assert not outgoing.followed
                assert not outgoing.promised
                if promises is not None:
                    assert (promises.here, promises.there) == (0, 0)
                    assert not (promises.held or promises.sent or promises.stalled)
                waiting = end.broker.session.incoming.used_promises
                if waiting is not None:
                    assert (waiting.size, waiting._counted) == (0, 0)
                    assert not (waiting.held or waiting._waiting or waiting._missing)
            assert not pair.client.is_closed


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
def test_programs(dialect: str) -> None:
    """The rules hold for all programs."""

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(PROGRAMS)
    def hold(program: list[Step]) -> None:
        asyncio.run(run_program(program, dialect))

    hold()


def random_program(seed: int) -> list[Step]:
    """Return a program."""
    dice = random.Random(seed)
    return [
        (dice.randrange(1000), dice.randrange(1000), dice.randrange(1000))
        for _ in range(dice.randrange(10, 70))
    ]


def at_once(patch: pytest.MonkeyPatch) -> None:
    """Released calls run at once."""

    def put_first(inbox: Inbox, messages: list[Any]) -> None:
        for message in messages:
            work = inbox.handlers[type(message)](inbox._owner, message)
            if work is not None:
                inbox.take_work(work, message)

    patch.setattr(Inbox, "put_first", put_first)


def no_embargo(patch: pytest.MonkeyPatch) -> None:
    """Later calls on an own object do not wait for those that come home."""
    real = Path.can_go
    patch.setattr(Path, "can_go", lambda path: path._is_home or real(path))


def one_answer(patch: pytest.MonkeyPatch) -> None:
    """One answer is remembered."""
    patch.setattr(remembered, "MOST_OPEN", 1)


def python_value(patch: pytest.MonkeyPatch) -> None:
    """The promise is read from the value that the method has returned."""
    values: list[Any] = []
    real_work, real_named = answering.Answers._with_graph, answering.named_in

    def with_graph(answers: Any, call: Any, value: Any) -> Any:
        values[:] = [value, answers._host]
        return real_work(answers, call, value)

    def named_in(expression: Any) -> Any:
        value, host = values
        if isinstance(value, Masked):
            return host.registerReference(value)
        return real_named(expression)

    patch.setattr(answering.Answers, "_with_graph", with_graph)
    patch.setattr(answering, "named_in", named_in)


@pytest.mark.parametrize("plant", [at_once, no_embargo, one_answer, python_value])
def test_planted_bugs(plant: Callable[[pytest.MonkeyPatch], None]) -> None:
    """A planted bug is found by some of the random programs."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        found = 0
        for seed in range(400):
            try:
                asyncio.run(run_program(random_program(seed), "msgpack/1", finds_leaks=False))
            except (AssertionError, TimeoutError):
                found += 1
                break
        assert found, plant.__doc__
