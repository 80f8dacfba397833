"""The wire: messages, and the dialects that carry them."""
