"""The reactor: its loop, ports, connectors, timers, processes and threads."""
