"""The conversations of logging in; the challenge is 16 bytes of 0x11."""

from __future__ import annotations

from typing import Any

from vectors.conversation import Link
from vectors.scenarios import scenario
from vectors.scenarios_objects import target

CHALLENGE = b"\x11" * 16


class Realm:
    """Makes avatars, and counts logouts."""

    def __init__(self, link: Link) -> None:
        pb = link.lib.pb
        self.anonymous = link.lib.checkers.ANONYMOUS
        self.interface = pb.IPerspective
        self.logouts = 0
        self.minds: list[Any] = []

        class Document(pb.Viewable):
            def view_read(self, perspective: Any, page: int) -> Any:
                return [perspective.name, page]

        class User(pb.Avatar):
            document = Document()

            def perspective_name(self) -> Any:
                return self.name

            def perspective_open(self) -> Any:
                return self.document

            def perspective_close(self, document: Any) -> bool:
                return document.object is self.document

        self.user = User

    def requestAvatar(self, identity: Any, mind: Any, *interfaces: Any) -> Any:
        """An avatar whose name is the identity."""
        avatar = self.user()
        avatar.name = "nobody" if identity is self.anonymous else identity
        self.minds.append(mind)
        return self.interface, avatar, self.logout

    def logout(self) -> None:
        """Count."""
        self.logouts += 1


def published(link: Link) -> tuple[Realm, Any]:
    """A realm, and a portal to it that lets alice and the anonymous in."""
    realm = Realm(link)
    portal = link.lib.portal.Portal(realm)
    known = link.lib.checkers.InMemoryUsernamePasswordDatabaseDontUse()
    known.addUser(b"alice", b"secret")
    portal.registerChecker(known)
    portal.registerChecker(link.lib.checkers.AllowAnonymousAccess())
    return realm, portal


def login(link: Link, factory: Any, username: bytes, password: bytes, mind: Any = None) -> Any:
    """The avatar, or the Failure."""
    link.step("client", "logs in")
    credentials = link.lib.credentials.UsernamePassword(username, password)
    return link.get(factory.login(credentials, mind))


@scenario
def login_password(link: Link) -> None:
    """A login with the right password, a call, and the avatar let go, which logs out."""
    realm, portal = published(link)
    avatar = login(link, link.connect(portal), b"alice", b"secret")
    link.collect("client", "has forgotten the challenger")
    assert link.call(avatar, "name") == b"alice"
    assert realm.logouts == 0
    del avatar
    link.collect("client", "forgets the avatar")
    assert realm.logouts == 1


@scenario
def login_wrong_password(link: Link) -> None:
    """A wrong password and an unknown user fail in the same way."""
    realm, portal = published(link)
    factory = link.connect(portal)
    for username, password in ((b"alice", b"wrong"), (b"mallory", b"secret")):
        failure = login(link, factory, username, password)
        assert failure.check("twisted.cred.error.UnauthorizedLogin")
        del failure
        link.collect("client", "has forgotten the challenger")
    assert realm.minds == []


@scenario
def login_anonymous(link: Link) -> None:
    """An anonymous login is one call."""
    _, portal = published(link)
    factory = link.connect(portal)
    link.step("client", "logs in anonymously")
    avatar = link.get(factory.login(link.lib.credentials.Anonymous()))
    assert link.call(avatar, "name") == "nobody"


@scenario
def login_not_handled(link: Link) -> None:
    """A portal whose checkers do not take the credentials says so."""
    portal = link.lib.portal.Portal(Realm(link))
    factory = link.connect(portal)
    link.step("client", "logs in anonymously")
    failure = link.get(factory.login(link.lib.credentials.Anonymous()))
    assert failure.check("twisted.cred.error.UnhandledCredentials")


@scenario
def login_with_mind(link: Link) -> None:
    """The mind is a reference to an object of the client's, which the server calls."""
    realm, portal = published(link)
    avatar = login(link, link.connect(portal), b"alice", b"secret", target(link))
    assert link.call(realm.minds[0], "add_one", 1) == 2
    assert avatar


@scenario
def perspective(link: Link) -> None:
    """A perspective gives a Viewable, which is called, and given back to the perspective."""
    _, portal = published(link)
    avatar = login(link, link.connect(portal), b"alice", b"secret")
    document = link.call(avatar, "open")
    assert link.call(document, "read", 5) == [b"alice", 5]
    assert link.call(avatar, "close", document) is True
    assert link.call(avatar, "nothing").check(AttributeError)
    assert link.call(document, "nothing").check(AttributeError)
    del document
    link.collect("client", "forgets the document")


@scenario
def perspective_twice(link: Link) -> None:
    """Two logins on one connection are two avatars."""
    realm, portal = published(link)
    factory = link.connect(portal)
    avatars = [login(link, factory, b"alice", b"secret") for _ in range(2)]
    assert [link.call(avatar, "name") for avatar in avatars] == [b"alice"] * 2
    link.collect("client", "has forgotten the challengers")
    del avatars
    link.collect("client", "forgets both avatars")
    assert realm.logouts == 2


@scenario
def viewable_twice(link: Link) -> None:
    """A Viewable has one number for one perspective, and another for another."""
    _, portal = published(link)
    factory = link.connect(portal)
    avatars = [login(link, factory, b"alice", b"secret") for _ in range(2)]
    documents = [link.call(avatar, "open") for avatar in (*avatars, avatars[0])]
    assert [link.call(document, "read", 5) for document in documents] == [[b"alice", 5]] * 3
    del documents
    link.collect("client", "forgets the documents")
    assert avatars
