"""WebSocket under the protocol, and the few pages of its port; needs the extra ``ws``."""
