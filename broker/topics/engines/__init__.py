"""Engines: what carries the messages of topics, keeps them, and knows who is present."""
