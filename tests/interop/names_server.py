"""A server that returns user names as it received them, with PB's published names.

Run as ``names_server.py WORLD``. It prints the port of each portal as one JSON line, and logs to
its standard error. ``str`` and ``bytes`` have the user alice, added as such; ``file`` has her in a
password file, ``file without case`` in one that ignores case. ``shown`` accepts the right password
under the name that was sent. All accept guests. ``root`` serves an object without login.
"""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import json
import sys
from pathlib import Path

from describe import describe
from world import checkers, cred_error, credentials, defer, log, pb, portal, reactor
from zope.interface import implementer

HOST = "127.0.0.1"
PASSWORD = b"sesame"


@implementer(checkers.ICredentialsChecker)
class Shown:
    """Accepts any user name with the password, and passes it to the realm."""

    credentialInterfaces = (credentials.IUsernameHashedPassword,)

    def requestAvatarId(self, shown):
        def told(is_right):
            if not is_right:
                raise cred_error.UnauthorizedLogin()
            return shown.username

        return defer.maybeDeferred(shown.checkPassword, PASSWORD).addCallback(told)


class Member(pb.Avatar):
    """Knows its avatar id."""

    def __init__(self, avatar_id):
        self.avatar_id = avatar_id

    def perspective_whoami(self):
        return describe(self.avatar_id)


@implementer(portal.IRealm)
class Realm:
    """Gives every user an avatar."""

    def requestAvatar(self, avatarId, mind, *interfaces):
        return pb.IPerspective, Member(avatarId), lambda: None


class Plain(pb.Root):
    """A root without login."""

    def remote_hello(self):
        return "hello"


def added(name):
    """Return a checker with one user, added under this name."""
    users = checkers.InMemoryUsernamePasswordDatabaseDontUse()
    users.addUser(name, PASSWORD)
    return users


def main():
    """Listen on one port for each portal, print the ports, serve until killed."""
    log.startLogging(sys.stderr, setStdout=False)
    path = Path("users.txt")
    path.write_bytes(b"alice:" + PASSWORD + b"\n")
    known = {
        "str": added("alice"),
        "bytes": added(b"alice"),
        "file": checkers.FilePasswordDB(str(path)),
        "file without case": checkers.FilePasswordDB(str(path), caseSensitive=False),
        "shown": Shown(),
    }
    guests = checkers.AllowAnonymousAccess()
    served = {name: portal.Portal(Realm(), [users, guests]) for name, users in known.items()}
    served["root"] = Plain()
    ports = {
        name: reactor.listenTCP(0, pb.PBServerFactory(target), interface=HOST).getHost().port
        for name, target in served.items()
    }
    print(json.dumps(ports), flush=True)
    reactor.run()


main()
