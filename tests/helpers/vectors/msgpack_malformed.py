"""The vectors of msgpack/1 that end one call, and those that end the connection."""

from __future__ import annotations

from typing import Any

from vectors.msgpack_case import (
    CHOICE,
    NOTHING,
    VERSION,
    Case,
    body,
    call,
    frame,
    framed,
    graph_call,
    text,
)
from vectors.msgpack_good import LIST, deep, held, nested
from vectors.msgpack_odd import ECHO

__all__ = ["CASES"]

BAD = "malformed message"
OURS = "broker.errors"


def fails(name: str, about: str, kind: str, told: str, *frames: bytes, **options: Any) -> Case:
    """Return a vector whose last call fails."""
    return Case(name, about, frames, f"call: {kind}: {told}", **options)


def ends(name: str, about: str, told: str, *frames: bytes, **options: Any) -> Case:
    """Return a vector that ends the connection."""
    return Case(name, about, frames, f"connection: {told}", **options)


def bad(name: str, about: str, *frames: bytes, **options: Any) -> Case:
    """Return a vector that is a malformed message."""
    return ends(name, about, BAD, *frames, **options)


def unknown(what: str) -> str:
    """Return the text about an object that is not exported."""
    return f"object {what} is not exported to this connection"


def unregistered(name: str) -> str:
    """Return the text about a class that is not registered."""
    return (
        f"type '{name}' is not registered; register a class under that name:"
        f" @broker.register(\"{name}\"); see 'Send your own objects'"
    )


NO_OBJECT, NO_METHOD = f"{OURS}.NoSuchObject", "twisted.spread.flavors.NoSuchMethod"
MALFORMED, TOO_MUCH = "jelly.errors.MalformedJelly", "jelly.errors.LimitExceeded"
INSECURE = "twisted.spread.jelly.InsecureJelly"

OF_CALLS = [
    fails("call_unknown_object", "No such object.", NO_OBJECT, unknown("99"),
          call(1, "echo", target=99)),
    fails("call_unknown_name", "No object of that name.", NO_OBJECT, unknown("'nobody'"),
          call(1, "echo", target="nobody")),
    fails("call_cache_not_held", "A change of a cache that is not held.", NO_OBJECT,
          "cache 5 is not held", frame(3, 1, 5, "set", [5], {})),
    fails("call_local_unknown", "An argument that was never given.", NO_OBJECT, unknown("99"),
          graph_call(1, "echo", [b"local", 99])),
    fails("call_lcache_unknown", "A cache that was never given.", NO_OBJECT,
          "cache 5 is not published to this connection", graph_call(1, "echo", [b"lcache", 5])),
    fails("call_unknown_method", "No such method.", NO_METHOD, "no remote method 'frobnicate'",
          call(1, "frobnicate")),
    fails("call_empty_name", "The empty name.", NO_METHOD, "no remote method ''", call(1, "")),
    fails("call_name_not_ascii", "A name that no method has.", NO_METHOD,
          r"no remote method '\xe9cho'", call(1, "écho")),
    fails("call_wrong_arguments", "One argument too few.", f"{OURS}.WrongArguments",
          "pair: missing 1 required positional argument: 'second'", call(1, "pair", 1)),
    fails("call_unregistered_copy", "A copy that is not registered.", INSECURE,
          unregistered("vectors.Other"),
          graph_call(1, "echo", [b"vectors.Other", NOTHING])),
    fails("call_field_of_wrong_type", "A copy whose field has another type.", MALFORMED,
          "vectors.Card: owner: Expected `str`, got `int`",
          graph_call(1, "echo", [b"vectors.Card", [b"dictionary", [text("owner"), 1]]])),
    fails("call_unknown_tag", "An expression with an unknown tag.", INSECURE,
          unregistered("nonsense"), graph_call(1, "echo", [b"nonsense", 1])),
    fails("call_key_bomb", "A key that is an int of more than 64 bits.", INSECURE,
          "int key wider than 64 bits",
          graph_call(1, "echo", [b"dictionary", [[b"int", b"%d" % (1 << 64)], 1]])),
    fails("call_local_float", "The number of an object is a float.", MALFORMED,
          "local whose id is not an int", graph_call(1, "echo", [b"local", 1.5])),
    fails("call_remote_name", "A reference by a name.", MALFORMED,
          "remote without a number from 0 to 2**63-1", graph_call(1, "echo", [b"remote", b"root"])),
    fails("call_reference_twice", "A number that is defined twice.", MALFORMED,
          "reference 1 defined twice",
          graph_call(1, "pair", [b"reference", 1, LIST], [b"reference", 1, LIST])),
    fails("call_reference_undefined", "A number that is not defined.", MALFORMED,
          "reference 1 was never defined", graph_call(1, "echo", [b"dereference", 1])),
    fails("call_text_not_utf8", "A text of an expression that is not UTF-8.", MALFORMED,
          "unicode that is not UTF-8",
          graph_call(1, "echo", [b"unicode", b"\xff"])),
    fails("call_datetime_offset", "A zone of a whole day.", MALFORMED,
          "datetime whose offset is not seconds of less than a day",
          graph_call(1, "echo", [b"datetime", b"2001 2 3 4 5 6 7", 86_400])),
    fails("call_cache_defined_twice", "The number of a cache that is held already.", MALFORMED,
          "cache 1 defined twice",
          graph_call(1, "keep", held(1)), graph_call(2, "echo", held(1))),
    fails("call_stream_number_twice", "The number of a stream that is open.", MALFORMED,
          "stream 1 is open already",
          graph_call(1, "keep", [b"stream", 1]), graph_call(2, "keep", [b"stream", 1])),
    fails("call_streams_beyond_limit", "Five streams, where four may be open.", TOO_MUCH,
          "more than 4 streams (max_streams)",
          graph_call(1, "pair", *([b"stream", n] for n in range(1, 6)))),
    fails("call_stream_of_text", "A stream whose number is a text.", MALFORMED,
          "stream without a number from 0 to 2**63-1", graph_call(1, "keep", [b"stream", b"1"])),
    fails("call_stream_in_mind", "A mind cannot hold a stream.", MALFORMED,
          "a mind cannot hold a stream",
          graph_call(1, "loginAnonymous", [b"stream", 1]), state="before login"),
    fails("call_promise_in_mind", "A mind cannot hold a promise.", MALFORMED,
          "a mind cannot hold a promise",
          graph_call(1, "loginAnonymous", [b"promised", 1]), state="before login"),
    fails("call_refs_beyond_limit", "21 references, where 20 may live.", TOO_MUCH,
          "more than 20 live references (max_refs)",
          graph_call(1, "echo", [b"list", *([b"remote", n] for n in range(1, 22))])),
    fails("call_decimal_too_large", "An exponent that is out of range.", TOO_MUCH,
          "decimal exponent out of range (max_decimal_exponent)",
          graph_call(1, "echo", [b"decimal", 1, 10_000])),
    fails("call_beyond_max_calls", "A ninth call, where eight may run.", f"{OURS}.ServerBusy",
          "8 calls in flight (max_calls)", *(call(n, "wait", f"{n}") for n in range(1, 10))),
]  # fmt: skip

