"""What a link keeps over its connections: its recipes, and the calls that wait for the next one."""

from __future__ import annotations

import weakref
from typing import Any

from broker.connection.connection import Connection
from broker.core.calls.attached import NO_REFERENCE
from broker.errors import ConfigError, ServerDraining
from broker.failure import Failure
from broker.flavors.promise import Kind, Pending, Promise
from broker.flavors.reference import RemoteReference
from broker.link.calls import LinkedCall, LinkedLook, LinkedSend, LinkedTarget
from broker.link.made import Need, without_own
from broker.link.once import OnceCall, PeerTerms
from broker.link.recipes import LinkedReference, linked_in
from broker.link.waiting import Waiting
from broker.once_calls import OnceKeys, in_once
from broker.retry import notice_of

__all__ = ["MOST_BEHIND_LOGIN", "MOST_RECIPES", "Kept"]

MOST_RECIPES = 1_000
"""Recipes of a link."""
MOST_BEHIND_LOGIN = 3
"""Recipes that are made before the login is accepted: a server takes four calls then."""


class Kept:
    """What a link keeps; its references make their calls here.

    Args:
        first: the name of the first reference, ``avatar`` or ``root``.
        patience: the most seconds that a call waits for a connection.

    Attributes:
        first: the avatar or the root.
        connection: the connection on which calls are made, or None.
    """

    def __init__(self, first: str, patience: float):
        self.first = LinkedReference(self, None, first, None)
        self.connection: Connection | None = None
        self._recipes: dict[int, weakref.ref[LinkedReference]] = {}
        self._waiting = Waiting(patience)
        # Recipes and calls are numbered in the order in which they were made.
        self._made = 0
        self._end: BaseException | None = None
        # For calls in ``broker.once``.
        self._keys = OnceKeys()
        self._terms = PeerTerms()

    def open_connection(self) -> Connection | None:
        """Return the connection on which calls can be made now."""
        now = self.connection
        return now if now is not None and now.broker.calls.is_open else None

    def call(
        self,
        target: LinkedTarget,
        kind: Kind,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> Pending:
        """Make a call, now or on the next connection.

        Raises:
            ConfigError: an argument is of another link; or the call is made in ``broker.once`` on
                the result of a call.
        """
        needs: tuple[Need, ...] = linked_in((args, kw), self) if args or kw else ()
        once = None
        if in_once():
            if target.is_numbered:
                raise ConfigError(NO_REFERENCE)
            once = OnceCall(self._keys)
            needs = (self._terms, *needs)
        self._made += 1
        call = LinkedCall(self, self._made, target, kind, name, args, kw, needs, once)
        self._put(call)
        return call.promise

    def look(self, recipe: LinkedReference) -> Pending:
        """Wait until a recipe was made; see ``LinkedReference``."""
        self._made += 1
        look = LinkedLook(self, self._made, recipe)
        self._put(look)
        return look.promise

    def _put(self, call: LinkedCall) -> None:
        now = call.target.where(self.open_connection())
        if now is None:
            self._wait(call)
        else:
            call.put(now)

    def send(
        self,
        target: LinkedTarget,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> None:
        """Make a call without an answer; drop it if there is no connection."""
        now = target.where(self.open_connection())
        if now is not None:
            needs = linked_in((args, kw), self)
            target.on(now).put(LinkedSend(name, args, kw, needs))

    def put_off(self, call: LinkedCall, failure: Failure) -> None:
        """Make a call again: on the next connection, or on another one that is open."""
        error, tried = failure.as_exception(), call.tried
        if isinstance(error, ServerDraining) and tried is not None:
            # In PB's dialects a server tells it by this refusal only.
            tried.broker.peer_drains(notice_of(error))
        now = call.target.where(self.open_connection())
        if now is None:
            self._wait(call)
        elif now is tried:
            # Such as a reference of another connection, which a function has returned.
            call.refuse(failure)
        else:
            call.put(now)

    def _wait(self, call: LinkedCall) -> None:
        if self._end is not None:
            call.refuse(Failure(self._end))
        else:
            self._waiting.add(call)

    def add_recipe(self, reference: LinkedReference) -> None:
        """Make a recipe on each connection from now on."""
        if len(self._recipes) >= MOST_RECIPES:
            raise ConfigError(f"{MOST_RECIPES} recipes")
        self._made += 1
        number, recipes = self._made, self._recipes
        recipes[number] = weakref.ref(reference, lambda _: recipes.pop(number, None))
        now = self.open_connection()
        if now is not None:
            without_own(reference.on, now)

    def enter(self, connection: Connection, avatar: Promise[Any]) -> None:
        """Make the first recipes behind the login, on the promise of the avatar.

        A server that has not accepted a login yet takes few calls, and only with single values.
        """
        if not connection.broker.calls.promises.can_send:
            return
        without_own(self.first.on(connection).follow, avatar)
        connection.broker.closed.addCallback(self._not_entered, connection)
        for _, made in sorted(self._recipes.items())[:MOST_BEHIND_LOGIN]:
            recipe = made()
            if recipe is None or not recipe.is_before_login(self.first):
                break
            without_own(recipe.on, connection)

    def _not_entered(self, result: object, connection: Connection) -> object:
        # The link itself forgets a connection that has become its own.
        if self.connection is not connection:
            self.forget(connection)
        return result

    def begin(self, connection: Connection, first: RemoteReference) -> None:
        """Make the recipes, and then the calls that wait, on a new connection.

        Args:
            connection: the connection.
            first: its avatar, or its root.
        """
        self.connection = connection
        self.first.on(connection).take(first)
        for _, made in sorted(self._recipes.items()):
            recipe = made()
            if recipe is not None:
                recipe.again_if_busy(connection)
                recipe.on(connection)
        for call in self._waiting.take():
            if not call.is_over:
                call.put(connection)

    def forget(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        if self.connection is connection:
            self.connection = None
        self._terms.forget(connection)
        self.first.forget(connection)
        for made in list(self._recipes.values()):
            recipe = made()
            if recipe is not None:
                recipe.forget(connection)

    def end(self, error: BaseException) -> None:
        """Refuse the calls that wait, and all further ones that would."""
        if self._end is None:
            self._end = error
            self._waiting.end(error)
            for made in list(self._recipes.values()):
                recipe = made()
                if recipe is not None:
                    recipe.end()
