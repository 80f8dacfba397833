"""The server of the interoperability tests with the asyncio API: ``serve`` and a realm's function.

Run as ``face_server.py face [--tls CERTIFICATE KEY]``. It serves the same as ``server.py``, except
the port that counts, and prints its ports in the same way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from urllib.parse import urlsplit

from house import Door, House

from broker import STRICT, TLS, realm, serve
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal

USERS = {"alice": b"sesame", "denied": b"sesame"}
# The only login that Twisted's clients know, besides the anonymous one.
POLICY = STRICT.but(challenge_login=True)


async def main():
    """Listen on one port for each target, print the ports, serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("world", choices=["face"])
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    options = parser.parse_args()
    house = House()
    passwords = InMemoryUsernamePasswordDatabaseDontUse(**USERS)
    targets = {
        "portal": Portal(realm(house.admit), [passwords, AllowAnonymousAccess()]),
        "members": Portal(realm(house.admit), [passwords]),
        "root": Door(),
    }
    tls = TLS.server(*options.tls) if options.tls else None
    address = "pbs://127.0.0.1:0" if tls else "pb://127.0.0.1:0"
    async with contextlib.AsyncExitStack() as stack:
        ports = {}
        for name, target in targets.items():
            server = await stack.enter_async_context(serve(target, address, tls=tls, policy=POLICY))
            ports[name] = urlsplit(server.addresses[0]).port
        print(json.dumps(ports), flush=True)
        await server.serve_forever()


asyncio.run(main())
