"""Moves programs from Twisted: what their imports become here, and what a person must look at."""
