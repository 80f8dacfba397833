"""A client with Twisted alone that follows a table and a Resumable, and prints what it sees.

Run as ``table_client.py PORT``.
"""

# ruff: noqa: D102 - the test describes the methods

from __future__ import annotations

import json
import sys

from twisted.internet import defer, reactor
from twisted.spread import pb


class BookCache(pb.RemoteCache):
    """A table, as a Twisted program follows one."""

    def setCopyableState(self, state):
        self.items = dict(map(tuple, state["items"]))
        self.offset = state["offset"]
        self.is_current = state["is_whole"]

    def observe_changed(self, pairs, gone, offset):
        self.items.update(map(tuple, pairs))
        for key in gone:
            self.items.pop(key, None)
        self.is_current = offset is not None
        if self.is_current:
            self.offset = offset


class BoardCache(pb.RemoteCache):
    """A Resumable, as a Twisted program follows one: with one method more."""

    resyncs = 0

    def observe_moved(self, a, b):
        self.pieces[b] = self.pieces.pop(a)

    def observe_resumable_state(self, state):
        # Twisted's caches share a dict, which setCopyableState would replace.
        self.__dict__.update(state)
        self.resyncs += 1


pb.setUnjellyableForClass("broker.Table", BookCache)
pb.setUnjellyableForClass("interop.Board", BoardCache)


@defer.inlineCallbacks
def talk(root):
    """Follow, have things changed, and print."""
    book = yield root.callRemote("book")
    print(json.dumps([sorted(book.items.items()), book.offset, book.is_current]), flush=True)
    yield root.callRemote("trade")
    print(json.dumps([sorted(book.items.items()), book.offset, book.is_current]), flush=True)
    large = yield root.callRemote("large")
    print(json.dumps([len(large.items) < 100, large.is_current]), flush=True)
    while not large.is_current:
        yield root.callRemote("wait")
    print(json.dumps([len(large.items), set(large.items.values()) == {"x" * 50_000}]), flush=True)
    board = yield root.callRemote("board")
    print(json.dumps([board.pieces, board.offset, len(board.epoch)]), flush=True)
    yield root.callRemote("play")
    print(json.dumps([board.pieces, board.resyncs]), flush=True)
    yield root.callRemote("disturb")
    print(json.dumps([board.pieces, board.offset, board.resyncs]), flush=True)


def over(result):
    """Stop, and show why if it was a failure."""
    if result is not None:
        print(result, file=sys.stderr)
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
factory.getRootObject().addCallback(talk).addBoth(over)
reactor.run()
