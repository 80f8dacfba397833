"""Two-way remote objects for asyncio, on the wire of Twisted's Perspective Broker.

``await broker.connect("pbs://host", credentials)`` returns a connection. Call its ``avatar`` with
``await avatar.callRemote("name", …)``. ``broker.serve(root_or_portal)`` is the server's side.
``broker.blocking`` is the same for scripts and threads, without ``await``.
``broker.pb`` has all names of Perspective Broker, and ``broker.reactor`` Twisted's names around it.

Names are loaded when they are first used, so that the import of one part does not load the others.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from os.path import dirname, realpath
from typing import TYPE_CHECKING, Any

__all__ = [
    "GONE",
    "PUBLISHED",
    "STRICT",
    "TLS",
    "AsReferenceable",
    "Avatar",
    "BananaError",
    "BindError",
    "BrokenPromise",
    "Broker",
    "Cacheable",
    "Call",
    "CallTimeout",
    "CannotJelly",
    "CannotListenError",
    "Cluster",
    "ConfigError",
    "Connect",
    "ConnectBindError",
    "ConnectError",
    "Connection",
    "ConnectionAborted",
    "ConnectionClosed",
    "ConnectionDone",
    "ConnectionLost",
    "ConnectionRefusedError",
    "CopiedFailure",
    "Copyable",
    "CopyableFailure",
    "DNSLookupError",
    "DeadReferenceError",
    "DecodeError",
    "Delivery",
    "Disconnected",
    "EncodeError",
    "EndOfStream",
    "Error",
    "FileRefused",
    "Files",
    "Grants",
    "History",
    "InsecureJelly",
    "Interceptor",
    "JellyError",
    "LimitExceeded",
    "Limits",
    "Link",
    "LogCalls",
    "LoginExpired",
    "LoginThrottle",
    "MalformedJelly",
    "Manhole",
    "MemoryEngine",
    "NameLost",
    "NameTaken",
    "NoRouteError",
    "NoSuchFile",
    "NoSuchMethod",
    "NoSuchObject",
    "Observer",
    "Outcome",
    "PBConnectionLost",
    "Peer",
    "Policy",
    "PortalLogins",
    "Position",
    "Progress",
    "Promise",
    "ProtocolError",
    "Rate",
    "RateLimit",
    "Referenceable",
    "RemoteCache",
    "RemoteCacheObserver",
    "RemoteCopy",
    "RemoteError",
    "RemoteMethod",
    "RemoteReference",
    "RemoteStream",
    "Replies",
    "ResultLost",
    "Resumable",
    "Retry",
    "Root",
    "SSLError",
    "Serve",
    "Server",
    "ServerBusy",
    "ServerDraining",
    "Since",
    "Slow",
    "SlowCalls",
    "Stats",
    "Stream",
    "Subscribers",
    "TCPTimedOutError",
    "TLSError",
    "Table",
    "TableView",
    "TooLarge",
    "TooManyAttempts",
    "TooSlow",
    "Topics",
    "TopicsContract",
    "UnknownHostError",
    "UserError",
    "ViewPoint",
    "Viewable",
    "WrongArguments",
    "WrongResult",
    "WrongType",
    "accelerated",
    "allow",
    "asgi",
    "callback",
    "connect",
    "contract",
    "credit",
    "current_call",
    "describe",
    "forward",
    "implements",
    "inspector",
    "interface_of",
    "is_transient",
    "metadata",
    "once",
    "read_file",
    "realm",
    "reference_of",
    "register",
    "resolved",
    "servant",
    "serve",
    "stream_of",
    "throttled",
    "timeout",
    "write_file",
]

if TYPE_CHECKING:
    from broker import blocking as blocking
    from broker import opentelemetry as opentelemetry
    from broker.acceleration import accelerated
    from broker.asgi_application import asgi
    from broker.call_metadata import metadata
    from broker.client import Connect, connect
    from broker.cluster.cluster import Cluster
    from broker.connection.broker import Broker
    from broker.connection.connection import Connection
    from broker.connection.peer import Call, Peer, current_call
    from broker.core.policy import PUBLISHED, STRICT, Policy
    from broker.core.stats import Stats
    from broker.core.tracer import Outcome
    from broker.errors import (
        BananaError,
        BindError,
        BrokenPromise,
        CallTimeout,
        CannotJelly,
        CannotListenError,
        ConfigError,
        ConnectBindError,
        ConnectError,
        ConnectionAborted,
        ConnectionClosed,
        ConnectionDone,
        ConnectionLost,
        ConnectionRefusedError,
        DeadReferenceError,
        DecodeError,
        Disconnected,
        DNSLookupError,
        EncodeError,
        EndOfStream,
        Error,
        FileRefused,
        InsecureJelly,
        JellyError,
        LimitExceeded,
        LoginExpired,
        MalformedJelly,
        NameLost,
        NameTaken,
        NoRouteError,
        NoSuchFile,
        NoSuchMethod,
        NoSuchObject,
        PBConnectionLost,
        ProtocolError,
        RemoteError,
        ResultLost,
        ServerBusy,
        ServerDraining,
        SSLError,
        TCPTimedOutError,
        TLSError,
        TooLarge,
        TooManyAttempts,
        TooSlow,
        UnknownHostError,
        UserError,
        WrongArguments,
        WrongResult,
        WrongType,
    )
    from broker.files import read_file, write_file
    from broker.flavors.adapters import callback, forward
    from broker.flavors.avatar import AsReferenceable, Avatar
    from broker.flavors.cacheable import Cacheable, RemoteCache, RemoteCacheObserver
    from broker.flavors.contracts.conformance import implements, interface_of
    from broker.flavors.contracts.contract import contract
    from broker.flavors.contracts.description import describe
    from broker.flavors.contracts.proxy import reference_of, resolved
    from broker.flavors.contracts.servant import servant
    from broker.flavors.copyable import Copyable, RemoteCopy, register
    from broker.flavors.failures import CopiedFailure, CopyableFailure
    from broker.flavors.promise import Promise
    from broker.flavors.reference import RemoteMethod, RemoteReference
    from broker.flavors.referenceable import Referenceable, Root
    from broker.flavors.resumable import Resumable
    from broker.flavors.streams import RemoteStream, Stream, stream_of
    from broker.flavors.subscribers import Delivery, Slow, Subscribers
    from broker.flavors.table import Table
    from broker.flavors.table_changes import GONE
    from broker.flavors.table_view import TableView
    from broker.flavors.viewable import Viewable, ViewPoint
    from broker.history import History, Position
    from broker.inspection.manhole import Manhole
    from broker.interceptors import Interceptor, RateLimit
    from broker.link.link import Link
    from broker.login.groups import allow
    from broker.login.portal_logins import PortalLogins
    from broker.login.realm import realm
    from broker.login.throttle import LoginThrottle
    from broker.net.tls.settings import TLS
    from broker.observers import LogCalls, Observer
    from broker.once_calls import once
    from broker.progress import Progress, throttled
    from broker.replies import Replies
    from broker.retry import Retry
    from broker.running_server import Server, inspector
    from broker.served_files import Files
    from broker.server import Serve, serve
    from broker.slow_calls import SlowCalls
    from broker.stream_credit import credit
    from broker.timeouts import timeout
    from broker.token_bucket import Rate
    from broker.topics.contract import TopicsContract
    from broker.topics.engines.memory import MemoryEngine
    from broker.topics.grants import Grants
    from broker.topics.hub import Topics
    from broker.topics.items import Since
    from broker.transient import is_transient
    from jelly.limits import Limits

_HOMES = {
    "broker.acceleration": "accelerated",
    "broker.asgi_application": "asgi",
    "broker.call_metadata": "metadata",
    "broker.client": "Connect connect",
    "broker.cluster.cluster": "Cluster",
    "broker.connection.broker": "Broker",
    "broker.core.policy": "PUBLISHED STRICT Policy",
    "broker.core.stats": "Stats",
    "broker.errors": (
        "BananaError BindError BrokenPromise CallTimeout CannotJelly CannotListenError ConfigError"
        " ConnectBindError ConnectError ConnectionClosed ConnectionAborted ConnectionDone"
        " ConnectionLost ConnectionRefusedError DNSLookupError DeadReferenceError DecodeError"
        " Disconnected EndOfStream"
        " EncodeError Error InsecureJelly JellyError LimitExceeded LoginExpired MalformedJelly"
        " NoRouteError NoSuchMethod NoSuchObject PBConnectionLost ProtocolError RemoteError"
        " FileRefused NameLost NameTaken NoSuchFile"
        " ResultLost SSLError ServerBusy ServerDraining TCPTimedOutError TLSError TooLarge"
        " TooManyAttempts TooSlow UnknownHostError UserError WrongArguments WrongResult WrongType"
    ),
    "broker.flavors.adapters": "callback forward",
    "broker.flavors.avatar": "AsReferenceable Avatar",
    "broker.flavors.cacheable": "Cacheable RemoteCache RemoteCacheObserver",
    "broker.flavors.contracts.conformance": "implements interface_of",
    "broker.flavors.contracts.contract": "contract",
    "broker.flavors.contracts.description": "describe",
    "broker.flavors.contracts.proxy": "reference_of resolved",
    "broker.flavors.contracts.servant": "servant",
    "broker.flavors.copyable": "Copyable RemoteCopy register",
    "broker.flavors.failures": "CopiedFailure CopyableFailure",
    "broker.files": "read_file write_file",
    "broker.flavors.promise": "Promise",
    "broker.flavors.reference": "RemoteMethod RemoteReference",
    "broker.flavors.referenceable": "Referenceable Root",
    "broker.flavors.resumable": "Resumable",
    "broker.flavors.streams": "RemoteStream Stream stream_of",
    "broker.flavors.subscribers": "Delivery Slow Subscribers",
    "broker.flavors.table": "Table",
    "broker.flavors.table_changes": "GONE",
    "broker.flavors.table_view": "TableView",
    "broker.flavors.viewable": "ViewPoint Viewable",
    "broker.connection.connection": "Connection",
    "broker.history": "History Position",
    "broker.inspection.manhole": "Manhole",
    "broker.link.link": "Link",
    "broker.core.tracer": "Outcome",
    "broker.interceptors": "Interceptor RateLimit",
    "broker.observers": "LogCalls Observer",
    "broker.login.portal_logins": "PortalLogins",
    "broker.login.realm": "realm",
    "broker.login.groups": "allow",
    "broker.login.throttle": "LoginThrottle",
    "broker.net.tls.settings": "TLS",
    "broker.connection.peer": "Call Peer current_call",
    "broker.once_calls": "once",
    "broker.progress": "Progress throttled",
    "broker.replies": "Replies",
    "broker.retry": "Retry",
    "broker.served_files": "Files",
    "broker.running_server": "Server inspector",
    "broker.server": "Serve serve",
    "broker.slow_calls": "SlowCalls",
    "broker.stream_credit": "credit",
    "broker.timeouts": "timeout",
    "broker.token_bucket": "Rate",
    "broker.topics.contract": "TopicsContract",
    "broker.topics.engines.memory": "MemoryEngine",
    "broker.topics.grants": "Grants",
    "broker.topics.hub": "Topics",
    "broker.topics.items": "Since",
    "broker.transient": "is_transient",
    "jelly.limits": "Limits",
}
# Packages that are attributes of this one without an import of their own.
_PACKAGES = frozenset({"blocking", "opentelemetry"})
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:
    # A type checker that sees this function accepts every misspelt name.
    def __getattr__(name: str) -> Any:
        if name in _PACKAGES:
            return import_module(f"broker.{name}")
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'broker' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF, *_PACKAGES})


def _check_siblings() -> None:
    """Check that the packages jelly and cred are not those of another project.

    Raises:
        ImportError: one of them is of another project; the text names its distribution.
    """
    # Not by pathlib, whose import takes a millisecond.
    here = dirname(dirname(realpath(__file__)))
    for name in ("jelly", "cred"):
        spec = find_spec(name)
        if spec is not None and spec.origin and dirname(dirname(realpath(spec.origin))) == here:
            continue
        # Imported here, since it loads sockets and more, and only this error needs it.
        packages_distributions = import_module("importlib.metadata").packages_distributions
        owners = set(packages_distributions().get(name, ())) - {"perspective-broker"}
        where = "not there" if spec is None else spec.origin or "a folder without code"
        found = f"of {' and '.join(sorted(owners))}" if owners else where
        raise ImportError(
            f"perspective-broker needs its own package '{name}', and the one that Python finds"
            f" is {found}: install perspective-broker in a virtual environment of its own"
        )


_check_siblings()
