"""The published face: its names, and its two factories."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from twisted.spread import pb as twisted_pb

import jelly
from broker import pb, reactor, realm
from broker.core.policy import PUBLISHED
from broker.failure import Failure
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import Anonymous, UsernamePassword
from cred.error import UnhandledCredentials
from cred.portal import Portal


class Echo(pb.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value

    def remote_fail(self) -> None:
        """Fail in a way that nobody has foreseen."""
        raise ZeroDivisionError("a secret")


class Serving:
    """A listening port, whose connections are closed with it."""

    def __init__(self, root: Any, **kw: Any):
        self.brokers: list[Any] = []
        self.factory = pb.PBServerFactory(root, **kw)
        build = self.factory.buildProtocol

        def noting(addr: Any) -> Any:
            self.brokers.append(build(addr))
            return self.brokers[-1]

        self.factory.buildProtocol = noting  # type: ignore[method-assign]

    async def __aenter__(self) -> Serving:
        self.port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        return self

    def connect(self, factory: Any) -> Any:
        """Let a client factory connect."""
        return reactor.connectTCP("127.0.0.1", self.port.getHost().port, factory)

    async def __aexit__(self, *exc: object) -> None:
        await self.port.stopListening()
        for far in self.brokers:
            far.transport.loseConnection()
            await far.closed


def test_published_names() -> None:
    """Each public name of Twisted's ``pb`` and ``util`` is here."""
    pagers = {"Pager", "StringPager", "FilePager", "CallbackPageCollector"}
    assert set(twisted_pb.__all__) - set(pb.__all__) == set()
    assert {name for name in pagers if not hasattr(pb, name)} == set()


def test_max_broker_refs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assigning ``pb.MAX_BROKER_REFS`` sets the limit of the Brokers made from then on."""
    assert pb.MAX_BROKER_REFS == 1024
    monkeypatch.setattr(pb, "MAX_BROKER_REFS", 7)
    assert pb.MAX_BROKER_REFS == 7
    assert pb.Broker().policy.max_refs == 7
    monkeypatch.undo()
    assert pb.Broker().policy.max_refs == 1024


def test_failure2copyable() -> None:
    """A Failure becomes one that can be sent, with its traceback if that is asked for."""
    failure = Failure(ValueError("x"))
    copyable = pb.failure2Copyable(failure, True)
    assert (copyable.value, copyable.unsafeTracebacks) == (failure.value, True)
    assert pb.failure2Copyable(failure).unsafeTracebacks is False


def test_names_lead_somewhere() -> None:
    """Each name of ``__all__`` is there, and the port is PB's."""
    for name in pb.__all__:
        assert hasattr(pb, name)
    assert (pb.portno, pb.copyTags) == (8787, jelly.defaults.published.classes)
    assert pb.setCopierForClass is jelly.setUnjellyableForClass


async def test_root_object() -> None:
    """``getRootObject`` fires with the root, asked before the connection is made or after."""
    async with Serving(Echo()) as serving:
        factory = pb.PBClientFactory()
        early = factory.getRootObject()
        serving.connect(factory)
        root = await early
        assert await root.callRemote("echo", 1) == 1
        assert await factory.getRootObject() == root
        factory.disconnect()
        await root.broker.closed
        factory.disconnect()


async def test_several_wait_for_the_root() -> None:
    """Each who waits for the root gets it, and each is failed when there will be none."""
    async with Serving(Echo()) as serving:
        factory = pb.PBClientFactory()
        waiting = [factory.getRootObject() for _ in range(3)]
        serving.connect(factory)
        roots = [await each for each in waiting]
        assert roots[0] == roots[1] == roots[2]
        factory.disconnect()
        await roots[0].broker.closed
        number = serving.port.getHost().port
    waiting = [factory.getRootObject() for _ in range(2)]
    reactor.connectTCP("127.0.0.1", number, factory)
    for each in waiting:
        with pytest.raises(reactor.error.ConnectionRefusedError):
            await each


