"""Objects that are sent over a connection: their ids and their owners."""
