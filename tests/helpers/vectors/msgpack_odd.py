"""The vectors of msgpack/1 that this library does not write, and takes."""

from __future__ import annotations

from vectors.msgpack_case import Case, call, frame, framed, graph_call, text
from vectors.msgpack_good import LIST, asked, failure

__all__ = ["CASES"]

ECHO = b"\x96\x01\x01\xa4root\xa4echo"
"""The beginning of call 1 of ``echo`` at the root."""


CASES = [
    Case("odd_float32", "A float of 32 bits.", (framed(ECHO + b"\x91\xca\x3f\xc0\x00\x00\x80"),)),
    Case("odd_non_minimal_ints", "Ints that are longer than they need be.",
         (framed(b"\x96\xcd\x00\x01\xd3\0\0\0\0\0\0\0\x01\xa4root\xa4echo\x91\xd2\0\0\0\x05\x80"),)),
    Case("odd_non_minimal_lengths", "Lengths that are longer than they need be.",
         (framed(b"\xdc\x00\x06\x01\x01\xd9\x04root\xda\x00\x04echo\xdd\0\0\0\x01\xa1a\xde\0\0"),)),
    Case("odd_double_key", "A key twice: the last one counts.",
         (framed(ECHO + b"\x91\x82\xa1a\x01\xa1a\x02\x80"),)),
    Case("odd_double_keyword", "A keyword twice: the last one counts.",
         (framed(b"\x96\x01\x01\xa4root\xa8keywords\x90\x82\xa1a\x01\xa1a\x02"),)),
    Case("odd_int_form_of_small", "A small int as digits.",
         (graph_call(1, "echo", [b"int", b"5"]),)),
    Case("odd_reference_order", "Numbers that do not begin with 1.",
         (graph_call(1, "pair", [b"reference", 9, LIST], [b"reference", 3, LIST]),)),
    Case("odd_reference_unused", "A number that nothing refers to.",
         (graph_call(1, "echo", [b"reference", 1, LIST]),)),
    Case("odd_reference_zero", "The number 0.",
         (graph_call(1, "same", [b"reference", 0, LIST], [b"dereference", 0]),)),
    Case("odd_reference_of_text", "A number for a text.",
         (graph_call(1, "pair", [b"reference", 1, text("a")], [b"dereference", 1]),)),
    Case("odd_id_zero", "A call with the id 0.", (call(0, "echo", "a"),)),
    Case("odd_id_backwards", "Ids that fall.", (call(5, "echo", "a"), call(3, "echo", "b"))),
    Case("odd_id_reused", "An id that was used and answered.",
         (call(1, "echo", "a"), call(1, "echo", "b"))),
    Case("odd_cancel_unknown", "A cancel of a call that was never made.", (frame(11, 5),),
         "ignored"),
    Case("odd_pong_unasked", "A pong without a ping.", (frame(13, 5),), "ignored"),
    Case("odd_call_after_goodbye", "A call behind a goodbye.",
         (frame(14, "closing", "Bye.") + call(1, "echo", "a"),), "ignored"),
    Case("odd_parents_empty", "An empty list of parents is the type alone.",
         asked(7, 7, 1, 0, "", failure(b"javascript.RangeError", "too far"))),
]  # fmt: skip
"""All of them, in the order of the file."""
