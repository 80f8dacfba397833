"""The transport layer: event loops, sockets and TLS."""
