"""Alice sends Bob more qubits than he has room for, and says what she is told.

Bob's node raises NoQubitError. Alice's node gets it as a RemoteError, imports the class by its
``remoteType``, and raises it again; this program gets that.
"""

import json

from simulaqron.general.host_config import SocketsConfig
from simulaqron.local.setup import setup_local
from simulaqron.settings import network_config
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.spread import pb


class Application(pb.Root):
    """What other applications could call."""

    def set_virtual_node(self, node):
        """Take no notice of the node."""

    def set_virtual_reg(self, register):
        """Take no notice of the register."""


@inlineCallbacks
def send_too_many(register, node, name, network):
    """Send qubits until one is refused; print the error as a line of JSON."""
    try:
        while True:
            qubit = yield node.callRemote("new_qubit_inreg", register)
            yield node.callRemote("send_qubit", qubit, "Bob")
    except pb.RemoteError as error:
        print("REFUSED", json.dumps([repr(error.remoteType), str(error)]))
    except Exception as error:
        print("REFUSED", json.dumps([type(error).__name__, str(error)]))
    reactor.stop()


network_config.read_from_file("classicalNet.json")
setup_local(
    "Alice",
    SocketsConfig(network_config, network_name="default", config_type="vnode"),
    SocketsConfig(network_config, network_name="default", config_type="app"),
    Application(),
    send_too_many,
)
