"""The words that the ``pb`` dialect sends as a number, in the order of PB's numbers."""

from __future__ import annotations

__all__ = ["NONE_VOCABULARY", "PB_VOCABULARY"]

_WORDS = (
    b"None class dereference reference dictionary function instance list module persistent tuple"
    b" unpersistable copy cache cached remote local lcache version login password challenge"
    b" logged_in not_logged_in cachemessage message answer error decref decache uncache"
).split()

PB_VOCABULARY: dict[bytes, int] = {word: number for number, word in enumerate(_WORDS, start=1)}
NONE_VOCABULARY: dict[bytes, int] = {}
