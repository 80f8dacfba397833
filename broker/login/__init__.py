"""Logging in, at both ends."""
