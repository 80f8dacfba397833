"""The same attacks on this library and on Twisted, with their costs side by side."""
