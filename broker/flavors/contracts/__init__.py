"""Contracts: both ends import a ``typing.Protocol``, and the calls between them are checked."""
