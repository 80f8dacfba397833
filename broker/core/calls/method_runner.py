"""Runs the methods that the peer calls: from the called object to the result of its method."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeAlias

from broker.core.calls.dispatch import (
    Method,
    Route,
    call_method,
    check_hooked,
    checked_arguments,
    overrides_hook,
    resolve,
    was_raised,
)
from broker.core.calls.incoming_call import IncomingCall
from broker.core.host import Host, has_hook
from broker.core.objects.tables import shown
from broker.core.objects.translator import Reading, Translator
from broker.core.policy import Policy
from broker.core.principal import Principal
from broker.core.wire.conversion import call_with_expressions
from broker.core.wire.messages import (
    CallMessage,
    GraphCall,
    GraphCallToCache,
    ObjectId,
    PlainCallToCache,
    PlainSendToCache,
)
from broker.core.work import call_hook, raised_exit
from broker.errors import NoSuchObject, WrongArguments
from jelly.atoms import Expression
from jelly.slices import UNFINISHED, finish

__all__ = ["TO_CACHES", "Enter", "Interceptor", "MethodRunner"]

Enter: TypeAlias = Callable[..., Any]
"""Calls a function in the context of a principal: ``enter(function, *args)``."""

Interceptor: TypeAlias = Callable[[IncomingCall, Method, Callable[..., object]], object]
"""Gets a call, its method, and ``run(args, kw)``; returns or raises what the call does."""


class MethodRunner:
    """Runs the methods of one connection.

    Attributes:
        interceptor: runs around each call that passes all checks, or None; see
            ``IncomingCalls.intercept``.
        last: the call whose method was called last: its name, the class of the object, and whether
            it wants an answer. The user of it sets it to None before.
        now: the clock, in seconds.
    """

    __slots__ = (
        "_find",
        "_hooked",
        "_host",
        "_policy",
        "_translator",
        "_walks",
        "interceptor",
        "last",
        "now",
    )

    def __init__(
        self,
        host: Host,
        policy: Policy,
        translator: Translator,
        walks: Reading,
    ):
        self.interceptor: Interceptor | None = None
        self.last: tuple[str, type | None, bool] | None = None
        self.now: Callable[[], float] = _no_clock
        # The call whose overridden hook runs.
        self._hooked: IncomingCall | None = None
        self._host = host
        self._policy = policy
        self._translator = translator
        self._walks = walks
        # The hook of the host that finds the called object, if it overrides that.
        self._find: Callable[[ObjectId | str], Any] | None = None
        if host.overridden and has_hook(host, "localObjectForID"):
            self._find = host.localObjectForID

    def begins_at_once(self, message: CallMessage) -> bool:
        """Return whether a call would run a method now, instead of starting a task."""
        if type(message.object_id) is tuple:
            # It waits for a promise, or its target is known, and may have a plain method.
            return True
        try:
            target = self.target_of(message)
            if overrides_hook(target, "remoteMessageReceived"):
                return True
            route = target.route()
            if not isinstance(route, Route):
                return True
            method = resolve(route, message.name, self._policy.dynamic_methods)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - the call fails, and its answer may be sent at once
            return False
        return not method.is_async

    def _read(
        self, expression: Expression, perspective: object, enter: Enter
    ) -> Generator[object, None, object]:
        """Return the value of an expression, for a perspective."""
        walk = self._walks.unjelly_walk(expression, perspective)
        while (value := call_hook(enter, next, walk)) is UNFINISHED:
            yield UNFINISHED
        return value

    def run(
        self,
        call: IncomingCall,
        target: Any,
        message: CallMessage,
        enter_of: Callable[[IncomingCall], Enter],
    ) -> Generator[object, None, object]:
        """Run the method of a call.

        Args:
            call: the call; it gets the arguments as the method gets them.
            target: the called object.
            message: has the arguments.
            enter_of: returns what calls a function in the context of a call.

        Returns:
            The result of the method, or of an overridden hook, as a generator that does a slice of
            the work in each step. Errors are passed on.
        """
        is_hooked = overrides_hook(target, "remoteMessageReceived")
        # Here and below, a GeneratorExit is never the end of this generator; see `call_hook`.
        try:
            route = target.remoteMessageReceived if is_hooked else target.route()
        except GeneratorExit as error:
            raise raised_exit() from error
        if not isinstance(route, Route):
            # An overridden hook, which takes expressions.
            if isinstance(message, GraphCall):
                call.watched = self._translator.watch(message.args, message.kw)
            else:
                message = call_with_expressions(message)
            call.arguments_decoded = True
            self.last = call.name, call.kind, call.wants_answer
            enter = enter_of(call)
            call_hook(enter, check_hooked, route, call.name)
            call.was_run = True
            self._hooked = call
            try:
                return call_hook(enter, route, self._host, call.name, message.args, message.kw)
            finally:
                self._hooked = None
        call.route = route
        if route.principal is not None and route.principal is not call.principal:
            call.principal, call.context = route.principal, None
        enter = enter_of(call)
        # Before the lookup, so that their references are released even if there is no such method.
        args: object
        kw: object
        if isinstance(message, GraphCall):
            args, kw = yield from self._arguments(message, route.perspective, enter)
        else:
            args, kw = message.args, message.kw
        del message
        call.arguments_decoded = True
        if call.due is not None:
            call.check_due(self.now)
        try:
            method = resolve(route, call.name, self._policy.dynamic_methods)
            if route.unanswered is not None and not call.wants_answer:
                raise route.unanswered()
            self.last = call.name, call.kind, call.wants_answer
            return enter(self.invoke, call, route, method, args, kw)
        except GeneratorExit as error:
            raise raised_exit() from error
        except WrongArguments as error:
            call.was_run = call.was_run and (was_raised(error) or route.is_ours)
            raise

    def _arguments(
        self, message: GraphCall, perspective: object, enter: Enter
    ) -> Generator[object, None, tuple[object, object]]:
        """Return the values of the arguments and of the keywords of a call."""
        try:
            args = yield from self._read(message.args, perspective, enter)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:
            yield from self._translator.let_go(message.kw)
            raise
        kw = yield from self._read(message.kw, perspective, enter)
        return args, kw

    def run_hooked(
        self, route: Route, name: str, args: Expression, kw: Expression
    ) -> tuple[IncomingCall, object]:
        """Make a call for an overridden hook, which has the peer's expressions.

        The arguments are decoded before the lookup, so that their references are released even if
        there is no such method.

        Returns:
            The call, which has the decoded arguments, and the result of the method.
        """
        values = finish(self._walks.unjelly_walk(args, route.perspective))
        keywords = finish(self._walks.unjelly_walk(kw, route.perspective))
        method = resolve(route, name, self._policy.dynamic_methods)
        call = IncomingCall(0, name, self._hooked is None or self._hooked.wants_answer)
        return call, self.invoke(call, route, method, values, keywords)

    def invoke(
        self,
        call: IncomingCall,
        route: Route,
        method: Method,
        args: object,
        kw: object,
    ) -> object:
        """Check a call of a peer, and call the method.

        All calls are made here, except those of the quick path, whose methods need no check.

        Args:
            call: the call; it gets the arguments as the method gets them.
            route, method: the object and its method.
            args, kw: the decoded arguments and keywords, of any type.

        Raises:
            WrongArguments: the arguments are not a tuple and a dict with str keys, or do not fit
                the method. Errors of conditions, validator, interceptor and method are passed on.
        """
        name = call.name
        for check in method.conditions:
            check(name)
        args, kw = checked_arguments(args, kw)
        if method.validator is not None:
            args, kw = method.validator(args, kw)
        call.args, call.kw, call.was_run = args, kw, True
        if self.interceptor is not None:
            return self.interceptor(call, method, partial(call_method, route, method, name))
        return call_method(route, method, name, args, kw)

    def target_of(self, message: CallMessage) -> Any:
        """Return the called object, or raise NoSuchObject."""
        if type(message) in TO_CACHES:
            return self._translator.remote_caches.observer_of(message.object_id)
        find: Callable[[Any], object] = self._find or self._export
        target = find(message.object_id)
        if target is None:
            raise NoSuchObject(
                f"object {shown(message.object_id)} is not exported to this connection"
            )
        return target

    def principal_of(self, message: CallMessage) -> Principal | None:
        """Return the user on whose behalf a call is made, or None."""
        if type(message) in TO_CACHES:
            return self._translator.remote_caches.principal_of(message.object_id)
        entry = self._translator.exports.get(message.object_id)
        return None if entry is None else entry.principal

    def _export(self, object_id: ObjectId | str) -> object:
        entry = self._translator.exports.get(object_id)
        return None if entry is None else entry.value


def _no_clock() -> float:
    return float("-inf")


TO_CACHES = frozenset({GraphCallToCache, PlainCallToCache, PlainSendToCache})
"""The messages that call a cache, whose number is one of their sender."""
