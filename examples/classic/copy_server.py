"""Copies: the server, which receives a letter and sends one back."""

from copy_classes import Letter

from broker import pb, reactor


class PostOffice(pb.Root):
    def rootObject(self, broker):
        broker.notifyOnDisconnect(reactor.stop)
        return self

    def remote_send(self, letter):
        print(type(letter).__name__, sorted(letter.__dict__.items()))
        return Letter("the post office", ["Dear " + letter.sender, *letter.lines])


port = reactor.listenTCP(0, pb.PBServerFactory(PostOffice()), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
