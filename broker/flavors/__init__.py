"""The kinds of objects that cross a connection: by reference, as a view, as a copy, as a cache."""
