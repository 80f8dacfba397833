"""Probes: the code does not ask an object what it can do where its type can tell.

A probe is a call of ``hasattr`` or ``getattr`` with a literal name. An object of the application
may have published methods that are optional, and an object of Twisted or of Python has no interface
of this library: these probes are in a table, with a reason for each. All other objects have members
that a class or a Protocol declares.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

PACKAGES = ("broker/connection", "broker/core", "broker/login", "broker/net")

ARRIVED = "what a front end gives: a transport of any library, or an address"
AVATAR = "an avatar of the application, which need not have the method (published)"
AWAITABLE = "a value of the application, of any type, which may be awaitable"
CREDENTIALS = "credentials of the application, which need not be of this library"
ERROR = "an exception of any library; some have the attribute"
FACTORY = "a factory of the application, which need not have the attribute (published)"
FAILURE = "an exception, a Failure of this library, or one of Twisted"
LOOP = "a method of an event loop, which need not be a function of Python"
METHOD = "a method of the application, or an object in place of one"
NOTES = "Python adds the attribute to an exception with its first note"
PLATFORM = "a platform may not have it"
RECEIVED_CLASS = "a class that the application has registered, of any kind"
SECURITY = "the argument of a user, for the error about a wrong one"
TWISTED = "an object of Twisted, or of an application in its place"

ALLOWED = {
    ("broker/connection/broker.py", "__await__", 1): AWAITABLE,
    ("broker/connection/broker.py", "clientConnectionMade", 1): FACTORY,
    ("broker/connection/broker.py", "unsafeTracebacks", 1): FACTORY,
    ("broker/connection/broker.py", "value", 1): FAILURE,
    ("broker/connection/log.py", "__notes__", 1): NOTES,
    ("broker/connection/published.py", "__await__", 1): AWAITABLE,
    ("broker/core/calls/dispatch.py", "__dict__", 1): FAILURE,
    ("broker/core/calls/dispatch.py", "__self__", 1): METHOD,
    ("broker/core/calls/dispatch.py", "broker_conditions", 2): METHOD,
    ("broker/core/calls/dispatch.py", "is_engine_hook", 1): METHOD,
    ("broker/core/calls/dispatch.py", "object", 1): METHOD,
    ("broker/core/calls/dispatch.py", "value", 2): FAILURE,
    ("broker/core/calls/exposed_methods.py", "__dict__", 1): METHOD,
    ("broker/core/calls/exposed_methods.py", "__get__", 2): METHOD,
    ("broker/core/calls/exposed_methods.py", "broker_conditions", 2): METHOD,
    ("broker/core/calls/plain_calls.py", "__await__", 1): AWAITABLE,
    ("broker/core/objects/translator.py", "is_remote_cache", 1): RECEIVED_CLASS,
    ("broker/core/objects/translator.py", "reads_reference", 1): RECEIVED_CLASS,
    ("broker/core/objects/translator.py", "unjellyFor", 1): RECEIVED_CLASS,
    ("broker/core/objects/whereabouts.py", "__notes__", 1): NOTES,
    ("broker/core/policy.py", "isTypeAllowed", 1): SECURITY,
    ("broker/core/tracer.py", "value", 1): FAILURE,
    ("broker/login/accept.py", "host", 1): TWISTED,
    ("broker/login/active_logins.py", "processUniqueID", 1): AVATAR,
    ("broker/login/arrivals.py", "getPeer", 1): ARRIVED,
    ("broker/login/arrivals.py", "getPeerCertificate", 1): ARRIVED,
    ("broker/login/arrivals.py", "get_extra_info", 1): ARRIVED,
    ("broker/login/arrivals.py", "host", 1): ARRIVED,
    ("broker/login/arrivals.py", "is_private", 1): ARRIVED,
    ("broker/login/attempts.py", "username", 1): CREDENTIALS,
    ("broker/login/audit.py", "reason", 1): ERROR,
    ("broker/login/context.py", "perspectiveMessageReceived", 1): AVATAR,
    ("broker/login/mechanisms/mechanism.py", "password", 1): CREDENTIALS,
    ("broker/login/mechanisms/mechanism.py", "username", 1): CREDENTIALS,
    ("broker/login/portal_view.py", "__func__", 1): METHOD,
    ("broker/login/portal_logins.py", "host", 1): TWISTED,
    ("broker/login/portal_logins.py", "limit", 1): ERROR,
    ("broker/login/realm.py", "__name__", 2): METHOD,
    ("broker/login/realm.py", "logout", 1): AVATAR,
    ("broker/login/results.py", "__await__", 1): AWAITABLE,
    ("broker/net/forks.py", "register_at_fork", 1): PLATFORM,
    ("broker/net/scheduler.py", "__func__", 1): LOOP,
    ("broker/net/scheduler.py", "reactor", 1): TWISTED,
    ("broker/net/scheduler.py", "scheduler", 1): TWISTED,
    ("broker/net/socket_addresses.py", "AF_UNIX", 1): PLATFORM,
    ("broker/net/socket_addresses.py", "host", 2): TWISTED,
    ("broker/net/socket_options.py", "errno", 1): ERROR,
    ("broker/net/socket_options.py", "fileno", 1): TWISTED,
    ("broker/net/sockets.py", "SO_REUSEPORT", 1): PLATFORM,
    ("broker/net/tcp_keepalive.py", "TCP_KEEPALIVE", 1): PLATFORM,
    ("broker/net/tcp_keepalive.py", "TCP_KEEPCNT", 1): PLATFORM,
    ("broker/net/tcp_keepalive.py", "TCP_KEEPIDLE", 1): PLATFORM,
    ("broker/net/tcp_keepalive.py", "TCP_KEEPINTVL", 1): PLATFORM,
    ("broker/net/tcp_keepalive.py", "TCP_USER_TIMEOUT", 1): PLATFORM,
    ("broker/net/tcp_keepalive.py", "getHandle", 1): TWISTED,
    ("broker/net/tcp_keepalive.py", "transport", 1): TWISTED,
    ("broker/net/twisted_transport.py", "abortConnection", 1): TWISTED,
    ("broker/net/twisted_transport.py", "getPeerCertificate", 1): TWISTED,
    ("broker/net/twisted_transport.py", "is_secure", 1): TWISTED,
    ("broker/net/twisted_transport.py", "peer_certificate", 1): TWISTED,
}
"""The probes: file, name, how many; with the reason. The table may only shrink."""


def probes_in(text: str) -> Iterator[str]:
    """Yield the literal name of each probe in a source."""
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("hasattr", "getattr")
            and len(node.args) > 1
            and isinstance(node.args[1], ast.Constant)
        ):
            yield str(node.args[1].value)


def found() -> dict[tuple[str, str, int], str]:
    """Return the probes of the packages, in the form of the table."""
    counts = Counter(
        (str(path.relative_to(ROOT)), name)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in probes_in(path.read_text("utf-8"))
    )
    return {(file, name, count): "" for (file, name), count in counts.items()}


def test_no_new_probes() -> None:
    """Each probe is in the table, and the table has no others."""
    assert sorted(found()) == sorted(ALLOWED)


def test_each_has_a_reason() -> None:
    """A probe that stays has a reason."""
    assert all(ALLOWED.values())


def test_what_is_found() -> None:
    """A probe has a literal name; a name that is computed is not one, nor is a text."""
    text = "hasattr(a, 'x')\ngetattr(a.b, 'y', None)\ngetattr(a, name)\n'getattr(a, \"z\")'\n"
    assert list(probes_in(text)) == ["x", "y"]
