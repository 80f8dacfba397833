"""Watchdogs: each ends a connection on which something does not come in time."""
