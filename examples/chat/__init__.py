"""A chat server with several front ends: PB, IRC, lines of text, and web pages; and its clients."""