async def test_reconnecting() -> None:
    """After the connection has ended, the factory can be connected again."""
    async with Serving(Echo()) as serving:
        factory = pb.PBClientFactory()
        connector = serving.connect(factory)
        root = await factory.getRootObject()
        root.broker.transport.abortConnection()
        await root.broker.closed
        waiting = factory.getRootObject()
        while connector.state != "disconnected":
            await asyncio.sleep(0)
        connector.connect()
        again = await waiting
        assert again.broker is not root.broker
        assert await again.callRemote("echo", 2) == 2
        factory.disconnect()
        await again.broker.closed


async def test_login() -> None:
    """``login`` fires with the avatar, and can be asked for several times on one connection."""

    class Avatar(pb.Avatar):
        def __init__(self, name: Any):
            self.name = name

        def perspective_name(self) -> Any:
            return self.name

    class Realm:
        def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
            return pb.IPerspective, Avatar(avatarId), lambda: left.append(avatarId)

    left: list[Any] = []
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="secret")

    portal = Portal(Realm(), [checker, AllowAnonymousAccess()])
    async with Serving(portal) as serving:
        factory = pb.PBClientFactory()
        serving.connect(factory)
        alice = await factory.login(UsernamePassword(b"alice", b"secret"), client=None)
        guest = await factory.login(Anonymous())
        assert await alice.callRemote("name") == b"alice"
        assert await guest.callRemote("name") == ()
        assert alice.broker is guest.broker
        factory.disconnect()
        await alice.broker.closed
    assert sorted(left, key=str) == [(), b"alice"]


async def test_refused_guest() -> None:
    """A guest whom no checker lets in is told so in Twisted's words."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    async with Serving(Portal(realm(lambda name, mind: None), [checker])) as serving:
        factory = pb.PBClientFactory()
        serving.connect(factory)
        text = r"^No checker for twisted\.cred\.credentials\.IAnonymous$"
        with pytest.raises(UnhandledCredentials, match=text):
            await factory.login(Anonymous())
        ended = factory._broker.closed
        factory.disconnect()
        await ended


async def test_tracebacks_only_where_asked_for() -> None:
    """A published server shows the text of any exception; its traceback if told to."""

    async def scenario(unsafe: bool) -> str:
        async with Serving(Echo(), unsafeTracebacks=unsafe) as serving:
            factory = pb.PBClientFactory()
            serving.connect(factory)
            root = await factory.getRootObject()
            failures: list[Failure] = []
            await root.callRemote("fail").addErrback(failures.append)
            factory.disconnect()
            await root.broker.closed
        assert failures[0].type == "builtins.ZeroDivisionError"
        assert failures[0].getErrorMessage() == "a secret"
        return str(failures[0].getTraceback())

    assert "Traceback unavailable" in await scenario(False)
    assert "remote_fail" in await scenario(True)


def test_policy() -> None:
    """A factory's Brokers have the published policy, with the settings as they are then."""
    made = pb.PBServerFactory(Echo()).buildProtocol(None)
    assert made.policy == PUBLISHED.but(security=pb.globalSecurity)
    options = pb.SecurityOptions()
    assert pb.PBServerFactory(Echo(), security=options).buildProtocol(None).security is options
    client = pb.PBClientFactory(security=options).buildProtocol(None)
    assert (client.security, bool(client.isClient)) == (options, True)


def test_what_is_served() -> None:
    """A factory is made for a Root or a Portal, and says so."""
    with pytest.raises(TypeError, match="serves a Root or a Portal, not int"):
        pb.PBServerFactory(5)


async def test_broker_of_ones_own() -> None:
    """A factory's ``protocol`` may be a subclass of Broker, as in published programs."""

    class Noting(pb.Broker):
        def connectionReady(self) -> None:
            ready.append(self)
            super().connectionReady()

    ready: list[Any] = []

    async with Serving(Echo()) as serving:
        factory = pb.PBClientFactory()
        factory.protocol = Noting
        serving.connect(factory)
        root = await factory.getRootObject()
        assert ready == [root.broker]
        factory.disconnect()
        await root.broker.closed
