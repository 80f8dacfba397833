"""The demonstration of ``python -m broker demo``: a box office and two visitors, over TLS."""
