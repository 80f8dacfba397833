"""The conversations about references, copies, caches and pages."""

from __future__ import annotations

import gc
from typing import Any

from vectors.conversation import Link
from vectors.scenarios import echo_root, scenario

# The classes have this name of their module in the vectors.
__name__ = "scenarios_objects"


def target(link: Link) -> Any:
    """A Referenceable that adds one."""

    class Target(link.lib.pb.Referenceable):
        def remote_add_one(self, number: int) -> int:
            return number + 1

        def remote_same(self, other: Any) -> bool:
            return other is self

    return Target()


@scenario
def reference_called_back(link: Link) -> None:
    """A client passes an object, the server calls it and then lets go of it."""

    class Root(link.lib.pb.Root):
        def remote_use(self, reference: Any) -> Any:
            return reference.callRemote("add_one", 1)

    assert link.call(link.root(Root()), "use", target(link)) == 2
    link.collect("server", "forgets the reference")


@scenario
def reference_twice(link: Link) -> None:
    """An object passed three times, in two messages, has one id and is released three times."""
    root, mine = link.root(echo_root(link)), target(link)
    link.call(root, "keep", mine, [mine])
    assert link.call(root, "echo", None) is None
    link.call(root, "keep", mine)
    link.collect("server", "forgets the first two")
    link.call(root, "forget")
    link.collect("server", "forgets the third")


@scenario
def reference_released_and_passed_again(link: Link) -> None:
    """An object that was released and is passed again gets another id."""
    root, mine = link.root(echo_root(link)), target(link)
    for _ in range(2):
        link.call(root, "keep", mine)
        link.call(root, "forget")
        link.collect("server", "forgets it")


@scenario
def reference_ids(link: Link) -> None:
    """Each side numbers the objects that it gives away, each from 1."""
    published = echo_root(link)
    root = link.root(published)
    mine = [target(link), target(link)]
    link.call(root, "keep", *mine)
    published.remote_theirs = lambda: theirs
    theirs = [target(link), target(link)]
    got = link.call(root, "theirs")
    assert [link.call(reference, "add_one", 1) for reference in got] == [2, 2]
    assert [link.call(reference, "add_one", 2) for reference in published.kept] == [3, 3]


def keeping_root(link: Link) -> Any:
    """A root that returns what it gets, and keeps it."""

    class Keeper(link.lib.pb.Root):
        kept: Any = None

        def remote_keep(self, value: Any) -> Any:
            self.kept = value
            return value

        def remote_forget(self) -> None:
            self.kept = None

    return Keeper()


@scenario
def reference_comes_home(link: Link) -> None:
    """A reference given back to the side that owns the object is that object."""
    root, mine = link.root(keeping_root(link)), target(link)
    assert link.call(root, "keep", mine) is mine
    link.call(root, "forget")
    link.collect("server", "forgets it")
    link.server.setNameForLocal("target", theirs := target(link))
    reference = link.client.remoteForName("target")
    assert link.call(reference, "same", reference) is True
    assert theirs


@scenario
def reference_returned_at_once(link: Link) -> None:
    """A method that returns the reference it got, and does not keep it: the decref goes first."""
    link.call(link.root(echo_root(link)), "echo", target(link))


@scenario
def reference_cycle(link: Link) -> None:
    """References within shared and cyclic graphs."""
    root, mine = link.root(keeping_root(link)), target(link)
    graph: list[Any] = [mine, {"again": mine}]
    graph.append((graph, mine))
    result = link.call(root, "keep", graph)
    assert result[0] is mine
    assert result[2][0] is result
    link.call(root, "forget")
    link.collect("server", "forgets all")


def copy_classes(link: Link) -> Any:
    """A Copyable and a RemoteCopy for it, and a Copyable with a tag and state of its own."""
    pb = link.lib.pb

    class Card(pb.Copyable):
        def __init__(self, **attributes: Any) -> None:
            self.__dict__.update(attributes)

    class RemoteCard(pb.RemoteCopy):
        pass

    class Tagged(pb.Copyable):
        def getTypeToCopy(self) -> bytes:
            return b"card"

        def getStateToCopy(self) -> dict[str, Any]:
            return {"color": "red"}

    pb.setUnjellyableForClass("scenarios_objects.Card", RemoteCard)
    pb.setUnjellyableForClass("card", RemoteCard)
    return Card, RemoteCard, Tagged


@scenario
def copy(link: Link) -> None:
    """A Copyable arrives as the class that is registered for its tag."""
    card, remote_card, tagged = copy_classes(link)

    class Root(link.lib.pb.Root):
        def remote_cards(self) -> Any:
            return [card(x=1, y="two"), card(), tagged()]

    cards = link.call(link.root(Root()), "cards")
    assert [type(c) for c in cards] == [remote_card] * 3
    assert [vars(c) for c in cards] == [{"x": 1, "y": "two"}, {}, {"color": "red"}]


@scenario
def copy_with_references(link: Link) -> None:
    """Copies that are shared, that hold each other, and that hold references."""
    card, _, _ = copy_classes(link)
    mine = target(link)
    shared, a, b = card(name="shared"), card(name="a", target=mine), card(name="b")
    a.other, b.other = b, a

    class Root(link.lib.pb.Root):
        def remote_cards(self) -> Any:
            return [shared, shared, a, b]

    result = link.call(link.root(Root()), "cards")
    assert result[0] is result[1]
    assert result[2].other is result[3]
    assert link.call(result[2].target, "add_one", 1) == 2
    del result
    link.collect("client", "forgets all")


