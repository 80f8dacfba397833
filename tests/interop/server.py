"""The server of the interoperability tests, with PB's published names.

Run as ``server.py WORLD [--tls CERTIFICATE KEY]``. It listens on free ports of 127.0.0.1 and prints
them as one JSON line. ``portal`` accepts alice's password and guests, ``members`` only passwords,
and ``root`` serves an object without login. ``counted`` is ``portal`` with a Broker that counts the
received ``decref`` messages.
"""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import argparse
import json

from counting import CountingBroker
from house import Door, House
from world import checkers, pb, portal, reactor
from zope.interface import implementer

HOST = "127.0.0.1"
USERS = {"alice": b"sesame", "denied": b"sesame"}


@implementer(portal.IRealm)
class Realm:
    """Gives every user an avatar with a shared state."""

    def __init__(self):
        self.house = House()

    def requestAvatar(self, avatarId, mind, *interfaces):
        member = self.house.admit(avatarId, mind)
        return pb.IPerspective, member, member.logout


class Contexts:
    """A context factory that makes server contexts from PEM files."""

    def __init__(self, certificate, key):
        from OpenSSL import SSL

        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.use_certificate_chain_file(certificate)
        self.context.use_privatekey_file(key)
        self.context.check_privatekey()

    def getContext(self):
        return self.context


def factories():
    """Return the server factory of each port."""
    realm = Realm()
    passwords = checkers.InMemoryUsernamePasswordDatabaseDontUse(**USERS)
    everyone = portal.Portal(realm, [passwords, checkers.AllowAnonymousAccess()])
    counted = pb.PBServerFactory(everyone)
    counted.protocol = CountingBroker
    return {
        "portal": pb.PBServerFactory(everyone),
        "members": pb.PBServerFactory(portal.Portal(realm, [passwords])),
        "root": pb.PBServerFactory(Door()),
        "counted": counted,
    }


def main():
    """Listen on one port for each factory, print the ports, serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("world", choices=["twisted", "ours"])
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    options = parser.parse_args()
    ports = {}
    for name, factory in factories().items():
        if options.tls:
            port = reactor.listenSSL(0, factory, Contexts(*options.tls), interface=HOST)
        else:
            port = reactor.listenTCP(0, factory, interface=HOST)
        ports[name] = port.getHost().port
    print(json.dumps(ports), flush=True)
    reactor.run()


main()
