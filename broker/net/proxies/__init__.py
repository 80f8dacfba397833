"""Connects a client to a server through a proxy: SOCKS 4, 4a and 5, and HTTP CONNECT."""
