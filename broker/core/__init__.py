"""The protocol, without sockets, event loops, clocks or Deferreds."""
