"""Moves programs from Twisted: rewrites their imports, and reports what needs manual work."""
