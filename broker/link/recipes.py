"""References of a link, and how each is made again on each connection."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from broker.defer import Deferred
from broker.errors import ConfigError, ServerBusy
from broker.flavors.cacheable import RemoteCache
from broker.flavors.contracts.pending import PendingReference
from broker.flavors.contracts.proxy import Proxy, typed
from broker.flavors.followed import call_again, keep
from broker.flavors.promise import Kind, Pending, Promise
from broker.flavors.reference import RemoteReference
from broker.flavors.streams import RemoteStream
from broker.link.chains import Chain, linked_promise
from broker.link.made import Made, Maker, Need, Target, lost
from jelly.atoms import Expression
from jelly.bases import Jellyable
from jelly.errors import CannotJelly
from jelly.leaves import LEAVES, SCALARS

if TYPE_CHECKING:
    from broker.connection.connection import Connection
    from broker.failure import Failure
    from broker.link.calls import LinkedCall
    from jelly.jellier import Jellier

__all__ = ["LinkedReference", "Linking", "linked_in"]

C = TypeVar("C")

_OF_ONE_CONNECTION = (RemoteReference, RemoteStream, Deferred)
# Characters of the arguments of a call before a login.
_MOST_SMALL = 512
_CONTAINERS = frozenset({list, tuple, set, frozenset})


class Linking(Protocol):
    """A link, as its references use it."""

    def call(
        self,
        target: LinkedReference | Chain,
        kind: Kind,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> Pending:
        """Make a call, now or on the next connection."""
        ...

    def put_off(self, call: LinkedCall, failure: Failure, /) -> None:
        """Make a call again on the next connection; ``failure`` is why it was not made."""
        ...

    def look(self, recipe: LinkedReference) -> Pending:
        """Wait until a recipe was made."""
        ...

    def send(
        self,
        target: LinkedReference | Chain,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> None:
        """Make a call without an answer; drop it if there is no connection."""
        ...

    def add_recipe(self, reference: LinkedReference) -> None:
        """Make a recipe on each connection from now on."""
        ...


class LinkedReference(Jellyable):
    """A reference that a link makes again on each connection.

    It lives as long as it is held. It can be an argument of calls of its link, also of recipes.

    ``await`` waits until it has come on a connection. The result is the LinkedReference itself. If
    the call has returned a RemoteCache, such as the view of a table, the result is that cache. It
    goes on with each connection, as long as it is held.

    Args:
        link: the link.
        parent: the reference that makes it; None for the avatar or the root.
        name: the name of the recipe, for texts.
        make: ``make(reference of the parent)`` returns the Deferred of the result.
        needs: the references among the arguments.
        is_direct: whether ``make`` needs the reference itself, not its promise.

    Attributes:
        cache: the RemoteCache that the recipe has brought, or None.
    """

    is_numbered = False

    def __init__(
        self,
        link: Linking,
        parent: LinkedReference | None,
        name: str,
        make: Callable[[Any], Deferred[object]] | None,
        needs: Sequence[Need] = (),
        *,
        is_direct: bool = False,
    ):
        self._is_direct = is_direct
        # Whether its arguments are few single values, which a server takes before a login.
        self._is_plain = False
        self.cache: RemoteCache | None = None
        self._link = link
        self._parent = parent
        self._name = name
        self._make = make
        self._needs = needs
        # While the link moves, there are two connections.
        self._made: dict[Connection, Made] = {}

    def __repr__(self) -> str:
        return f"<LinkedReference: {self._name}>"

    def callRemote(self, _name: str, /, *args: object, **kw: object) -> Promise[Any]:
        """Call a method of the object, on this connection or on the next one.

        A call waits for a connection at most ``patience`` seconds, and not longer than its
        ``broker.timeout``. If it ends with its connection and has surely not run, it is made again
        on the next one.

        Returns:
            A Promise of the result. It fails as that of ``RemoteReference.callRemote`` does. With
            ``pbanswer=False`` the result is None, and it is `send` that is done.

        Raises:
            ConfigError: an argument is of another link.
        """
        if kw.pop("pbanswer", True):
            return cast("Promise[Any]", self._link.call(self, Promise, _name, args, kw))
        self._link.send(self, _name, args, kw)
        # As `RemoteReference.callRemote` does: no caller uses it as a Promise then.
        return None  # type: ignore[return-value]

    def call_as(
        self,
        kind: type[Deferred[object]],
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> Deferred[object]:
        """Call a method as :meth:`callRemote` does, for a contract; see ``flavors.reference``."""
        return self._link.call(self, kind, name, args, kw)

    def send(self, _name: str, /, *args: object, **kw: object) -> None:
        """Call a method one way, without an answer; without a connection nothing is done."""
        self._link.send(self, _name, args, kw)

    def of(self, contract: Callable[..., C]) -> C:
        """Return this reference as an object with the methods of a contract.

        Raises:
            TypeError: it is not a Protocol class.
            ConfigError: it cannot be a contract; the text says why.
        """
        return typed(cast("RemoteReference", self), contract)

    def recipe(self, _name: str, /, *args: object, **kw: object) -> LinkedReference:
        """Return the reference that a method returns, made again on each connection.

        The calls of recipes are made in the order in which the recipes were created. If one fails
        on a connection, calls on it fail with that error until the next connection.

        Args:
            _name: the method's name.
            args, kw: values, Referenceables, and references of this link.

        Raises:
            ConfigError: an argument is a reference of one connection; or the link has 1,000
                recipes.
        """
        needs = linked_in((args, kw), self._link, is_recipe=True)

        def make(target: Target) -> Deferred[object]:
            return target.callRemote(_name, *args, **kw)

        child = LinkedReference(self._link, self, f"'{_name}'", make, needs)
        child._is_plain = not kw and _are_small(_name, *args)
        self._link.add_recipe(child)
        return child

    def on(self, connection: Connection) -> Made:
        """Return what it is on a connection; make it if that was not done."""
        made = self._made.get(connection)
        if made is None:
            # It must not keep this reference alive.
            own = weakref.ref(self)
            made = Made(connection, self._name, lambda cache: _take_cache(own(), cache))
            if connection.is_closed:
                made.fail(lost())
                return made
            self._made[connection] = made
            if self._parent is not None and self._make is not None:
                make = _resumed(own, connection, self._make)
                maker = Maker(made, self._needs, make, is_direct=self._is_direct)
                self._parent.on(connection).put(maker)
        return made

    def is_before_login(self, avatar: LinkedReference) -> bool:
        """Return whether its call can be sent before the login is accepted."""
        return self._parent is avatar and self._is_plain and self.cache is None

    def again_if_busy(self, connection: Connection) -> None:
        """Forget its failure if the server took no more calls before the login."""
        made = self._made.get(connection)
        if made is not None and made.failure is not None and made.failure.check(ServerBusy):
            del self._made[connection]

    def where(self, now: Connection | None) -> Connection | None:
        """Return the connection for a new call, if ``now`` is the one of the link."""
        return now

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait until it has come; see the class."""
        if self.cache is not None:
            return self.cache
        return (yield from self._link.look(self).__await__())

    def end(self) -> None:
        """Note that there will be no other connection."""
        if self.cache is not None:
            keep(self.cache, False)

    def forget(self, connection: Connection) -> None:
        """Forget what it was on a connection that has ended."""
        made = self._made.pop(connection, None)
        if made is not None:
            made.fail(lost())

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return the expression of the reference on the connection that it is sent over.

        Raises:
            CannotJelly: its link has another connection.
            MustWait: it was not made there yet.
        """
        for connection, made in self._made.items():
            if connection.broker is jellier.invoker:
                return made.expression(jellier)
        raise CannotJelly(f"{self!r} can be sent by calls of its link only")


def _resumed(
    recipe: weakref.ref[LinkedReference],
    connection: Connection,
    make: Callable[[Any], Deferred[object]],
) -> Callable[[Any], Deferred[object]]:
    """Return what makes a recipe, and goes on with the cache that it has brought before."""

    def made_again(target: Target) -> Deferred[object]:
        own = recipe()
        cache = None if own is None else own.cache
        if cache is None:
            return make(target)
        return call_again(cache, connection.broker, lambda: make(target))

    return made_again


def _take_cache(recipe: LinkedReference | None, cache: RemoteCache) -> None:
    """Let a recipe go on with the cache that it has brought."""
    if recipe is None or recipe.cache is cache:
        return
    if recipe.cache is not None:
        keep(recipe.cache, False)
    recipe.cache = cache
    # The program may hold the cache only.
    keep(cache, True, recipe)


def linked_in(value: object, link: Linking, *, is_recipe: bool = False) -> tuple[Need, ...]:
    """Return the references of a link in some arguments, also in lists, tuples, sets and dicts.

    Args:
        value: the arguments.
        link: the link.
        is_recipe: whether they are those of a recipe.

    Raises:
        ConfigError: there is a reference of another link, or of one connection in a recipe.
    """
    found: dict[int, Need] = {}
    for leaf in _leaves(value, set()):
        each = leaf._broker_reference if isinstance(leaf, Proxy) else leaf
        if isinstance(each, LinkedReference):
            if each._link is not link:
                raise ConfigError(f"{each!r} is a reference of another link")
            found[id(each)] = each
            continue
        chain = None if is_recipe else linked_promise(_promise_of(each))
        if chain is not None:
            if chain.linking is not link:
                raise ConfigError(f"{chain!r} is of another link")
            chain.was_called = True
            found[id(chain)] = chain
        elif is_recipe and isinstance(each, (*_OF_ONE_CONNECTION, PendingReference)):
            raise ConfigError("a recipe cannot hold a reference of one connection")
    return tuple(found.values())


def _are_small(*values: object) -> bool:
    """Return whether values are single ones, and short."""
    sizes = [len(each) for each in values if isinstance(each, str | bytes)]
    return all(type(each) in SCALARS for each in values) and sum(sizes) <= _MOST_SMALL


def _promise_of(value: object) -> object:
    return value.promise if isinstance(value, PendingReference) else value


def _leaves(value: Any, known: set[int]) -> Iterator[object]:
    kind = type(value)
    if kind in LEAVES:
        return
    if kind is not dict and kind not in _CONTAINERS:
        yield value
        return
    if id(value) in known:
        return
    known.add(id(value))
    items = [*value, *value.values()] if kind is dict else value
    if not LEAVES.issuperset(map(type, items)):
        for item in items:
            yield from _leaves(item, known)
