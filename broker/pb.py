"""Every published name of Perspective Broker, implemented with ``broker``.

It has the names of Twisted's ``spread.pb``, ``spread.flavors``, ``spread.util`` and
``spread.publish``. New code should use ``broker`` itself.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from broker.connection.broker import Broker
from broker.connection.local_tables import Local
from broker.core.policy import PUBLISHED
from broker.defer import Deferred, fail, succeed
from broker.errors import (
    DeadReferenceError,
    Error,
    NoSuchMethod,
    PBConnectionLost,
    ProtocolError,
    RemoteError,
)
from broker.failure import Failure
from broker.flavors.avatar import AsReferenceable, Avatar
from broker.flavors.cacheable import (
    Cacheable,
    RemoteCache,
    RemoteCacheMethod,
    RemoteCacheObserver,
)
from broker.flavors.copyable import Copyable, RemoteCopy
from broker.flavors.failures import CopiedFailure, CopyableFailure
from broker.flavors.local import LocalAsRemote, LocalAsyncForwarder, LocalMethod
from broker.flavors.paging import (
    CallbackPageCollector,
    FilePager,
    Pager,
    StringPager,
    getAllPages,
)
from broker.flavors.publish import Publishable, RemotePublished, whenReady
from broker.flavors.reference import RemoteMethod, RemoteReference
from broker.flavors.referenceable import Referenceable, Root, Serializable
from broker.flavors.viewable import Viewable, ViewPoint
from broker.interfaces import IPBRoot, IPerspective
from broker.login.accept import Acceptor
from broker.login.client import Login, login
from broker.login.mechanisms.challenge import IUsernameMD5Password
from broker.login.mechanisms.mechanism import has_password
from broker.login.server import PortalRoot, root_of
from broker.observers import Observer, checked_observers, observe
from broker.reactor.protocol import ClientFactory, ServerFactory
from cred.challenges import challenge, respond
from cred.credentials import Anonymous, IAnonymous, UsernamePassword
from jelly import (
    IJellyable,
    IUnjellyable,
    Jellyable,
    SecurityOptions,
    Unjellyable,
    defaults,
    globalSecurity,
    setUnjellyableFactoryForClass,
    setUnjellyableForClass,
    setUnjellyableForClassTree,
)
from jelly.security import Security

if TYPE_CHECKING:
    from broker.inspection.of_factory import OfFactory

__all__ = [
    "MAX_BROKER_REFS",
    "AsReferenceable",
    "Avatar",
    "Broker",
    "Cacheable",
    "CallbackPageCollector",
    "CopiedFailure",
    "Copyable",
    "CopyableFailure",
    "DeadReferenceError",
    "Error",
    "FilePager",
    "IJellyable",
    "IPBRoot",
    "IPerspective",
    "IUnjellyable",
    "IUsernameMD5Password",
    "Jellyable",
    "Local",
    "LocalAsRemote",
    "LocalAsyncForwarder",
    "LocalMethod",
    "NoSuchMethod",
    "PBClientFactory",
    "PBConnectionLost",
    "PBServerFactory",
    "Pager",
    "ProtocolError",
    "Publishable",
    "Referenceable",
    "RemoteCache",
    "RemoteCacheMethod",
    "RemoteCacheObserver",
    "RemoteCopy",
    "RemoteError",
    "RemoteMethod",
    "RemotePublished",
    "RemoteReference",
    "Root",
    "SecurityOptions",
    "Serializable",
    "StringPager",
    "Unjellyable",
    "ViewPoint",
    "Viewable",
    "cache_atom",
    "cached_atom",
    "challenge",
    "copyTags",
    "copy_atom",
    "failure2Copyable",
    "getAllPages",
    "globalSecurity",
    "portno",
    "remote_atom",
    "respond",
    "setCopierForClass",
    "setCopierForClassTree",
    "setFactoryForClass",
    "setUnjellyableFactoryForClass",
    "setUnjellyableForClass",
    "setUnjellyableForClassTree",
    "whenReady",
]

portno = 8787
MAX_BROKER_REFS: int
# The tags of references, copies and caches, for classes that jelly themselves.
remote_atom, copy_atom, cache_atom, cached_atom = b"remote", b"copy", b"cache", b"cached"
copyTags = defaults.published.classes
setCopierForClass = setUnjellyableForClass
setCopierForClassTree = setUnjellyableForClassTree
setFactoryForClass = setUnjellyableFactoryForClass


def failure2Copyable(fail: Failure, unsafeTracebacks: bool = False) -> CopyableFailure:
    """Return a Failure as a CopyableFailure, which can be sent to a peer (published)."""
    copyable = CopyableFailure(fail)
    copyable.unsafeTracebacks = unsafeTracebacks
    return copyable


class _Module(ModuleType):
    """The class of this module, so that the setting MAX_BROKER_REFS can be assigned (published)."""

    @property
    def MAX_BROKER_REFS(self) -> int:
        """The most live references of a connection, each way; a Broker reads it when it is made."""
        return defaults.max_broker_refs

    @MAX_BROKER_REFS.setter
    def MAX_BROKER_REFS(self, most: int) -> None:
        defaults.max_broker_refs = most


sys.modules[__name__].__class__ = _Module


class PBServerFactory(ServerFactory):
    """Serves a root, or a portal, to each connection of a listening port (published).

    Args:
        root: a Root, a ``cred.portal.Portal``, or an object that adapts to IPBRoot.
        unsafeTracebacks: send tracebacks with exceptions.
        security: types that peers may send besides the registered ones.
        observers: are told of connections, logins and calls; see `broker.Observer`.

    Raises:
        TypeError: ``root`` is something else, or one of ``observers`` is not an Observer.
    """

    protocol: Callable[..., Broker] = Broker
    _observers: tuple[Observer, ...] = ()
    _inspected: OfFactory | None = None

    def __init__(
        self,
        root: object,
        unsafeTracebacks: bool = False,
        security: Security = globalSecurity,
        *,
        observers: Sequence[Observer] = (),
    ):
        self._observers = checked_observers(observers)
        self.root = root_of(root)
        self._acceptor = Acceptor(PUBLISHED, Counter())
        # Its ports use this too.
        self.log_throttle = self._acceptor.log_throttle
        self.unsafeTracebacks = unsafeTracebacks
        self.security = security

    def buildProtocol(self, addr: Any) -> Any:
        """Return the Broker of a connection, with the root named ``root``.

        Return None if too many connections wait for their login already.
        """
        broker = self.protocol(isClient=False, security=self.security)
        broker.factory = self
        root = self.root.rootObject(broker)
        if not self._acceptor.receive(broker, root, addr):
            return None
        if self._observers:
            observe(broker, self._observers)
        if self._inspected is not None:
            self._inspected.add(broker)
        return broker

    def inspector(self) -> Referenceable:
        """Return the object by which operators see the connections that come from now on.

        See `broker.inspector`. They are sampled each second, as long as the loop runs.

        Raises:
            RuntimeError: no event loop is running.
        """
        # Imported here: most programs have none.
        from broker.flavors.contracts.servant import servant
        from broker.inspection.contract import Inspection
        from broker.inspection.inspector import Inspector

        inspected = self.inspected
        if inspected.inspector is None:
            inspected.inspector = Inspector(inspected)
        return servant(Inspection)(inspected.inspector)

    @property
    def inspected(self) -> OfFactory:
        """The connections that come from now on: what the inspector and the metrics show."""
        from broker.inspection.of_factory import OfFactory

        if self._inspected is None:
            logins = self.root.logins if isinstance(self.root, PortalRoot) else None
            self._inspected = OfFactory(self._acceptor.limits, logins, self._observers)
        return self._inspected

    def clientConnectionMade(self, protocol: Broker) -> None:
        """Do nothing; called when a connection is ready for calls. For subclasses."""


class PBClientFactory(ClientFactory):
    """Gets the root object, or logs in, over the connection of ``connectTCP`` (published).

    Args:
        unsafeTracebacks: send tracebacks with exceptions of this side's objects.
        security: types that the peer may send besides the registered ones.
        observers: are told of its connections and calls; see `broker.Observer`.

    Attributes:
        rootObjectRequests: the Deferreds of callers that wait for the root.
    """

    protocol: Callable[..., Broker] = Broker
    unsafeTracebacks: bool = False
    rootObjectRequests: list[Deferred[RemoteReference]]
    _broker: Broker | None
    _root: RemoteReference | None

    _observers: tuple[Observer, ...] = ()

    def __init__(
        self,
        unsafeTracebacks: bool = False,
        security: Security = globalSecurity,
        *,
        observers: Sequence[Observer] = (),
    ):
        self._observers = checked_observers(observers)
        self.unsafeTracebacks = unsafeTracebacks
        self.security = security
        self._reset()

    def buildProtocol(self, addr: Any) -> Any:
        """Return the Broker of a connection."""
        broker = self.protocol(isClient=True, security=self.security)
        broker.factory = self
        if self._observers:
            observe(broker, self._observers)
        return broker

    def clientConnectionMade(self, broker: Broker) -> None:
        """Fire the Deferreds that wait for the root: the connection is ready for calls."""
        self._broker = broker
        self._root = broker.remoteForName("root")
        waiting, self.rootObjectRequests = self.rootObjectRequests, []
        for deferred in waiting:
            deferred.callback(self._root)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Fail the Deferreds that wait for the root: the connection could not be made."""
        self._failAll(reason)

    def clientConnectionLost(self, connector: Any, reason: Failure, reconnecting: int = 0) -> None:
        """Fail the Deferreds that wait for the root, unless ``reconnecting`` (published)."""
        if reconnecting:
            self._broker = self._root = None
            return
        fault = getattr(self._broker, "reason", None)
        self._failAll(Failure(fault) if isinstance(fault, Exception) else reason)

    def getRootObject(self) -> Deferred[RemoteReference]:
        """Return a Deferred of the reference to the server's root object."""
        if self._root is not None and self._is_connected():
            return succeed(self._root)
        deferred: Deferred[RemoteReference] = Deferred()
        deferred.label = "getRootObject"
        self.rootObjectRequests.append(deferred)
        return deferred

    def login(self, credentials: object, client: object = None) -> Deferred[RemoteReference]:
        """Log in, and return a Deferred of the avatar.

        Args:
            credentials: of ``cred.credentials``; see ``broker.login.client.login``.
            client: the mind: the object that the realm gets, to call this client.

        The Deferred fails at once with WrongType, a TypeError, if no mechanism takes
        ``credentials``.
        """
        try:
            Login(credentials)
        except TypeError:
            return fail()
        deferred = self.getRootObject().addCallback(self._log_in, credentials, client)
        deferred.label = "login"
        return deferred

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._broker is not None and self._is_connected():
            self._broker.transport.loseConnection()

    def _is_connected(self) -> bool:
        return self._broker is not None and not self._broker.disconnected

    def _log_in(
        self, root: RemoteReference, credentials: Any, client: object
    ) -> Deferred[RemoteReference]:
        if IAnonymous.providedBy(credentials):
            return self._cbLoginAnonymous(root, client)
        if has_password(credentials):
            name, password = credentials.username, credentials.password
            return self._cbSendUsername(root, name, password, client)
        return login(_broker_of(root), credentials, client)

    # They have an underscore, but programs that reconnect call these and override them.

    def _reset(self) -> None:
        self.rootObjectRequests = []
        self._broker = self._root = None

    def _failAll(self, reason: Failure) -> None:
        """Forget the connection, and fail the Deferreds that wait for the root (published)."""
        waiting = self.rootObjectRequests
        self._reset()
        for deferred in waiting:
            deferred.errback(reason)

    def _cbSendUsername(
        self, root: RemoteReference, username: str | bytes, password: str | bytes, client: object
    ) -> Deferred[RemoteReference]:
        """Log in with a password at a root; return a Deferred of the avatar (published)."""
        return login(_broker_of(root), UsernamePassword(username, password), client)

    def _cbResponse(
        self,
        challenges: tuple[bytes, RemoteReference],
        password: str | bytes,
        client: object,
    ) -> Deferred[RemoteReference]:
        """Answer the challenge that PB's ``login`` has returned; see `_cbSendUsername`."""
        question, challenger = challenges
        answer: Deferred[RemoteReference] = challenger.callRemote(
            "respond", respond(question, password), client
        )
        return answer

    def _cbLoginAnonymous(self, root: RemoteReference, client: object) -> Deferred[RemoteReference]:
        """Log in as a guest at a root; return a Deferred of the avatar (published)."""
        return login(_broker_of(root), Anonymous(), client)


def _broker_of(reference: RemoteReference) -> Broker:
    # A reference knows only the part of its Broker that flavors use.
    return cast(Broker, reference.broker)
