"""Policy: the permissions, limits and timeouts of one side, in one frozen record."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from broker.config_error import ConfigError, WrongType
from broker.core.wire.dialects import check_names
from jelly.limits import PUBLISHED_LIMITS, Limits
from jelly.registry import Registry, defaults
from jelly.security import Security, SecurityOptions

__all__ = ["PUBLISHED", "STRICT", "Policy", "published_policy"]


def _basic_types() -> SecurityOptions:
    options = SecurityOptions()
    options.allowBasicTypes()
    return options


def _login_limits() -> Limits:
    return Limits(max_depth=16, max_expression=64 * 1024, max_nodes=2_000)


class Policy(Struct, frozen=True):
    """The permissions, limits and timeouts of a connection; may be shared by many connections.

    ``Policy()`` is the strict policy. :data:`STRICT` is the default of ``serve`` and ``connect``,
    :data:`PUBLISHED` of the factories of ``broker.pb``.

    Attributes:
        dialects: dialects to offer and accept, of ``"msgpack/1"``, ``"pb"`` and ``"none"``.
            ``"msgpack/1"`` is not used if ``limits.max_depth`` is more than 100.
        limits: sizes, in both directions.
        security: incoming types, modules and classes that are allowed besides the registered ones.
        registry: the classes of incoming tags.
        allow_code: whether classes, modules, functions and methods may be sent and received, if
            ``security`` allows them.
        max_refs: live references, and live caches, in each direction.
        max_calls: calls of the peer that may run at once.
        max_promised: those of them that may wait for promises.
        max_streams: open streams in each direction.
        stream_items, stream_window: items, and bytes, that the peer may send of a new stream before
            the program takes some.
        max_waiting, max_waiting_each: connections of a server that have not logged in, or have not
            sent the request for a WebSocket: of all clients, and of one IPv4 address or IPv6 /64
            network. Over ``max_waiting``, a connection of the source with the most is closed.
        login_limits, login_refs, login_calls, login_backlog: replace ``limits``, ``max_refs``,
            ``max_calls`` and ``max_backlog`` before the peer has logged in, if they are smaller.
        challenge_login: whether PB's MD5 challenge login is used and answered.
        declared_state: refuse copies of classes without declared fields.
        send_unpersistable: if a value inside the state of an object cannot be sent, send
            ``[unpersistable reason]`` in its place, instead of failing the call.
        show_all_errors: send the text of every exception, not only of registered ones. Refuse
            anonymous logins as Twisted does.
        published_errors: raise the errors that programs of Twisted expect. Every error of the peer
            is a RemoteError whose ``remoteType`` is bytes, and whose ``str()`` is only the peer's
            text. In PB's dialects, faults of calls have Twisted's texts.
        unsafe_tracebacks: send tracebacks too.
        dynamic_methods: look up a method on the target itself if its class does not define it.
        inherit_deadline: the calls that a method makes have the deadline of its caller.
        cancel_on_disconnect: cancel the peer's async methods when the connection ends.
        text_user_names: checkers and realms get user names as str, and checkers get passwords as
            bytes, whatever was sent. A client sends both as bytes. If false, a client sends each
            as it was given, checkers get it as it was sent, and realms get the checker's result.
        insecure_plaintext: serve and connect to public addresses without TLS.
        max_unsent: bytes that may wait for a peer that reads slowly; see ``stall_timeout``.
        max_strikes: calls over ``max_refs`` or ``max_streams`` until the connection is closed.
        max_unknown: calls to objects that the peer was not given, until the connection is closed.
        max_pings: pings of the peer in ``ping_after`` seconds. The count is reset at intervals of
            ``ping_after`` to 2 × ``ping_after`` seconds. As many small frames of a WebSocket may
            come besides: pings, empty ones, and small fragments.
        high_water: unsent bytes above which no more calls of the peer are started.
        max_backlog: unhandled received bytes above which reading stops.
        max_buffered: unhandled and unsent bytes of all connections of one server. Over it, the
            largest connections are not read, and closed if that does not help.
        turn_messages, turn_time: limits of one turn of the loop for one connection: messages, and
            seconds after which no more messages are handled.
        handshake_timeout, offer_timeout, login_timeout, close_timeout: seconds for the handshakes
            of TLS and WebSocket together, with the header of a proxy; for the server's offer of
            dialects; for a login; and for the peer's part of a close.
        partial_timeout, partial_rate: seconds from the first to the last byte of a message, and the
            least bytes per second of a message that takes longer.
        ping_after, ping_timeout: seconds of silence before the peer is sent a ping, and seconds for
            its answer.
        stall_timeout: seconds for which a peer may read nothing while many bytes wait for it, or
            may leave more than ``max_unsent`` bytes waiting.

    Counts and bytes are ints, seconds are ints or floats. They are more than 0. ``max_refs``,
    ``max_calls``, ``max_promised``, ``max_streams`` and ``login_refs`` may be 0, which allows none;
    ``turn_time`` may be 0. Seconds may be ``math.inf`` for no limit.

    Raises:
        ConfigError: a dialect is unknown, no dialect can be used, or a number is out of its range.
        WrongType: a ConfigError: a value has the wrong type.
    """

    dialects: tuple[str, ...] = ("msgpack/1", "pb", "none")
    limits: Limits = field(default_factory=Limits)
    security: Security = field(default_factory=_basic_types)
    registry: Registry = defaults.declared
    allow_code: bool = False
    max_refs: int = 10_000
    max_calls: int = 1024
    max_promised: int = 64
    max_streams: int = 64
    stream_items: int = 256
    stream_window: int = 256 * 1024
    max_waiting: int = 256
    max_waiting_each: int = 16
    login_limits: Limits = field(default_factory=_login_limits)
    login_refs: int = 8
    login_calls: int = 4
    login_backlog: int = 64 * 1024
    challenge_login: bool = False
    declared_state: bool = True
    send_unpersistable: bool = False
    show_all_errors: bool = False
    published_errors: bool = False
    unsafe_tracebacks: bool = False
    dynamic_methods: bool = False
    inherit_deadline: bool = True
    cancel_on_disconnect: bool = True
    text_user_names: bool = True
    insecure_plaintext: bool = False
    max_unsent: int = 16 * 1024 * 1024
    max_strikes: int = 3
    max_unknown: int = 100
    max_pings: int = 40
    high_water: int = 64 * 1024
    max_backlog: int = 16 * 1024 * 1024
    max_buffered: int = 256 * 1024 * 1024
    turn_messages: int = 64
    turn_time: float = 0.005
    handshake_timeout: float = 10.0
    offer_timeout: float = 10.0
    login_timeout: float = 30.0
    close_timeout: float = 5.0
    partial_timeout: float = 30.0
    partial_rate: int = 1024
    ping_after: float = 20.0
    ping_timeout: float = 20.0
    stall_timeout: float = 30.0

    def __post_init__(self) -> None:
        for name, check in _CHECKS:
            check(name, getattr(self, name))
        check_names(self.dialects, self.limits)

    def but(self, **changes: Any) -> Policy:
        """Return this policy with some attributes changed.

        Raises:
            ConfigError: see the class.
        """
        # Not msgspec's replace, which calls __post_init__ only since 0.21.
        return Policy(**(asdict(self) | changes))


def _check_count(name: str, value: Any) -> None:
    if type(value) is not int:
        raise _wrong_type(name, value, "an int")
    if value < (0 if name in _MAY_BE_NONE else 1):
        raise ConfigError(f"{name}={value}: it is {'not negative' if value else 'more than 0'}")


def _check_seconds(name: str, value: Any) -> None:
    if type(value) is not float and type(value) is not int:
        raise _wrong_type(name, value, "a number of seconds")
    if not (value > 0 or (value == 0 and name in _MAY_BE_NONE)):
        raise ConfigError(f"{name}={value}: it is a number of seconds, more than 0")


def _check_flag(name: str, value: Any) -> None:
    if type(value) is not bool:
        raise _wrong_type(name, value, "True or False")


def _check_limits(name: str, value: Any) -> None:
    if not isinstance(value, Limits):
        raise _wrong_type(name, value, "a Limits, such as Limits(max_nodes=1000)")
    if value.max_depth < 1:
        raise ConfigError(f"{name}: with a max_depth of {value.max_depth} no message is allowed")


def _check_dialects(name: str, value: Any) -> None:
    if not isinstance(value, Collection):
        raise _wrong_type(name, value, 'a tuple of names, such as ("pb",)')


def _check_security(name: str, value: Any) -> None:
    if isinstance(value, type) or not callable(getattr(value, "isTypeAllowed", None)):
        raise _wrong_type(name, value, "a SecurityOptions, or an object with its methods")


def _check_registry(name: str, value: Any) -> None:
    if not isinstance(value, Registry):
        raise _wrong_type(name, value, "a Registry of jelly")


def _wrong_type(name: str, value: Any, right: str) -> WrongType:
    kind = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    return WrongType(f"{name} is {right}, not {kind}")


# Settings that may be 0. With 0 for another one, no connection would work.
_MAY_BE_NONE = frozenset(
    {"max_calls", "max_promised", "max_refs", "max_streams", "login_refs", "turn_time"}
)

_CHECKS_OF = {
    "bool": _check_flag,
    "int": _check_count,
    "float": _check_seconds,
    "Limits": _check_limits,
    "tuple[str, ...]": _check_dialects,
    "Security": _check_security,
    "Registry": _check_registry,
}
_CHECKS = tuple((name, _CHECKS_OF[kind]) for name, kind in Policy.__annotations__.items())


STRICT = Policy()
"""The policy of ``serve`` and ``connect`` unless another is given."""

PUBLISHED = Policy(
    limits=PUBLISHED_LIMITS,
    security=defaults.security,
    registry=Registry(defaults.published, defaults.declared),
    allow_code=True,
    max_refs=defaults.max_broker_refs,
    challenge_login=True,
    declared_state=False,
    send_unpersistable=True,
    show_all_errors=True,
    published_errors=True,
    dynamic_methods=True,
    cancel_on_disconnect=False,
    text_user_names=False,
    insecure_plaintext=True,
)
"""The policy of the published names, such as ``PBServerFactory``: as in Twisted."""


def published_policy(security: Security | None = None, unsafe_tracebacks: bool = False) -> Policy:
    """Return the policy of Twisted's names, with the current module-level settings."""
    return PUBLISHED.but(
        security=defaults.security if security is None else security,
        unsafe_tracebacks=bool(unsafe_tracebacks),
        max_refs=defaults.max_broker_refs,
        limits=PUBLISHED_LIMITS.but(
            max_prefix=defaults.prefix_limit,
            max_string=defaults.size_limit,
            max_list=defaults.size_limit,
        ),
    )
