"""Every published name of Perspective Broker, on the engine of ``broker``.

One door for what Twisted spreads over ``spread.pb``, ``spread.flavors``, ``spread.util`` and
``spread.publish``. New code is better off with ``broker`` itself.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Interface

from broker.connection import Broker, published_policy
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
from broker.flavors.reference import RemoteMethod, RemoteReference
from broker.flavors.referenceable import Referenceable, Root, Serializable
from broker.flavors.viewable import Viewable, ViewPoint
from broker.interfaces import IPBRoot, IPerspective
from broker.login import IUsernameMD5Password, login, root_of
from broker.reactor.protocol import ClientFactory, ServerFactory
from cred.challenges import challenge, respond
from jelly import (
    Jellyable,
    SecurityOptions,
    Unjellyable,
    globalSecurity,
    setUnjellyableFactoryForClass,
    setUnjellyableForClass,
    setUnjellyableForClassTree,
)
from jelly.security import Security

__all__ = [
    "AsReferenceable",
    "Avatar",
    "Broker",
    "Cacheable",
    "CopiedFailure",
    "Copyable",
    "CopyableFailure",
    "DeadReferenceError",
    "Error",
    "IPBRoot",
    "IPerspective",
    "IUsernameMD5Password",
    "Jellyable",
    "NoSuchMethod",
    "PBClientFactory",
    "PBConnectionLost",
    "PBServerFactory",
    "ProtocolError",
    "Referenceable",
    "RemoteCache",
    "RemoteCacheMethod",
    "RemoteCacheObserver",
    "RemoteCopy",
    "RemoteError",
    "RemoteMethod",
    "RemoteReference",
    "Root",
    "SecurityOptions",
    "Serializable",
    "Unjellyable",
    "ViewPoint",
    "Viewable",
    "challenge",
    "copyTags",
    "globalSecurity",
    "portno",
    "respond",
    "setCopierForClass",
    "setCopierForClassTree",
    "setFactoryForClass",
    "setUnjellyableFactoryForClass",
    "setUnjellyableForClass",
    "setUnjellyableForClassTree",
]
