"""A chat client for several networks at once: PB and IRC, in a terminal or in a window."""
