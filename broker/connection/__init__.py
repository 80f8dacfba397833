"""A connection: one session on one transport, with Deferreds."""
