"""A worker that runs its master's commands, as in a build system.

Run as ``build_worker.py WORLD PORT``. It ends when its master closes the connection.
"""

# ruff: noqa: D101, D102, D103 - the test describes them

from __future__ import annotations

import sys

from build_world import HOST, content, credentials, pb
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet import defer, reactor, task
from twisted.python import log

PIECE = 16 * 1024


class Upload:
    """Sends pieces, each after the previous one was taken; the Deferreds are Twisted's."""

    def __init__(self, data, writer):
        self._data = data
        self._writer = writer
        self._done = defer.Deferred()

    def start(self):
        reactor.callLater(0, self._next)
        return self._done

    def _next(self, is_last=False):
        if is_last:
            self._writer.callRemote("close").chainDeferred(self._done)
            return
        sent = defer.maybeDeferred(self._send)
        sent.addCallbacks(self._next, self._done.errback)

    def _send(self):
        piece, self._data = self._data[:PIECE], self._data[PIECE:]
        if not piece:
            return True
        return self._writer.callRemote("write", piece).addCallback(lambda _: False)


class Worker(pb.Referenceable):
    def remote_info(self):
        return {"version": "1", "pieces": PIECE}

    def remote_upload(self, writer):
        return Upload(content(1), writer).start()

    @defer.inlineCallbacks
    def remote_upload_in_generator(self, writer):
        """Return how many pieces the writer reported as taken."""
        data, taken = content(2), 0
        while data:
            taken += yield writer.callRemote("write", data[:PIECE])
            data = data[PIECE:]
        yield writer.callRemote("close")
        return taken

    @defer.inlineCallbacks
    def remote_download(self, reader):
        pieces = []
        while True:
            piece = yield reader.callRemote("read", PIECE)
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces) == content(3)

    def remote_download_in_coroutine(self, reader):
        async def run():
            pieces = []
            while piece := await reader.callRemote("read", PIECE):
                pieces.append(piece)
            return b"".join(pieces) == content(4)

        return defer.ensureDeferred(run())

    def remote_echo_later(self, value):
        return task.deferLater(reactor, 0.001, lambda: value)

    def remote_ask_back(self, asked, value):
        """Return the master's answer."""
        return defer.succeed(None).addCallback(lambda _: asked.callRemote("twice", value))

    def remote_fail(self):
        return task.deferLater(reactor, 0.001, {}.__getitem__, "absent")

    def remote_never(self):
        return defer.Deferred()


@defer.inlineCallbacks
def main():
    services = MultiService()
    services.startService()
    factory = pb.PBClientFactory()
    reactor.connectTCP(HOST, int(sys.argv[2]), factory)
    avatar = yield factory.login(credentials.UsernamePassword(b"worker", b"sesame"), Worker())
    gone = defer.Deferred()
    avatar.notifyOnDisconnect(gone.callback)
    TimerService(0.01, avatar.callRemote, "keepalive").setServiceParent(services)
    yield avatar.callRemote("ready")
    yield gone
    yield services.stopService()
    reactor.stop()


log.startLogging(sys.stderr, setStdout=False)
reactor.callWhenRunning(lambda: main().addErrback(log.err))
reactor.run()
