"""Calls: from the message to the method and back."""
