"""The kinds of objects that cross a connection: references, views, copies and caches."""
