"""Policy: everything that one side allows, limits, shows and waits for, in one frozen record."""

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
    """What a connection allows; made once, shared by many connections.

    ``Policy()`` is the strict one. :data:`STRICT` is what ``serve`` and ``connect`` take unless
    told otherwise, :data:`PUBLISHED` what the factories of ``broker.pb`` take.

    Attributes:
        dialects: those that are offered and taken, of ``"msgpack/1"``, ``"pb"`` and ``"none"``; not
            the first where ``limits.max_depth`` is more than 100.
        limits: sizes, both directions.
        security: types, modules and classes that may come in besides the registered ones.
        registry: the classes that incoming tags become.
        allow_code: whether class, module, function and method may cross, where ``security`` allows.
        max_refs: live references and caches, each way.
        max_calls: calls of the peer that are being worked on.
        max_waiting, max_waiting_each: connections of a server that have not logged in, in all and
            from one IPv4 address or IPv6 network of 64 bits; beyond ``max_waiting``, one of the
            source with the most is closed.
        login_limits, login_refs, login_calls, login_backlog: what a peer may send, hold, have in
            flight and have waiting before it has logged in; where ``limits``, ``max_refs``,
            ``max_calls`` and ``max_backlog`` are smaller, these.
        challenge_login: whether PB's MD5 challenge login is used, and answered.
        declared_state: refuse copies of classes without declared fields.
        send_unpersistable: send ``[unpersistable reason]`` in place of what cannot be sent inside
            the state of an object, and the rest of the state; rather than fail the call.
        show_all_errors: send the text of every exception, not of registered ones only; and tell
            guests that they are not let in as Twisted does.
        published_errors: errors are those that a program of Twisted's knows: all that a peer raises
            is a RemoteError, whose ``remoteType`` is bytes and whose ``str()`` is the peer's text
            alone; and in PB's dialects faults of calls are told in Twisted's words.
        unsafe_tracebacks: send tracebacks too.
        dynamic_methods: try the target's own attribute for a method that its class does not define.
        cancel_on_disconnect: cancel the peer's async methods when the peer has gone.
        text_user_names: checkers and realms get user names as str, and checkers get passwords as
            bytes, whichever was sent; a client sends both as bytes. Without it a client sends each
            as it was given, checkers get it as it was sent, and realms what the checker returned.
        insecure_plaintext: serve and dial public addresses without TLS.
        max_unsent: bytes that may wait for a peer that reads slowly; see ``stall_timeout``.
        max_strikes, max_unknown: calls with references beyond ``max_refs``, and calls that name
            objects which the peer was not given, of which the last ends the connection.
        max_pings: pings of the peer's within ``ping_after`` seconds; they are counted anew before
            twice as many have passed.
        high_water: unsent bytes above which no further call of the peer is started.
        max_backlog: received bytes that may wait to be handled, before reading stops.
        max_buffered: bytes that all connections of one server may hold together, received and not
            handled or not sent; beyond it the largest are read no more, and closed if that does not
            help.
        turn_messages, turn_time: messages of one connection that are handled in one turn of the
            loop, and seconds after which no more of them are.
        handshake_timeout, offer_timeout, login_timeout, close_timeout: seconds for the TLS
            handshake, for the server's offer of dialects, for a login, and for the peer's part of a
            close.
        partial_timeout, partial_rate: seconds that a message may take from its first byte to its
            last, and bytes a second of one that takes longer.
        ping_after, ping_timeout: seconds of silence after which a peer is asked whether it is
            there, and that it then has to answer.
        stall_timeout: seconds a peer may take nothing while much waits for it, or leave more than
            ``max_unsent`` waiting.

    Counts and bytes are ints, seconds are ints or floats. They are more than 0; but ``max_refs``,
    ``max_calls`` and ``login_refs`` may be 0 for none at all, and ``turn_time`` may be 0. Seconds
    may be ``math.inf`` for no limit.

    Raises:
        ConfigError: no dialect could be agreed on, or one of those named is none; or a number is
            not one that it may be.
        WrongType: a ConfigError: a value is of another type.
    """

    dialects: tuple[str, ...] = ("msgpack/1", "pb", "none")
    limits: Limits = field(default_factory=Limits)
    security: Security = field(default_factory=_basic_types)
    registry: Registry = defaults.declared
    allow_code: bool = False
    max_refs: int = 10_000
    max_calls: int = 1024
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
            ConfigError: as of the class.
        """
        # Not by replace, which calls __post_init__ only from msgspec 0.21 on.
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


# 0 allows nothing there, which a program may want; anywhere else nothing would work.
_MAY_BE_NONE = frozenset({"max_calls", "max_refs", "login_refs", "turn_time"})

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


def published_policy(security: Security | None = None, unsafe_tracebacks: bool = False) -> Policy:
    """Return the policy of the published names, with the module-level settings as they are now."""
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
