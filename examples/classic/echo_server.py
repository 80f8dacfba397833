"""Echo: the server, an object with one method that a client can call."""

from broker import pb, reactor


class Echo(pb.Root):
    def rootObject(self, broker):
        broker.notifyOnDisconnect(reactor.stop)
        return self

    def remote_echo(self, text):
        print("echoing:", text)
        return text


port = reactor.listenTCP(0, pb.PBServerFactory(Echo()), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