FRAMES = [
    bad("bad_empty_frame", "No body.", framed(b"")),
    bad("bad_no_array", "An int.", framed(b"\x05")),
    bad("bad_empty_array", "No number of a command.", framed(b"\x90")),
    bad("bad_truncated", "The array ends too early.", framed(body(12, 1 << 40)[:-1])),
    bad("bad_bytes_behind", "A byte behind the array.", framed(body(12, 1) + b"\x00")),
    bad("bad_row_23", "A reserved command.", frame(23, 1)),
    bad("bad_row_40", "A command that there never will be.", frame(40, 1)),
    bad("bad_too_short", "A ping without a token.", frame(12)),
    bad("bad_too_long", "A ping of two tokens.", frame(12, 1, 2)),
]


def plain(*fields: Any) -> bytes:
    """Return a call of ``echo`` with these fields behind the arguments."""
    return frame(1, 1, "root", "echo", ["a"], *fields)


FIELDS = [
    bad("bad_bool_for_int", "A boolean is no number.", frame(12, True)),
    bad("bad_float_for_int", "A float is no number.", frame(12, 1.0)),
    bad("bad_negative_id", "Numbers begin with 0.", frame(12, -1)),
    bad("bad_id_2_63", "One more than the largest number.", frame(12, 1 << 63)),
    bad("bad_name_129", "A name of 129 characters.", call(1, "e" * 129)),
    bad("bad_key_int", "The key of a map is an int.", framed(ECHO + b"\x91\x81\x01\x01\x80")),
    bad("bad_utf8", "A text that is not UTF-8.", framed(ECHO + b"\x91\xa1\xff\x80")),
    bad("bad_surrogate", "Half of a surrogate pair.", framed(ECHO + b"\x91\xa3\xed\xa0\x80\x80")),
    bad("bad_ext", "An extension type.", framed(ECHO + b"\x91\xd4\x01\x00\x80")),
    bad("bad_bin_in_plain", "Bytes in a plain value.", call(1, "echo", b"x")),
    bad("bad_seven_deep_plain", "Deeper than plain values may be.", call(1, "echo", deep(7))),
    bad("bad_deadline_negative", "A negative deadline.", plain({}, -1)),
    bad("bad_deadline_bool", "A deadline that is a boolean.", plain({}, True)),
    bad("bad_decref_name", "Names are not counted.", frame(8, "root")),
    bad("bad_piece_text", "A piece of text.", frame(19, 7, "x")),
    bad("bad_draining_nine", "Nine addresses.", frame(15, 0, ["pbs://a"] * 9)),
]

