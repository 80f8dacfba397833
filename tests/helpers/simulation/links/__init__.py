"""Runs in which the clients are links, and their servers are killed, drained and started again."""
