"""Policy: everything that one side allows, limits, shows and waits for, in one frozen record."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from broker.core.dialects import check_names
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
        show_all_errors: send the text of every exception, not of registered ones only.
        unsafe_tracebacks: send tracebacks too.
        dynamic_methods: try the target's own attribute for a method that its class does not define.
        cancel_on_disconnect: cancel the peer's async methods when the peer has gone.
        text_user_names: checkers and realms get user names as str, not bytes.
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

    Raises:
        ConfigError: no dialect could be agreed on, or one of those named is none.
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
    show_all_errors: bool = False
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
        check_names(self.dialects, self.limits)

    def but(self, **changes: Any) -> Policy:
        """Return this policy with some attributes changed.

        Raises:
            ConfigError: no dialect is left that could be agreed on.
        """
        return replace(self, **changes)


STRICT = Policy()

PUBLISHED = Policy(
    limits=PUBLISHED_LIMITS,
    security=defaults.security,
    registry=Registry(defaults.published, defaults.declared),
    allow_code=True,
    max_refs=defaults.max_broker_refs,
    challenge_login=True,
    declared_state=False,
    show_all_errors=True,
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
        limits=replace(
            PUBLISHED_LIMITS,
            max_prefix=defaults.prefix_limit,
            max_string=defaults.size_limit,
            max_list=defaults.size_limit,
        ),
    )
