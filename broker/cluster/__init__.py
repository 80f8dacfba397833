"""Named objects over several nodes: each is at one node, and every node can call it."""
