"""Which object is called, and by which way: routes, hooks, and what begins at once."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ROOT, FakeHost, SessionPair

from broker.core.calls.dispatch import Route
from broker.core.policy import STRICT
from broker.core.session import Session
from broker.core.wire import messages
from broker.flavors.referenceable import Referenceable, Root


class Routed(Referenceable):
    """Routes its calls to another object, with an argument in front."""

    def route(self) -> Route:
        """Lead elsewhere."""
        return Route(Target(), "view_", ("viewer",), "eyes")


class Target:
    """What is called in the end."""

    def view_look(self, viewer: Any, what: Any) -> Any:
        """Return who looks at what."""
        return [viewer, what]


class Handled(Referenceable):
    """Its route is a function that answers in expressions."""

    def route(self) -> Any:
        """Return the function."""
        return lambda broker, name, args, kw: [b"unicode", name.encode()]


def test_routes() -> None:
    """A route says whose method runs, under which prefix, with what in front."""
    pair = SessionPair(Routed())
    assert pair.call("look", 5) == ["viewer", 5]
    assert pair.call("nothing").startswith("NoSuchMethod")
    assert pair.call("look").startswith("WrongArguments: look: missing 1 required")


def test_a_route_that_is_a_function() -> None:
    """It gets name and expressions, and returns the expression of the answer."""
    assert SessionPair(Handled()).call("anything") == "anything"


def test_a_target_without_a_route() -> None:
    """An object that cannot be called at all fails the call, and nothing else."""
    pair = SessionPair(object())
    assert pair.call("anything").startswith("AttributeError")
    pair.server.translator.exports.name(ROOT, Handled())
    assert pair.call("anything") == "anything"


class Looking(FakeHost):
    """A host that finds objects, and decodes, itself."""

    overridden = frozenset({"localObjectForID", "unserialize"})

    def localObjectForID(self, object_id: Any) -> Any:
        """Know one object by any id."""
        return None if object_id == 99 else Routed()

    def unserialize(self, expression: Any, perspective: Any = None) -> Any:
        """Say through whose eyes."""
        value = self.session.translator.unjelly(expression, perspective)
        return (*value, perspective)[-1:] if type(value) is tuple else value


@pytest.mark.parametrize(("object_id", "found"), [(5, True), (99, False)])
def test_a_room_above_that_does_its_part(object_id: int, found: bool) -> None:
    """Overridden ``localObjectForID`` and ``unserialize`` take the place of ours."""
    pair = SessionPair()
    host = Looking()
    host.session = Session(host, STRICT, is_client=False)
    pair.server, pair.server_host = host.session, host
    pair.client = SessionPair(shake_hands=False).client
    pair.client_host = pair.client.host
    pair.server.start()
    pair.exchange()
    request_id = pair.client.outgoing.call(object_id, "look", (5,), {})
    pair.exchange()
    outcome = pair.client_host.outcome(request_id)
    if found:
        assert outcome == ["viewer", "eyes"]
    else:
        assert outcome.startswith("NoSuchObject")


def test_begins_at_once() -> None:
    """Only a coroutine function makes a task; what fails, or has a hook, is done at once or fails.

    A call that fails may be answered whenever it comes.
    """

    class Hooked(Referenceable):
        def remoteMessageReceived(self, broker: Any, name: Any, args: Any, kw: Any) -> Any:
            """Never be called."""

    class Plain(Root):
        def remote_first(self) -> int:
            """Be done at once."""
            return 1

        async def remote_wait(self) -> None:
            """Take a task."""

    pair = SessionPair(Plain())
    exports = pair.server.translator.exports
    exports.name(b"hooked", Hooked())
    exports.name(b"handled", Handled())
    begins = pair.server.incoming.runner.begins_at_once

    def plain(object_id: Any, name: str) -> messages.PlainCall:
        return messages.PlainCall(1, object_id, name, (), {})

    assert begins(plain("root", "first"))
    assert begins(messages.GraphCall(1, b"root", "first", True, [b"tuple"], [b"dictionary"]))
    assert not begins(plain("root", "wait"))
    assert not begins(plain("root", "missing"))
    assert not begins(plain(99, "first"))
    assert not begins(messages.PlainCallToCache(1, 99, "first", (), {}))
    assert begins(plain("hooked", "anything"))
    assert begins(plain("handled", "anything"))
