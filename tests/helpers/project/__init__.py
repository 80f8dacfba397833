"""Figures about the project: the ways through its code, the lowest versions it needs."""
