"""Watchdogs: each ends a connection whose peer exceeds a time limit."""
