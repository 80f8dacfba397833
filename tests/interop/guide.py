"""How the client of the interoperability tests connects and logs in.

It is imported by the client, whose command line it is given.
"""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import json

from counting import CountingBroker
from world import credentials, pb, reactor

HOST = "127.0.0.1"


class Contexts:
    """A context factory that makes client contexts which trust one authority."""

    def __init__(self, authority):
        from OpenSSL import SSL

        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.load_verify_locations(authority)
        self.context.set_verify(
            SSL.VERIFY_PEER, lambda connection, certificate, error, depth, is_good: bool(is_good)
        )

    def getContext(self):
        return self.context


class Guide:
    """Opens connections as the command line says."""

    def __init__(self, options):
        self.ports = json.loads(options.ports)
        self.is_guest = options.login == "guest"
        self.contexts = Contexts(options.ca) if options.ca else None

    def connect(self, port="portal"):
        factory = pb.PBClientFactory()
        if port == "counted":
            factory.protocol = CountingBroker
        if self.contexts:
            reactor.connectSSL(HOST, self.ports[port], factory, self.contexts)
        else:
            reactor.connectTCP(HOST, self.ports[port], factory)
        return factory

    def credentials(self):
        if self.is_guest:
            return credentials.Anonymous()
        return credentials.UsernamePassword(b"alice", b"sesame")

    def login(self, factory, mind=None):
        return factory.login(self.credentials(), mind)
