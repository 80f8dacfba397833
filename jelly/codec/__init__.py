"""Banana: encodes expressions to bytes, and decodes bytes, in any pieces, to expressions.

An element is a *prefix* of 7-bit digits, least significant first, then one type byte of 0x80 or
more, then a body for strings and floats. The prefix of a list is the number of its elements.
"""

from __future__ import annotations

from jelly import acceleration

# Before the modules here are imported, which have a compiled form.
acceleration.use(__path__)

# ruff: noqa: E402
from jelly.codec.elements import float_bytes, int_bytes, list_head, string_head
from jelly.codec.reader import Reader
from jelly.codec.writer import Writer

__all__ = ["Reader", "Writer", "float_bytes", "int_bytes", "list_head", "string_head"]
