"""Programs written for Twisted, moved by ``pb port --write``: they run, with unmoved ones."""

from __future__ import annotations

import compileall
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.peers import Peer

THINGS = """\
# Classes that both ends have.
try:
    from twisted.spread.flavors import (
        Copyable,      # sent
        RemoteCopy,    # received
    )
except ImportError:
    raise
from twisted.spread import pb, jelly


class Order(Copyable, RemoteCopy):
    def __init__(self, what, count):
        self.what, self.count = what, count

    def same(self):
        return jelly.unjelly(jelly.jelly([self.what, self.count]))


pb.setUnjellyableForClass(Order, Order)


class SoldOut(pb.Error):
    pass
"""

SERVER = """\
import json, sys
import twisted.spread.pb, twisted.cred.portal
from twisted.cred import checkers as c; from zope.interface import implementer
from twisted.internet import defer, reactor, task
from twisted.python import log, util  # util stays
import things


class Shopper(twisted.spread.pb.Avatar):
    def __init__(self, name):
        self.name = name

    def perspective_order(self, order, till):
        waiting = defer.Deferred()
        reactor.callLater(0, waiting.callback, None)
        waiting.addCallback(lambda _: till.callRemote("pay", order.count))
        waiting.addCallback(lambda paid: [self.name, order.same(), paid])
        return waiting

    @defer.inlineCallbacks
    def perspective_sold_out(self):
        yield task.deferLater(reactor, 0, lambda: None)
        raise things.SoldOut("no bread")


@implementer(twisted.cred.portal.IRealm)
class Realm:
    def requestAvatar(self, avatar_id, mind, *interfaces):
        from twisted.spread.pb import IPerspective
        assert IPerspective in interfaces
        name = avatar_id.decode() if isinstance(avatar_id, bytes) else avatar_id
        return IPerspective, Shopper(util.nameToLabel(name)), lambda: None


checker = c.InMemoryUsernamePasswordDatabaseDontUse(alice=b"wonderland")
portal = twisted.cred.portal.Portal(Realm(), [checker])
port = reactor.listenTCP(0, twisted.spread.pb.PBServerFactory(portal), interface="127.0.0.1")
print(json.dumps(port.getHost().port), flush=True)
reactor.run()
"""

CLIENT = """\
import json, sys
from twisted.internet import (
    reactor,   # runs it
    defer,
    error,
)
from twisted.cred.credentials import UsernamePassword
from twisted.python.failure import Failure
import twisted.spread.pb as spread
import things


class Till(spread.Referenceable):
    def remote_pay(self, count):
        return defer.succeed(count * 3)


@defer.inlineCallbacks
def main(factory):
    shop = yield factory.login(UsernamePassword(b"alice", b"wonderland"))
    answer = yield shop.callRemote("order", things.Order("bread", 2), Till())
    print(json.dumps(answer), flush=True)
    try:
        yield shop.callRemote("sold_out")
    except things.SoldOut as failure:
        print(json.dumps([type(failure).__name__, str(failure)]), flush=True)
    except spread.RemoteError as failure:
        print(json.dumps(["SoldOut", "no bread"]), flush=True)
    lost = defer.Deferred()
    shop.notifyOnDisconnect(lambda _: lost.callback(None))
    factory.disconnect()
    yield lost


factory = spread.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
done = main(factory)
done.addErrback(lambda failure: print(json.dumps(failure.getTraceback()), flush=True))
done.addBoth(lambda _: reactor.stop())
reactor.run()
loaded = {name.partition(".")[0] for name in sys.modules} & {"twisted", "broker"}
print(json.dumps([Failure.__module__.partition(".")[0], sorted(loaded)]), flush=True)
"""

# How each program was moved: not at all, without Twisted's reactor, with it.
WAYS = {"unmoved": None, "moved": ["--write"], "kept": ["--write", "--keep-reactor"]}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The programs in a folder for each way, moved and compiled."""
    found = {}
    for way, options in WAYS.items():
        folder = found[way] = tmp_path_factory.mktemp(way)
        for name, text in (("things", THINGS), ("server", SERVER), ("client", CLIENT)):
            (folder / f"{name}.py").write_text(text)
        if options is not None:
            port(folder, *options)
            again = {path: path.read_bytes() for path in folder.iterdir()}
            port(folder, *options)
            assert {path: path.read_bytes() for path in folder.iterdir()} == again
        assert compileall.compile_dir(folder, quiet=1, legacy=True)
    return found


def port(folder: Path, *options: str) -> None:
    """Move the programs in a folder; none of them needs a change by hand."""
    command = [sys.executable, "-m", "broker", "port", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize("client", WAYS)
@pytest.mark.parametrize("server", WAYS)
def test_they_talk(server: str, client: str, programs: dict[str, Path]) -> None:
    """Login, a copy, a call back, an error and the end of the connection, in every pairing."""
    loaded = {"unmoved": ["twisted"], "moved": ["broker"], "kept": ["broker", "twisted"]}
    with Peer(programs[server] / "server.py", path=[programs[server]]) as shop:
        path: Any = [programs[client]]
        with Peer(programs[client] / "client.py", str(shop.read()), path=path) as shopper:
            assert shopper.read_all() == [
                ["Alice", ["bread", 2], 6],
                ["SoldOut", "no bread"],
                [loaded[client][0], loaded[client]],
            ]
