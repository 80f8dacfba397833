"""A virtual node of SimulaQron: ``simulaqron_node.py NAME MAX_QUBITS``."""

import sys

from simulaqron.settings import network_config

network_config.read_from_file("classicalNet.json")

from simulaqron.virtual_node.virtual import Backend  # noqa: E402

Backend(sys.argv[1]).start(max_qubits=int(sys.argv[2]))
