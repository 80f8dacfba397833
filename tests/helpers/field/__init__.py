"""Programs that others wrote for Twisted's Perspective Broker, run with their imports moved."""
