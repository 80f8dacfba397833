"""Folders whose files are opened by names of a peer, and nothing outside them."""
