"""One session on one transport, with Deferreds."""
