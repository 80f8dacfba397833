"""The commands of ``pb``, except the demonstration."""