def cache_classes(link: Link) -> Any:
    """A Cacheable that tells its observers what changes, and a RemoteCache for it."""
    pb = link.lib.pb

    class Pond(pb.Cacheable):
        def __init__(self, ducks: int) -> None:
            self.ducks = ducks
            self.observers: list[Any] = []
            self.stopped = 0

        def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
            self.observers.append(observer)
            return {"ducks": self.ducks}

        def change(self, ducks: int) -> Any:
            self.ducks = ducks
            return [observer.callRemote("set", ducks) for observer in self.observers]

        def stoppedObserving(self, perspective: Any, observer: Any) -> None:
            self.stopped += 1
            self.observers.clear()

    class RemotePond(pb.RemoteCache):
        def observe_set(self, ducks: int) -> int:
            self.ducks = ducks
            return -ducks

    pb.setUnjellyableForClass("scenarios_objects.Pond", RemotePond)
    return Pond, RemotePond


def pond_root(link: Link, *ponds: Any) -> Any:
    """A root that gives out ponds, and knows one that comes back."""

    class Root(link.lib.pb.Root):
        def remote_pond(self) -> Any:
            return ponds[0]

        def remote_ponds(self) -> Any:
            return [*ponds, *ponds]

        def remote_is_ours(self, pond: Any) -> bool:
            return pond is ponds[0]

    return Root()


@scenario
def cache(link: Link) -> None:
    """A Cacheable goes out once with its state, is told of changes, comes home, and is let go."""
    pond_class, remote_pond = cache_classes(link)
    pond = pond_class(3)
    root = link.root(pond_root(link, pond))
    held = link.call(root, "pond")
    assert (type(held), held.ducks) == (remote_pond, 3)
    again = link.call(root, "pond")
    link.step("server", "a duck arrives")
    (told,) = pond.change(4)
    assert link.get(told) == -4
    assert (held.ducks, again.ducks) == (4, 4)
    assert link.call(root, "is_ours", held) is True
    del again
    link.collect("client", "forgets one of two")
    assert pond.stopped == 0
    del held
    link.collect("client", "forgets the other")
    assert pond.stopped == 1


@scenario
def cache_after_uncache(link: Link) -> None:
    """A Cacheable that was let go is sent with its state again, under another id."""
    pond_class, _ = cache_classes(link)
    root = link.root(pond_root(link, pond_class(3)))
    for _ in range(2):
        held = link.call(root, "pond")
        assert held.ducks == 3
        del held
        link.collect("client", "forgets it")


@scenario
def cache_twice_in_a_message(link: Link) -> None:
    """A Cacheable two times in one message is one cache there; in the next each is counted."""
    pond_class, _ = cache_classes(link)
    pond = pond_class(3)
    root = link.root(pond_root(link, pond))
    first = link.call(root, "ponds")
    second = link.call(root, "ponds")
    assert [p.ducks for p in first + second] == [3] * 4
    del first
    link.collect("client", "forgets the first message")
    del second
    link.collect("client", "forgets the second")
    assert pond.stopped == 1


@scenario
def cache_observed_twice(link: Link) -> None:
    """Changes at once are messages, answered in order; one that wants no answer gets none."""
    pond_class, _ = cache_classes(link)
    pond = pond_class(1)
    held = link.call(link.root(pond_root(link, pond)), "pond")
    link.step("server", "changes twice, and once more without wanting an answer")
    told = [*pond.change(2), *pond.change(3)]
    pond.observers[0].callRemote("set", 4, pbanswer=False)
    link.pump()
    assert [link.get(d) for d in told] == [-2, -3]
    assert held.ducks == 4


@scenario
def viewable(link: Link) -> None:
    """A Viewable goes as a reference; each of its methods gets the perspective first."""
    pb = link.lib.pb

    class Document(pb.Viewable):
        def view_read(self, perspective: Any, page: int) -> Any:
            return [perspective.name, page]

    class User(pb.Avatar):
        name = "alice"

    document, user = Document(), User()

    class Root(pb.Root):
        def remote_open(self) -> Any:
            return pb.ViewPoint(user, document)

    reference = link.call(link.root(Root()), "open")
    assert link.call(reference, "read", 5) == ["alice", 5]
    del reference
    link.collect("client", "forgets it")


@scenario
def pages(link: Link) -> None:
    """A string in pages: calls without an answer, and one that says that it was the last."""
    util = link.lib.util

    class Root(link.lib.pb.Root):
        def remote_page(self, collector: Any) -> None:
            util.StringPager(collector, b"abcdefgh", chunkSize=3)

    got: list[Any] = []
    link.call(link.root(Root()), "page", util.CallbackPageCollector(got.append))
    link.collect("server", "forgets the collector")
    assert got == [[b"abc", b"def", b"gh"]]


@scenario
def cache_told_while_let_go(link: Link) -> None:
    """A change that crosses the decache is answered; only uncache ends the cache's number."""
    pond_class, _ = cache_classes(link)
    pond = pond_class(3)
    held = link.call(link.root(pond_root(link, pond)), "pond")
    link.step("client", "forgets it, while the server changes it")
    del held
    gc.collect()
    (told,) = pond.change(4)
    link.get(told)
    assert pond.stopped == 1
