"""The server's side of a login: the root object with the login methods.

Theory of operation. The server's offer names the mechanisms that it takes on this connection. Its
root has only login methods: the first call of each mechanism, and ``mechanisms()``, which returns
the names to a client that does not read the offer. They are made from the table of mechanisms. Each
call makes a `ServerContext` and runs the server's side of its mechanism in it. The peer has the
avatar until it drops it, it disconnects, or the login expires; then ``logout`` is called once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from zope.interface import implementer

from broker.connection.broker import Broker
from broker.connection.peer import new_principal
from broker.core.calls.dispatch import Route, of_login, routes_each_call
from broker.errors import ConfigError, WrongArguments, WrongType
from broker.flavors.referenceable import Referenceable
from broker.interfaces import IPBRoot, is_root
from broker.login.active_logins import ActiveLogins
from broker.login.audit import Audit
from broker.login.context import LoginContext, ServerContext
from broker.login.mechanisms import MECHANISMS
from broker.login.mechanisms.mechanism import AnyMechanism, login_asked_for, no_answer_wanted
from broker.login.mechanisms.table import MechanismTable
from broker.login.portal_logins import PortalLogins
from broker.login.sessions import Sessions
from broker.login.throttle import LoginThrottle
from cred.portal import Portal
from jelly.security import class_name

__all__ = ["LoginRoot", "PortalRoot", "check_target", "login_root_of", "root_of"]


@implementer(IPBRoot)
class PortalRoot:
    """Makes the login objects of a portal, which share one throttle.

    Args:
        portal: checks the credentials and makes the avatars; or a PortalLogins, which other servers
            and front ends share.
        table: the mechanisms that may be offered.

    Attributes:
        portal: the portal.
        logins: what all logins of the portal share.
        pending: the connections of all front ends that have not logged in; None if each server
            counts its own.
    """

    def __init__(self, portal: Portal | PortalLogins, table: MechanismTable = MECHANISMS):
        is_shared = isinstance(portal, PortalLogins)
        self.logins = portal if isinstance(portal, PortalLogins) else PortalLogins(portal)
        self.portal = self.logins.portal
        self.pending = self.logins.pending if is_shared else None
        self._kind = login_root_of(table)

    def rootObject(self, broker: Broker) -> LoginRoot:
        """Return the login object of one connection."""
        logins = self.logins
        return self._kind(self.portal, broker, logins.throttle, logins.audit, logins.sessions)


def check_target(target: object) -> None:
    """Check that an object can be served.

    Raises:
        ConfigError: it is a portal without checkers.
        TypeError: it is neither a Root nor a Portal.
    """
    root_of(target)
    portal = target.portal if isinstance(target, PortalLogins) else target
    if isinstance(portal, Portal) and not portal.checkers:
        raise ConfigError(
            "this portal has no checker, so no client can log in: Portal(realm, [checker])"
        )


def root_of(target: object) -> Any:
    """Return the IPBRoot of a Root, a Portal, a PortalLogins, or an object that adapts to IPBRoot.

    Raises:
        TypeError: it is something else. For a class the error is a WrongType.
    """
    if is_root(target):
        return target
    if isinstance(target, Portal | PortalLogins):
        return PortalRoot(target)
    adapted: Any = IPBRoot(target, None)
    if adapted is not None:
        return adapted
    if isinstance(target, type):
        name = target.__name__
        raise WrongType(f"a server serves an object, not the class {name}: write {name}()")
    name = type(target).__name__
    if type(target).__module__.startswith("twisted."):
        # The full name, since Twisted also has, for example, a Portal.
        name = class_name(type(target))
    raise TypeError(f"a server serves a Root or a Portal, not {name}")


@of_login
@routes_each_call
class LoginRoot(Referenceable):
    """The root object of one connection: its methods log in.

    This class has no mechanism; `login_root_of` makes a subclass with those of a table.

    The login gate of the connection is shut until a checker has accepted the peer's credentials.

    Args:
        portal: checks the credentials and makes the avatars.
        broker: the connection.
        throttle: limits failed logins.
        audit: the log of logins.
        sessions: the sessions of all front ends; None for a connection that is not one of them.

    Attributes:
        table: the mechanisms.
        mind_arguments: the methods, and which argument of each is the mind, or None.
        connection_key: identifies the connection to the throttle.
        logins: the logins that have not ended.
    """

    __slots__ = (
        "_on_accepted",
        "audit",
        "broker",
        "connection_key",
        "logins",
        "portal",
        "throttle",
    )
    table: ClassVar[MechanismTable]
    mind_arguments: ClassVar[Mapping[str, int | None]]

    def __init__(
        self,
        portal: Portal,
        broker: Broker,
        throttle: LoginThrottle,
        audit: Audit,
        sessions: Sessions | None = None,
    ):
        self.portal = portal
        self.broker = broker
        self.throttle = throttle
        self.audit = audit
        self.connection_key = object()
        self.logins = ActiveLogins(broker, sessions=sessions)
        self._on_accepted: tuple[Callable[[], object], ...] = (broker.session.open_gate,)
        broker.session.shut_gate(self.mind_arguments)
        broker.session.name_logins(self.remote_mechanisms)

    def remote_mechanisms(self) -> list[str]:
        """Return the names of the mechanisms that this peer can use here, strongest first."""
        context = LoginContext(self.broker)
        checked = self.table.checked_by(self.portal.checkers)
        names = []
        for each in checked:
            if each.server_refusal(context) is None:
                names.append(each.name)
        return names

    def when_accepted(self, *callbacks: Callable[[], object]) -> None:
        """Call each of ``callbacks`` once a checker has accepted the peer's credentials."""
        self._on_accepted += callbacks

    def accepted(self) -> None:
        """Open the login gate: a checker has accepted the peer's credentials."""
        callbacks, self._on_accepted = self._on_accepted, ()
        for callback in callbacks:
            callback()

    def route(self) -> Route:
        """Return how calls are made: a method other than those for logging in is refused.

        Each call has a principal of its own; its user is known when the login has succeeded.
        """
        principal = new_principal(self.broker)
        return Route(
            self, "remote_", (), None, _not_logged_in, no_answer_wanted, principal, is_ours=True
        )


@functools.cache
def login_root_of(table: MechanismTable) -> type[LoginRoot]:
    """Return a class of roots with a method for each first call of the mechanisms of a table."""
    methods = {f"remote_{name}": _method(name, row) for name, row in table.first_calls.items()}
    minds = {"mechanisms": None, **table.mind_arguments}
    attributes = {"__slots__": (), "table": table, "mind_arguments": minds, **methods}
    return type("LoginRoot", (LoginRoot,), attributes)


def _method(name: str, mechanism: AnyMechanism) -> Callable[..., object]:
    """Return the method that runs the server's side of a mechanism.

    Its arguments are checked before the attempt begins, so that a call with too few or too many
    does not count as a failed login.
    """
    server = mechanism.server
    # Without the context.
    parameters = list(inspect.signature(server).parameters.values())[1:]
    signature = inspect.Signature(parameters)

    def log_in(self: LoginRoot, *args: object, **kw: object) -> object:
        if kw or len(args) != len(parameters):
            try:
                args = signature.bind(*args, **kw).args
            except TypeError as error:
                raise WrongArguments(f"{name}: {error}") from None
        return ServerContext(self, mechanism).step(server, *args)

    log_in.__doc__ = server.__doc__
    return log_in


def _not_logged_in(text: str) -> Exception:
    return login_asked_for()
