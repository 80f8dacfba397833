"""The engine room: event loops, sockets and TLS, known to nothing outside this package."""
