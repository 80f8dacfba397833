"""Servants: any object behind a contract, as a root, an avatar, a mind and an argument."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

import pytest
from support.ticket_office import DIALECTS, Ear, Listener, Office, TicketOffice, connected

import broker
from broker.core.calls.dispatch import resolve
from broker.defer import Deferred
from broker.flavors.contracts.contract import contract_of
from broker.flavors.contracts.servant import lacks, servant_of
from cred import InMemoryUsernamePasswordDatabaseDontUse, Portal, UsernamePassword

ALICE = UsernamePassword("alice", "secret")


class Desk(Protocol):
    """Forms of methods and results."""

    async def add(self, left: int, /, right: int = 1, *more: int, scale: int = 1) -> int:
        """Add."""

    async def later(self) -> int:
        """Return a Deferred."""

    async def anything(self, value: Any) -> Any:
        """Return it."""

    async def all(self, *parts: int, **named: str) -> list[Any]:
        """Return what came."""

    async def staff(self) -> str:
        """Is for members of the staff."""

    def note(self, text: str) -> None:
        """Take a note."""


class Plain:
    """Fits the contract; its methods are plain."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.last: Deferred[Any] = Deferred()
        self.gone = 0

    def add(self, left: int, /, right: int = 10, *more: int, scale: int = 100) -> int:
        """Add; the defaults are not those of the contract."""
        return (left + right + sum(more)) * scale

    def later(self) -> Any:
        """Return a Deferred."""
        return self.last

    def anything(self, value: Any) -> Any:
        """Return it."""
        return value

    async def all(self, *parts: int, **named: str) -> list[Any]:
        """Return what came."""
        return [list(parts), named]

    @broker.allow("staff")
    async def staff(self) -> str:
        """Only for some."""
        return "secret"

    def note(self, text: str) -> Any:
        """Take a note; it returns something, which is wrong."""
        self.notes.append(text)
        return text

    def logout(self) -> None:
        """The user has gone."""
        self.gone += 1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_signatures(dialect: str) -> None:
    """Python binds the arguments of each kind; those left out have the callee's defaults."""
    async with connected(broker.servant(Desk)(Plain()), dialect) as connection:
        desk: Any = connection.root.of(Desk)
        assert await desk.add(1) == 1100
        assert await desk.add(1, 2) == 300
        assert await desk.add(1, right=2) == 300
        assert await desk.add(1, 2, 3, 4) == 1000
        assert await desk.add(1, 2, 3, scale=1) == 6
        assert await desk.add(1, scale=1) == 11
        assert await desk.all(1, 2, a="x") == [[1, 2], {"a": "x"}]
        for call, text in (
            (lambda: desk.all(1, "2"), "all: parts: Expected `int`, got `str`"),
            (lambda: desk.all(a=3), "all: named: Expected `str`, got `int`"),
            (lambda: desk.add(1, 2, "3"), "add: more: Expected `int`, got `str`"),
        ):
            with pytest.raises(broker.WrongArguments) as caught:
                call()
            assert str(caught.value) == text
        with pytest.raises(broker.WrongArguments, match="more: Expected `int`, got `str`"):
            await connection.root.callRemote("add", 1, 2, "3")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_deferred_as_the_result(dialect: str) -> None:
    """It is waited for, and its result is checked."""
    plain = Plain()
    async with connected(broker.servant(Desk)(plain), dialect) as connection:
        desk: Any = connection.root.of(Desk)
        waiting = desk.later()
        assert await desk.anything([1, None, "x"]) == [1, None, "x"]
        plain.last.callback(3)
        assert await waiting == 3
        plain.last = Deferred()
        plain.last.callback("x")
        with pytest.raises(broker.RemoteError, match="internal error"):
            await desk.later()


async def test_a_one_way_method_that_returns(caplog: pytest.LogCaptureFixture) -> None:
    """Its result is a fault of its own side, in its log."""
    caplog.set_level(logging.ERROR)
    plain = Plain()
    async with connected(broker.servant(Desk)(plain)) as connection:
        desk: Any = connection.root.of(Desk)
        desk.note("milk")
        await desk.add(1)
    assert plain.notes == ["milk"]
    (record,) = caplog.records
    assert "note: result: Expected `null`, got `str`" in (record.exc_text or "")


async def test_conditions() -> None:
    """Those of the object's functions hold for its servant."""

    def enter(name: Any, mind: Any) -> Any:
        return broker.servant(Desk)(Plain())

    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    portal = Portal(broker.realm(enter), [checker])
    async with connected(portal, credentials=ALICE) as connection:
        desk: Any = connection.avatar.of(Desk)
        with pytest.raises(Exception, match="you may not call 'staff'"):
            await desk.staff()
        assert await desk.add(1) == 1100


