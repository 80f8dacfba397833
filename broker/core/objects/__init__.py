"""Objects that cross a connection: who holds them, under which id."""