GRAPHS = [
    bad("bad_nil_in_graph", "Nil in a graph.", graph_call(1, "echo", None)),
    bad("bad_text_in_graph", "A text in a graph.", graph_call(1, "echo", "a")),
    bad("bad_graph_103_deep", "Deeper than graphs may be.",
        graph_call(1, "echo", nested(100, LIST))),
    *(bad(f"bad_graph_kind_{kind}", "There is no graph of that kind.",
          frame(7, kind, 1, "root", "echo", [[b"tuple"], NOTHING])) for kind in (0, 6, 8)),
    bad("bad_graph_of_one", "A call without keywords.",
        frame(7, 1, 1, "root", "echo", [[b"tuple"]])),
    bad("bad_cache_by_name", "A cache has no name.",
        graph_call(1, "set", 5, target="root", kind=3)),
]  # fmt: skip


def opened(terms: Any) -> tuple[bytes, ...]:
    """Return a client's opening with these terms."""
    return CHOICE, frame(0, 6, terms)


TERMS = [
    bad("bad_terms_33", "33 terms.", *opened({f"t{n}": n for n in range(33)}), state="opening"),
    bad("bad_term_negative", "A negative term.", *opened({"frame": -1}), state="opening"),
    bad("bad_term_text", "A term that is a text.", *opened({"frame": "1"}), state="opening"),
    bad("bad_meta_9", "Nine entries.", plain({}, None, {f"x-{n}": "" for n in range(9)})),
    bad("bad_meta_key_65", "A key of 65 characters.", plain({}, None, {"x" * 65: ""})),
    bad("bad_meta_value_513", "A value of 513 characters.", plain({}, None, {"x-a": "a" * 513})),
    bad("bad_meta_int", "A value that is an int.", plain({}, None, {"x-a": 5})),
]

TARGETS = [
    bad("bad_target_empty", "A promise of nothing.", call(1, "echo", target=[])),
    bad("bad_target_of_three", "A promise of three fields.", call(1, "echo", target=[1, 2, 3])),
    bad("bad_target_text_first", "A promise of a text.", call(1, "echo", target=["a"])),
    bad("bad_step_float", "A step that is a float.", call(1, "echo", target=[1, 1.5])),
    bad("bad_promise_in_one_way", "A one-way call has no promise as its target.",
        call(1, "thing"), frame(2, 2, [1], "echo", [], {})),
    bad("bad_promise_in_cache_call", "A cache has a number.", frame(3, 1, [1], "set", [5], {})),
    *(ends(name, about, "promise of request 9, which has not been made",
           call(number, "echo", target=[9]))
      for name, about, number in (("bad_promise_own", "A promise of the call itself.", 9),
                                  ("bad_promise_later", "A promise of a later call.", 1))),
]  # fmt: skip

TOTAL = graph_call(1, "total", [b"stream", 1])
STREAMS = [
    bad("bad_credit_nothing", "A credit of nothing.", frame(16, 7, 0, 0)),
    bad("bad_credit_negative", "A negative credit.", frame(16, 7, -1, 0)),
    *(ends(f"bad_stream_unknown_{row}", "A stream that is not open.", "stream 7 is not open",
           frame(row, 7, *fields))
      for row, fields in ((16, (1, 1)), (17, ([1],)), (18, ([b"list", 1],)), (19, (b"x",)),
                          (20, ()), (21, ()))),
    bad("bad_items_none", "No items.", TOTAL, frame(17, 1, [])),
    bad("bad_items_int", "An int in place of the array.", TOTAL, frame(17, 1, 5)),
    bad("bad_item_graph_no_list", "The items are a tuple.", TOTAL, frame(18, 1, [b"tuple", 1])),
    bad("bad_item_graph_none", "No items.", TOTAL, frame(18, 1, [b"list"])),
    bad("bad_item_seven_deep", "Deeper than plain values may be.", TOTAL,
        frame(17, 1, [deep(7)])),
    bad("bad_item_bytes", "Bytes among plain items.", TOTAL, frame(17, 1, [b"x"])),
    ends("bad_items_after_end", "The stream has ended.", "stream 1 is not open",
         TOTAL, frame(20, 1), frame(17, 1, [1])),
    ends("bad_end_twice", "The stream has ended.", "stream 1 is not open",
         TOTAL, frame(20, 1), frame(20, 1)),
    ends("bad_stop_of_own", "A stream of the client itself.", "stream 1 is not open",
         TOTAL, frame(21, 1)),
    ends("bad_items_beyond_credit", "More than the server takes.",
         "stream 1: 1 items beyond its credit",
         graph_call(1, "keep", [b"stream", 1]), frame(17, 1, [1] * 257)),
    ends("bad_bytes_beyond_credit", "No byte is left.",
         "stream 1: a frame beyond its credit of bytes",
         graph_call(1, "keep", [b"stream", 1]), frame(17, 1, ["x" * 262_144]), frame(17, 1, [1])),
    ends("bad_home_unknown", "A call that was never made.", "request 5 did not come home",
         frame(22, 5)),
    ends("bad_home_not_promised", "A call whose target is no promise.",
         "request 1 did not come home", graph_call(1, "use", [b"remote", 1]), frame(22, 1)),
]  # fmt: skip

