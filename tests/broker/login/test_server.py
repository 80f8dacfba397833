"""broker.login.server: the login root, made from the table of mechanisms."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ManualScheduler
from support.ways_in import WaysIn
from zope.interface import implementer

import broker
import cred
from broker.core.policy import STRICT
from broker.login.client import Login
from broker.login.mechanisms import MECHANISMS
from broker.login.mechanisms.mechanism import LoginCall, Mechanism
from broker.login.mechanisms.table import MechanismTable
from broker.login.server import PortalRoot, login_root_of, root_of
from cred.checkers import ICredentialsChecker
from cred.credentials import ICredentials
from cred.error import UnauthorizedLogin


class IPin(ICredentials):
    """A number that only one user knows."""


@implementer(IPin)
class Pin:
    """A number."""

    def __init__(self, number: int):
        self.number = number


@implementer(ICredentialsChecker)
class Pins:
    """Knows the number of alice."""

    credentialInterfaces = (IPin,)

    def requestAvatarId(self, credentials: Any) -> str:
        """Return alice."""
        if credentials.number != 4711:
            raise UnauthorizedLogin("wrong number")
        return "alice"


class PinLogin(Mechanism[Pin]):
    """``loginPin(mind, number)``: a mechanism is one class, with both sides."""

    name = "pin"
    asks_for = "a number"
    calls = (LoginCall("loginPin", 0),)
    checked_as = (IPin,)
    is_for_private = True

    def accepts(self, credentials: object) -> Any:
        """Return whether it is a Pin."""
        return isinstance(credentials, Pin)

    def client(self, context: Any, credentials: Pin, mind: object) -> Any:
        """Send the number."""
        return context.call("loginPin", mind, credentials.number)

    def server(self, context: Any, mind: object, number: object) -> Any:
        """Check the number."""
        self.require(context)
        if not isinstance(number, int):
            raise TypeError("not a number")
        return context.admit(Pin(number), mind)


TABLE = MechanismTable([PinLogin(), *MECHANISMS.rows])


class WithPins(WaysIn):
    """A server and a client that have one mechanism more."""

    def __init__(self, dialect: str = "msgpack/1", **options: Any):
        policy = STRICT.but(dialects=(dialect,))
        super().__init__(policy=policy, connect=False, scheduler=ManualScheduler(), **options)
        self.portal.registerChecker(Pins())
        self.login_root = PortalRoot(self.portal, TABLE).rootObject(self.server)
        self.server.setNameForLocal("root", self.login_root)
        self.connect()

    def log_in(self, credentials: Any, mind: Any = None) -> Any:
        """Log in with the client's table; return the avatar, or the Failure."""
        return self.get(Login(credentials, mind, TABLE).begin(self.client))


class Mind(broker.Referenceable):
    """The client's object."""

    def remote_hello(self) -> str:
        """Return a word."""
        return "hello"


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
def test_a_mechanism_is_one_class_and_one_row(dialect: str) -> None:
    """A class and a row in the table add it to the offer, the gate, the root and the client."""
    room = WithPins(dialect)
    assert room.client.session.logins is not None
    assert room.client.session.logins[0] == "pin"
    avatar = room.log_in(Pin(4711), Mind())
    assert room.get(avatar.callRemote("whoami")) == "alice"
    assert (room.server.peer.mechanism, room.client.peer.mechanism) == ("pin", "pin")
    assert room.get(room.avatars[0].mind.callRemote("hello")) == "hello"


def test_a_new_mechanism_has_the_rules_of_all() -> None:
    """It is refused over an open connection, and a wrong or malformed number counts."""
    room = WithPins(is_secure=False)
    assert room.log_in(Pin(4711)).check(cred.LoginFailed)
    refused = room.call("loginPin", None, 4711)
    assert refused.getErrorMessage() == "a number is taken over TLS or the loopback only"
    room = WithPins()
    assert room.log_in(Pin(1)).check(UnauthorizedLogin)
    assert room.call("loginPin", None, "x").getErrorMessage() == "wrong user name or password"
    assert room.server.session.gate is not None


def test_the_other_servers_do_not_have_it() -> None:
    """A server without the row has neither the method nor the name."""
    room = WaysIn()
    assert not hasattr(room.login_root, "remote_loginPin")
    assert room.call("loginPin", None, 4711).check(cred.LoginFailed)


def test_the_methods_are_those_of_the_table() -> None:
    """A root has one method for each first call, and the gate knows all calls and their minds."""
    kind = login_root_of(MECHANISMS)
    methods = {name.removeprefix("remote_") for name in dir(kind) if name.startswith("remote_")}
    methods.discard("remoteMessageReceived")
    assert methods == {"mechanisms", *MECHANISMS.first_calls}
    assert kind.mind_arguments == {
        "mechanisms": None,
        "loginCertificate": 0,
        "loginScram": None,
        "finish": 1,
        "loginToken": 1,
        "loginPassword": 2,
        "login": None,
        "respond": 1,
        "loginAnonymous": 0,
    }
    assert login_root_of(MECHANISMS) is kind


@pytest.mark.parametrize(
    ("arguments", "keywords", "text"),
    [
        ((), {}, "loginToken: missing a required argument: 'token'"),
        (("good",), {}, "loginToken: missing a required argument: 'mind'"),
        (("good", None, 1), {}, "loginToken: too many positional arguments"),
        (("good",), {"x": 1}, "loginToken: missing a required argument: 'mind'"),
        (("good", None), {"x": 1}, "loginToken: got an unexpected keyword argument 'x'"),
    ],
)
def test_arguments(arguments: Any, keywords: Any, text: str) -> None:
    """Arguments that do not fit are refused by name, and are no attempt to log in."""
    room = WaysIn()
    room.log_in(cred.Anonymous())
    failure = room.call("loginToken", *arguments, **keywords)
    assert failure.check("broker.errors.WrongArguments")
    assert failure.getErrorMessage() == text


def test_keywords() -> None:
    """After a login the arguments of another may have their names."""
    room = WaysIn()
    room.log_in(cred.Anonymous())
    avatar = room.call("loginToken", mind=None, token="good")
    assert room.get(avatar.callRemote("whoami")) == "bob"


def test_callbacks_of_the_gate_run_once() -> None:
    """What waits for the first accepted login is called once, however many there are."""
    room = WaysIn()
    seen: list[str] = []
    room.login_root.when_accepted(lambda: seen.append("a"), lambda: seen.append("b"))
    room.log_in(cred.Token("bad"))
    assert seen == []
    room.log_in(cred.Token("good"))
    room.log_in(cred.Anonymous())
    assert seen == ["a", "b"]


def test_what_can_be_served() -> None:
    """A Root is served as it is, a Portal through a PortalRoot, and nothing else."""
    root = broker.Root()
    assert root_of(root) is root
    assert isinstance(root_of(WaysIn().portal), PortalRoot)
    with pytest.raises(broker.WrongType, match=r"not the class Portal: write Portal\(\)$"):
        root_of(cred.Portal)
    with pytest.raises(TypeError, match="a server serves a Root or a Portal, not int"):
        root_of(5)
