"""The wire formats: messages, and the dialects that encode them."""