FIRST = "the first frame is not the version"
OPENING = [
    ends("bad_frame_too_large", "Its four bytes are enough.",
         "expression larger than 16777216 bytes (max_expression)", b"\x01\x00\x00\x01"),
    ends("bad_nodes", "A frame of more elements than one may have before a login.",
         "expression of more than 2000 nodes (max_nodes)",
         call(1, "loginAnonymous", [0] * 2_000), state="before login"),
    ends("bad_first_frame_call", "A call.", FIRST, CHOICE, call(1, "echo", "a"), state="opening"),
    ends("bad_first_frame_ping", "A ping.", FIRST, CHOICE, frame(12, 1), state="opening"),
    ends("bad_first_frame_decref", "A decref.", FIRST, CHOICE, frame(8, 1), state="opening"),
    ends("bad_second_version", "There is only one.", "a second version", VERSION),
    ends("bad_version_7", "Another version.", "the peer speaks version 7, not 6",
         CHOICE, frame(0, 7), state="opening"),
]  # fmt: skip

COUNTS = [
    ends("bad_id_in_use", "The id of a running call.", "request id 1 already in use",
         call(1, "wait", "a"), call(1, "echo", "b")),
    ends("bad_answer_unknown", "An answer to nothing.", "answer to unknown request 99",
         frame(5, 99, 1)),
    ends("bad_uncache_unknown", "A cache that is not held.",
         "uncache of cache 55 that is not held", frame(10, 55)),
    ends("bad_decref_unknown", "A number that is not held.", "decref of object 99 by 1 (held 0)",
         frame(8, 99)),
    ends("bad_decref_beyond", "More than are held.", "decref of object 1 by 5 (held 1)",
         call(1, "thing"), frame(8, 1, 5)),
    ends("bad_decache_unknown", "A number that is not held.",
         "decache of cache 99 by 1 (held 0)", frame(9, 99)),
    ends("bad_decache_beyond", "More than are held.", "decache of cache 1 by 5 (held 1)",
         call(1, "price"), frame(9, 1, 5)),
    ends("bad_pings_41", "More than 40 pings in 20 s.", "too many pings",
         *(frame(12, n) for n in range(41))),
    ends("bad_unknown_objects_100", "A hundred calls of what was never given.", unknown("12345"),
         *(call(n, "echo", target=12345) for n in range(1, 101))),
]  # fmt: skip

ROWS: dict[int, tuple[Any, ...]] = {
    3: (1, 5, "set", [5], {}), 4: (1, 5, "set", [5], {}), 5: (1, 1), 6: (1, [1]), 9: (1,),
    10: (1,), 15: (0, []), 16: (7, 1, 1), 17: (7, [1]), 18: (7, [b"list", 1]), 19: (7, b"x"),
    20: (7,), 21: (7,), 22: (1,),
}  # fmt: skip
GATE = [
    ends(name, about, "not logged in", data, state="before login")
    for name, about, data in (
        *((f"bad_gate_row_{row}", "A command that is not part of a login.", frame(row, *fields))
          for row, fields in ROWS.items()),
        ("bad_gate_keywords", "A login with keywords.", call(1, "loginAnonymous", None, a=1)),
        ("bad_gate_list", "An argument that is a list.", call(1, "loginToken", [], None)),
        ("bad_gate_promise", "A promise.", call(1, "loginAnonymous", None, target=[1])),
    )
]  # fmt: skip

CASES = [
    *OF_CALLS, *FRAMES, *FIELDS, *GRAPHS, *TERMS, *TARGETS, *STREAMS, *OPENING, *COUNTS, *GATE,
]  # fmt: skip
"""All of them, in the order of the file."""
