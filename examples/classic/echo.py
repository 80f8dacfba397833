"""Echo with the published names: a program for Twisted, with other imports."""

from broker import pb, reactor


class Echo(pb.Root):
    def remote_echo(self, text):
        return text


port = reactor.listenTCP(0, pb.PBServerFactory(Echo()), interface="127.0.0.1")
factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
calling = factory.getRootObject()
calling.addCallback(lambda root: root.callRemote("echo", "hello"))
calling.addCallback(print)
calling.addBoth(lambda result: reactor.stop())
reactor.run()
