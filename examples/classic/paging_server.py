"""Paging: the server, which sends a file in pages, as fast as the client reads them."""

import io

from broker import pb, reactor
from broker.pb import FilePager


class Library(pb.Root):
    book = b"All work and no play makes Jack a dull boy.\n" * 20_000

    def rootObject(self, broker):
        broker.notifyOnDisconnect(reactor.stop)
        return self

    def remote_size(self):
        return len(self.book)

    def remote_fetch(self, collector):
        FilePager(collector, io.BytesIO(self.book), print, "the book has been sent")


port = reactor.listenTCP(0, pb.PBServerFactory(Library()), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
