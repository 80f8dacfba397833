"""The extension module in C; its source is in the folder native of the repository."""

VERSION: int
