"""The protocol itself, without sockets, loops, clocks or promises."""
