"""Recipes: references that a link makes again on each connection, in their order."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from support.linked import A, B, Office, TypedOffice, TypedRoom, linked, restart, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.link.kept import MOST_RECIPES
from broker.link.recipes import LinkedReference
from broker.testing.clock import virtual_clock

DIALECTS = ["msgpack/1", "pb"]


class Ear(broker.Referenceable):
    """An object of the client."""


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_recipes_are_made_in_order(net: MemoryNet, dialect: str) -> None:
    """On each connection, in the order in which they were created; a recipe of a recipe too."""
    office, policy = Office(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    link = linked(policy=policy)
    first = link.root.recipe("room", "one")
    inner = first.recipe("inner", "deep")
    with virtual_clock():
        async with link:
            second = link.root.recipe("room", "two")
            assert await inner.callRemote("say", "a") == "one/deep: a"
            assert await second.callRemote("say", "b") == "two: b"
            office.log.clear()
            await restart(net, office, policy=policy)
            assert await inner.callRemote("say", "c") == "one/deep: c"
            await turns()
            made = [line for line in office.log if ":" not in line]
            # In PB's dialects a recipe waits for the one that it is made of.
            in_order = ["room one", "inner deep", "room two"]
            assert made == (
                in_order if dialect == "msgpack/1" else [in_order[0], in_order[2], in_order[1]]
            )


async def test_order_of_calls_on_a_recipe(net: MemoryNet) -> None:
    """Calls on it start in the order in which they were made, also those before it was made."""
    office = Office()
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            room = link.root.recipe("room", "x")
            calls = [room.callRemote("say", str(number)) for number in range(20)]
            room.send("say", "one way")
            calls += [room.callRemote("say", str(number)) for number in range(20, 40)]
            await asyncio.gather(*calls)
            texts = [line.partition(": ")[2] for line in office.log if ":" in line]
            expected = [*map(str, range(20)), "one way", *map(str, range(20, 40))]
            assert texts == expected


async def test_a_recipe_lives_as_long_as_it_is_held(net: MemoryNet) -> None:
    """A reference that was dropped is not made again; its parent lives as long as its child."""
    office = Office()
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            dropped = link.root.recipe("room", "dropped")
            held = link.root.recipe("room", "parent").recipe("inner", "held")
            await turns()
            del dropped
            gc.collect()
            office.log.clear()
            await restart(net, office)
            assert await held.callRemote("say", "hi") == "parent/held: hi"
            assert office.log[:2] == ["room parent", "inner held"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_typed_recipes(net: MemoryNet, dialect: str) -> None:
    """What a function of the avatar returns under a contract is an object of that contract."""
    office, policy = Office(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    link = linked(policy=policy)
    room = link.recipe(lambda root: root.of(TypedOffice).room("x"))
    assert office.log == []
    with virtual_clock():
        async with link:
            assert await room.say("a") == "x: a"
            inner = room.inner("y")
            assert await inner.say("b") == "x/y: b"
            with pytest.raises(broker.WrongArguments):
                await room.say(3)  # type: ignore[arg-type]
            assert await link.root.callRemote("name_of", room) == "x"
            await restart(net, office, policy=policy)
            assert await room.say("c") == "x: c"
            assert await link.root.recipe("room", "z").of(TypedRoom).say("d") == "z: d"


async def test_functions(net: MemoryNet) -> None:
    """A function may return a Promise or a reference, or be async; it gets the real root."""
    office = Office()
    net.serve(A, office)
    link = linked()

    async def slowly(root: broker.RemoteReference) -> broker.RemoteReference:
        outer = await root.callRemote("room", "a")
        found: broker.RemoteReference = await outer.callRemote("inner", "b")
        return found

    async_recipe = link.recipe(slowly)
    promised = link.recipe(lambda root: root.callRemote("room", "c"))
    itself: Any = link.recipe(lambda root: root)
    with virtual_clock():
        async with link:
            for _ in range(2):
                assert await async_recipe.callRemote("say", "1") == "a/b: 1"
                assert await promised.callRemote("say", "2") == "c: 2"
                assert await itself.callRemote("echo", 3) == 3
                await restart(net, office)


async def test_references_as_arguments(net: MemoryNet) -> None:
    """A reference of the link is an argument of recipes and calls, on each connection anew."""
    office, ear = Office(), Ear()
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            one = link.root.recipe("room", "one", ear)
            two = link.root.recipe("room", "two", [one, {"x": (one,)}], one)
            for _ in range(2):
                call = link.root.callRemote("name_of", [one, two])
                after = link.root.callRemote("echo", "after")
                assert await call == ["one", "two"]
                assert await after == "after"
                assert await link.root.callRemote("name_of", rooms=two) == "two"
                office.log.clear()
                await restart(net, office)
                await turns()
            await link.root.callRemote("echo", "done")
            assert office.log[:2] == ["room one", "room two"]


async def test_what_a_recipe_cannot_hold(net: MemoryNet) -> None:
    """A reference of one connection, also in a container, and a reference of another link."""
    net.serve(A, Office())
    async with linked() as link, linked() as other:
        assert link.connection is not None
        room = await link.connection.root.callRemote("room", "x")
        promise = link.connection.root.callRemote("room", "x")
        await promise
        text = "a recipe cannot hold a reference of one connection"
        for wrong in (room, [room], {"a": (1, [room])}, room.of(TypedRoom), promise):
            with pytest.raises(broker.ConfigError, match=text):
                link.root.recipe("room", wrong)
            with pytest.raises(broker.ConfigError, match=text):
                link.root.recipe("room", key=wrong)
        foreign = other.root.recipe("room", "y")
        for call in (link.root.recipe, link.root.callRemote, link.root.send):
            with pytest.raises(broker.ConfigError, match="a reference of another link"):
                call("room", foreign)
        own = link.root.recipe("room", "z")
        assert await own.callRemote("say", "hi") == "z: hi"
        assert await link.connection.root.callRemote("name_of", own) == "z"
        assert other.connection is not None
        with pytest.raises(broker.CannotJelly, match="by calls of its link only"):
            await other.connection.root.callRemote("name_of", own)
        # A call is not a recipe: it may have it, and is not made again elsewhere.
        assert await link.root.callRemote("name_of", room) == "x"


async def test_a_list_that_holds_itself(net: MemoryNet) -> None:
    """Arguments are looked through once, whatever they hold."""
    net.serve(A, Office())
    async with linked() as link:
        circle: list[Any] = [1]
        circle.append(circle)
        result = await link.root.callRemote("echo", circle)
        assert result[1] is result


async def test_a_recipe_that_fails(net: MemoryNet) -> None:
    """Calls on it fail with its error until the next connection, and so do recipes of it."""
    office = Office()
    office.is_closed_to_rooms = True
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            room = link.root.recipe("room", "x")
            inner = room.recipe("inner", "y")
            for reference in (room, inner, room):
                with pytest.raises(broker.Error, match="no rooms today"):
                    await reference.callRemote("say", "hi")
                reference.send("say", "hi")
            assert await link.root.callRemote("echo", 1) == 1
            office.is_closed_to_rooms = False
            with pytest.raises(broker.Error, match="no rooms today"):
                await room.callRemote("say", "still")
            await restart(net, office)
            assert await inner.callRemote("say", "hi") == "x/y: hi"


@pytest.mark.parametrize("what", ["echo", "name"])
async def test_a_recipe_without_a_reference(net: MemoryNet, what: str) -> None:
    """Calls on it say what its result is."""
    net.serve(A, Office())
    async with linked() as link:
        args = [3] if what == "echo" else []
        wrong = link.root.recipe(what, *args)
        # A call that was made before the result had come.
        with pytest.raises(broker.BrokenPromise, match=f"'{what}' returned a value that is not"):
            await wrong.callRemote("say", "hi")
        with pytest.raises(TypeError, match=f"'{what}' returned .*, not a reference"):
            await wrong.callRemote("say", "hi")


async def test_a_function_that_raises(net: MemoryNet) -> None:
    """Its error is that of the calls; and one that keeps a dead reference does not go round."""
    office = Office()
    net.serve(A, office)
    kept: list[broker.RemoteReference] = []

    def same(root: broker.RemoteReference) -> Any:
        if isinstance(root, broker.RemoteReference):
            kept.append(root)
        return kept[0] if kept else root

    def fails(root: broker.RemoteReference) -> Any:
        if isinstance(root, broker.RemoteReference):
            raise KeyError("in the function")
        return root

    with virtual_clock():
        async with linked() as link:
            raising, stale = link.recipe(fails), link.recipe(same)
            with pytest.raises(KeyError, match="in the function"):
                await raising.callRemote("echo", 1)
            assert await stale.callRemote("echo", 2) == 2
            await restart(net, office)
            await link.root.callRemote("echo", 3)
            with pytest.raises(broker.DeadReferenceError):
                await stale.callRemote("echo", 4)


async def test_a_function_that_never_returns(net: MemoryNet) -> None:
    """Calls that wait for it go to the next connection when this one ends."""
    office = Office()
    net.serve(A, office)
    times: list[int] = []

    async def once_stuck(root: broker.RemoteReference) -> broker.RemoteReference:
        times.append(1)
        if len(times) == 1:
            await asyncio.Event().wait()
        found: broker.RemoteReference = await root.callRemote("room", "x")
        return found

    with virtual_clock():
        async with linked() as link:
            room = link.recipe(once_stuck)
            waiting = room.callRemote("say", "hi")
            await turns()
            await restart(net, office)
            assert await waiting == "x: hi"


async def test_the_most_recipes(net: MemoryNet) -> None:
    """A thousand are made on each connection, one more is refused; dropped ones do not count."""
    office = Office()
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            rooms = [link.root.recipe("room", str(number)) for number in range(MOST_RECIPES)]
            with pytest.raises(broker.ConfigError, match="1000 recipes"):
                link.root.recipe("room", "one more")
            with pytest.raises(broker.ConfigError, match="1000 recipes"):
                link.recipe(lambda root: root)
            rooms.pop()
            gc.collect()
            rooms.append(link.root.recipe("room", "in its place"))
            office.log.clear()
            await restart(net, office)
            assert await rooms[-1].callRemote("say", "hi") == "in its place: hi"
            assert len([line for line in office.log if line.startswith("room")]) == MOST_RECIPES


async def test_a_new_recipe_while_it_moves(net: MemoryNet) -> None:
    """References have an object on each of two connections, and calls go to the right one."""
    offices = {each: Office(each) for each in (A, B)}
    servers = {each: net.serve(each, offices[each]) for each in (A, B)}
    with virtual_clock():
        async with linked((A, B)) as link:
            here = await link.root.callRemote("name")
            room = link.root.recipe("room", "x")
            running = link.root.callRemote("wait")
            await room.callRemote("say", "before")
            closing = asyncio.create_task(servers[here].close(drain=60))
            await turns(3)
            late = room.recipe("inner", "late")
            assert await late.callRemote("say", "after") == "x/late: after"
            assert isinstance(late, LinkedReference)
            offices[here].gate.set()
            assert await running == here
            await closing
            there = B if here == A else A
            assert await late.callRemote("say", "there") == "x/late: there"
            assert "x/late: there" in offices[there].log


def test_repr() -> None:
    """It tells which recipe it is."""
    link = linked()
    assert repr(link.root) == "<LinkedReference: root>"
    assert repr(link.root.recipe("room", "x")) == "<LinkedReference: 'room'>"