async def test_conditions_of_an_objects_own_method() -> None:
    """A method that only this object has is not less protected, nor are those of others more."""
    plain, other = Plain(), Plain()
    own: Any = broker.allow("staff")(lambda left, *more, **kw: 1)
    plain.add = own  # type: ignore[method-assign]
    made: Any = broker.servant(Desk)(other)
    assert made.remote_add(1) == 1100
    for target, is_refused in ((plain, True), (other, False)):
        async with connected(broker.servant(Desk)(target)) as connection:
            call = connection.root.callRemote("add", 1)
            if is_refused:
                with pytest.raises(Exception, match="you may not call 'add'"):
                    await call
            else:
                assert await call == 1100

    class Delegate:
        def __getattr__(self, name: str) -> Any:
            return getattr(plain, name)

    async with connected(broker.servant(Desk)(Delegate())) as connection:
        with pytest.raises(Exception, match="you may not call 'add'"):
            await connection.root.callRemote("add", 1)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_avatar_and_a_mind(dialect: str) -> None:
    """A realm may return a servant, whose object's logout runs once; a mind may be one."""
    plain, ear = Plain(), Ear()
    minds: list[Any] = []

    def enter(name: Any, mind: Any) -> Any:
        minds.append(mind.of(Listener))
        return broker.servant(Desk)(plain)

    portal = Portal(broker.realm(enter), [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
    async with connected(portal, dialect, ALICE, broker.servant(Listener)(ear)) as connection:
        assert await connection.avatar.of(Desk).add(1) == 1100
        minds.pop().heard("welcome")
        assert await ear.heard_texts.get() == "welcome"
        assert plain.gone == 0
    assert plain.gone == 1


class WithLogout(Protocol):
    """Peers could call logout."""

    async def logout(self) -> None:
        """Log out."""


class Leaver:
    """Has no logout of the realm's kind."""

    async def logout(self) -> None:
        """Log out."""


def test_logout() -> None:
    """A contract with a logout is refused where an avatar's is asked for."""
    with pytest.raises(broker.ConfigError) as caught:
        broker.servant(WithLogout)(Leaver()).logout  # noqa: B018
    assert str(caught.value) == (
        "WithLogout.logout: an avatar's logout is not for peers: name the method otherwise"
    )
    assert broker.servant(Listener)(Ear()).logout() is None


def test_what_a_servant_is() -> None:
    """One class for each contract and class of objects; equal ids for one object."""
    ear = Ear()
    one, other = broker.servant(Listener)(ear), broker.servant(Listener)(ear)
    assert one.processUniqueID() == other.processUniqueID()
    assert one.processUniqueID() != broker.servant(Listener)(Ear()).processUniqueID()
    assert type(one) is type(other)
    assert isinstance(one, broker.Referenceable)
    assert one.target is ear
    assert repr(one) == "<servant of Listener for Ear>"
    assert type(one).__doc__ == "Hears what is said."


def test_an_object_that_does_not_fit() -> None:
    """The method that it lacks is named."""
    unfit: Any = broker.servant(Listener)
    with pytest.raises(TypeError) as caught:
        unfit(Office())
    assert type(caught.value) is broker.WrongType
    assert str(caught.value) == "a Office has no method 'heard', which Listener declares"
    assert lacks(contract_of(TicketOffice), Office()) is None


def test_async_methods_are_known() -> None:
    """The order of messages depends on which methods start a task."""
    route = servant_of(Desk, Plain()).route()
    assert resolve(route, "all", False).is_async
    assert not resolve(route, "add", False).is_async


async def test_private_and_dynamic_names() -> None:
    """Only the contract's methods are exposed, also where a policy looks at instances."""

    class Open(Plain):
        def __getattr__(self, name: str) -> Any:
            return lambda: "found"

    dynamic = broker.STRICT.but(dynamic_methods=True)
    async with (
        broker.serve(broker.servant(Desk)(Open()), "pb://127.0.0.1:0", policy=dynamic) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        for name in ("logout", "target", "gone", "anything_else"):
            with pytest.raises(broker.NoSuchMethod):
                await connection.root.callRemote(name)


async def test_cancelling_reaches_the_object() -> None:
    """A caller that stops waiting cancels the coroutine of the object."""
    cancelled = asyncio.Event()

    class Slow(Plain):
        async def anything(self, value: Any) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    class Typed(Protocol):
        async def anything(self, value: Any) -> int: ...

    async with connected(broker.servant(Typed)(Slow())) as connection:
        root: Any = connection.root
        task = asyncio.ensure_future(root.of(Typed).anything(1))
        await asyncio.sleep(0)
        with pytest.raises(broker.NoSuchMethod):
            await root.callRemote("nothing")
        task.cancel()
        await cancelled.wait()
