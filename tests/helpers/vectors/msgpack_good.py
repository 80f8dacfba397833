"""The vectors of msgpack/1 that a client and a server say as a rule."""

from __future__ import annotations

import math
from typing import Any

from vectors.msgpack_case import CHOICE, NOTHING, VERSION, Case, call, frame, graph_call, text

__all__ = ["CASES"]

LIST = [b"list"]
ONE, TWO = [b"reference", 1, LIST], [b"dereference", 1]
PRICE = [b"dictionary", [text("price"), 1]]
LARGEST = (1 << 63) - 1


def nested(depth: int, leaf: Any) -> Any:
    """Return a leaf inside so many lists of an expression."""
    for _ in range(depth):
        leaf = [b"list", leaf]
    return leaf


def deep(depth: int) -> Any:
    """Return a plain list inside so many lists."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def held(number: int) -> list[Any]:
    """Return the expression of a cache of the client."""
    return [b"vectors.Held", number, PRICE]


def once_call(number: int, key: int, name: str, *args: Any, settled: int = 0) -> bytes:
    """Return a call that runs at most once."""
    meta = {"once": f"AAAAAAAAAAAAAAAAAAAAAA.{key}.{settled}"}
    return frame(1, number, "root", name, args, {}, None, meta)


def failure(kind: bytes, value: str, *parents: str, **fields: Any) -> list[Any]:
    """Return the expression of a client's exception."""
    state = [
        b"dictionary",
        [text("type"), kind],
        [text("value"), text(value)],
        [text("parents"), [b"list", *map(text, parents)]],
        [text("traceback"), text("Traceback unavailable\n")],
    ]
    return [b"twisted.spread.pb.CopyableFailure", state]


def asked(*answer: Any) -> tuple[bytes, ...]:
    """Return a call in which the server calls the client, and the client's answer."""
    return graph_call(1, "ask", [b"remote", 1]), frame(*answer)


OPENING = [
    Case(
        "opening_plain",
        "A client without terms.",
        (CHOICE, VERSION, call(1, "echo", "a")),
        state="opening",
    ),
    Case(
        "opening_terms",
        "A client that takes frames of 1 MiB and eight streams.",
        (CHOICE, frame(0, 6, {"frame": 1 << 20, "streams": 8}), call(1, "echo", "a")),
        state="opening",
    ),
    Case(
        "opening_unknown_term",
        "A term that this version does not know.",
        (CHOICE, frame(0, 6, {"later": 5}), call(1, "echo", "a")),
        state="opening",
    ),
    Case(
        "opening_calls_at_once",
        "Choice, version and first calls arrive together.",
        (CHOICE + VERSION + call(1, "echo", "a") + call(2, "echo", "b"),),
        state="opening",
    ),
]

CALLS = [
    Case("call_plain", "A call of the root.", (call(1, "echo", "a"),)),
    Case("call_keywords", "Arguments and keywords.", (call(1, "keywords", 1, b=2, c="d"),)),
    Case("call_one_way", "Two calls without an answer.",
         (frame(2, 1, "root", "keep", [5], {}), frame(2, 2, "root", "nothing", [], {}))),
    Case("call_named", "The target is the name of an object.", (call(1, "thing"),)),
    Case("call_deadline", "The caller waits for five seconds.",
         (frame(1, 1, "root", "echo", ["a"], {}, 5000),)),
    Case("call_deadline_nil", "A deadline of nil is none.",
         (frame(1, 1, "root", "echo", ["a"], {}, None),)),
    Case("call_meta", "Metadata, and no deadline.",
         (frame(1, 1, "root", "echo", ["a"], {}, None, {"x-tenant": "a"}),)),
    Case("call_deadline_and_meta", "Both.",
         (frame(1, 1, "root", "echo", ["a"], {}, 5000, {"x-tenant": "a"}),)),
    Case("call_unknown_meta_key", "A key that the receiver does not know.",
         (frame(1, 1, "root", "echo", ["a"], {}, None, {"later": "a"}),)),
    Case("call_to_cache", "A change of a cache that the server holds.",
         (graph_call(1, "keep", held(1)), frame(3, 2, 1, "set", [5], {}), call(3, "held"))),
    Case("call_to_cache_one_way", "The same, no answer wanted.",
         (graph_call(1, "keep", held(1)), frame(4, 2, 1, "set", [5], {}), call(3, "held"))),
    Case("event_id_zero", "An event for many receivers has 0 for its id.",
         (graph_call(1, "subscribe", [b"remote", 1]), call(2, "publish", "rain"),
          frame(2, 0, "root", "keep", [5], {}))),
]  # fmt: skip

LEAVES: tuple[Any, ...] = (
    None, False, True, -(1 << 63), -1, 0, 1 << 63, (1 << 64) - 1, 0.0, -0.0, 4.0,
    math.inf, math.nan, "", "\U0001f40d",
)  # fmt: skip

ANSWERS = [
    Case("answer_leaves", "Each kind of value, and its limits.",
         tuple(call(number, "echo", leaf) for number, leaf in enumerate(LEAVES, 1))),
    Case("answer_list_and_map", "Containers.",
         (call(1, "echo", [1, "a", None]), call(2, "echo", {"a": [1], "b": {}}))),
    Case("answer_tuple", "A tuple has a command of its own.", (call(1, "tuple", 1, "a"),)),
    Case("answer_six_deep", "As deep as plain values may be.", (call(1, "echo", deep(6)),)),
    Case("answer_out_of_order", "Calls are answered as they end.",
         (call(1, "wait", "a"), call(2, "wait", "b"), call(3, "release", "b"),
          call(4, "release", "a"))),
]  # fmt: skip

BITS = (1 << 448) - 1
GRAPHS = [
    Case("graph_call", "A call of expressions.", (graph_call(1, "echo", text("a")),)),
    Case("graph_one_way", "No answer wanted.", (graph_call(1, "keep", LIST, kind=2),)),
    Case("graph_to_cache", "A change of a cache, with and without an answer.",
         (graph_call(1, "keep", held(1)), graph_call(2, "set", 5, target=1, kind=3),
          graph_call(3, "set", 6, target=1, kind=4), call(4, "held"))),
    Case("graph_answer", "An answer that is not a plain value.",
         (graph_call(1, "echo", [b"tuple", 1, LIST]),)),
    Case("graph_bytes", "Bytes are bin.", (graph_call(1, "echo", b"\x00\xff"),)),
    Case("graph_seven_deep", "Deeper than plain values.",
         (graph_call(1, "echo", nested(6, LIST)),)),
    Case("graph_102_deep", "As deep as a graph may be.",
         (graph_call(1, "keep", nested(99, LIST)),)),
    Case("graph_int_digits", "Ints of more than 64 bits.",
         tuple(graph_call(number, "echo", [b"int", b"%d" % value]) for number, value in
               enumerate((1 << 64, -(1 << 63) - 1, BITS), 1))),
    Case("graph_shared", "One list twice.", (graph_call(1, "pair", ONE, TWO),)),
    Case("graph_shared_between_args_and_kw", "Each of the two has its own numbers.",
         (graph_call(1, "keywords", ONE, TWO, kw=[*NOTHING, [text("a"), ONE], [text("b"), TWO]]),)),
    Case("graph_cycle", "A list that contains itself.",
         (graph_call(1, "echo", [b"reference", 1, [b"list", TWO]]),)),
    Case("graph_keys", "Keys that are bytes, ints and tuples.",
         (graph_call(1, "echo", [b"dictionary", [b"k", 1], [5, 2], [[b"tuple", 1, b"x"], 3]]),)),
    Case("graph_set", "A set of one, and a frozenset.",
         (graph_call(1, "pair", [b"set", 1], [b"frozenset", 1]),)),
    Case("graph_datetime_zone", "A datetime with the zone of UTC, and one half an hour behind it.",
         (graph_call(1, "pair", [b"datetime", b"2001 2 3 4 5 6 7", 0],
                     [b"datetime", b"2001 2 3 4 5 6 7", -1800]),)),
    Case("graph_uuid", "A UUID.", (graph_call(1, "echo", [b"uuid.UUID", bytes(range(16))]),)),
    Case("graph_enum", "A member of an enumeration, by its value.",
         (graph_call(1, "echo", [b"vectors.Colour", text("red")]),)),
    Case("graph_copy", "A copy, by its registered name.",
         (graph_call(1, "echo", [b"vectors.Card", [b"dictionary", [text("owner"), text("x")]]]),)),
]  # fmt: skip

ERRORS = [
    Case("error_minimal", "A client's exception, with the four keys that are enough.",
         asked(7, 7, 1, 0, "", failure(b"builtins.KeyError", "'x'", "builtins.KeyError"))),
    Case("error_registered", "An error of the application under its registered name.",
         (call(1, "fail", "registered"),)),
    Case("error_fields", "An error with declared fields.", (call(1, "fail", "fields"),)),
    Case("error_internal", "The text of another exception is not shown.",
         (call(1, "fail", "internal"),)),
    Case("error_foreign_type", "An exception of another language.",
         asked(7, 7, 1, 0, "", failure(b"javascript.TypeError", "x is not a function",
                                       "javascript.TypeError", "builtins.Exception"))),
]  # fmt: skip

REFERENCES = [
    Case("remote_first", "An object that is passed for the first time.", (call(1, "thing"),)),
    Case("remote_again", "It has the same number the second time.",
         (call(1, "thing"), call(2, "thing"))),
    Case("remote_three_in_one", "Three times in one message: three are owed.",
         (call(1, "thrice"),)),
    Case("local_home", "A reference that goes back to its owner.",
         (call(1, "thing"), graph_call(2, "is_thing", [b"local", 1]))),
    Case("local_named", "A published object, by its name.",
         (graph_call(1, "is_root", [b"local", b"root"]),)),
    Case("decref_one", "The object is dropped, and gets a new number.",
         (call(1, "thing"), frame(8, 1), call(2, "thing"))),
    Case("decref_three", "Three receptions are dropped at once.",
         (call(1, "thrice"), frame(8, 1, 3), call(2, "thing"))),
    Case("decref_while_call_runs", "A call of the object has no answer yet.",
         (call(1, "waiter"), call(2, "wait", "a", target=1), frame(8, 1), call(3, "release", "a"))),
    Case("called_back", "The server calls an object of the client.",
         (graph_call(1, "use", [b"remote", 1]), frame(5, 1, 2))),
]  # fmt: skip

CACHES = [
    Case("cache_first", "A cache of the server, a change of it, and the answer to the change.",
         (call(1, "price"), call(2, "set_price", 5), frame(5, 1, None))),
    Case("cached_again", "The second time it is a number.", (call(1, "price"), call(2, "price"))),
    Case("cache_twice_in_a_message", "The second time in one message.", (call(1, "prices"),)),
    Case("lcache", "A cache goes back to its owner.",
         (call(1, "price"), graph_call(2, "is_price", [b"lcache", 1]))),
    Case("change_after_decache", "A change that was on its way when the server dropped the cache.",
         (graph_call(1, "keep", held(1)), call(2, "forget"), frame(3, 3, 1, "set", [5], {}),
          frame(10, 1))),
    Case("cached_crosses_decache", "The cache itself was on its way.",
         (graph_call(1, "keep", held(1)), call(2, "forget"), graph_call(3, "keep", [b"cached", 1]),
          call(4, "held"))),
    Case("decache_count", "Two receptions are dropped at once.",
         (call(1, "price"), call(2, "price"), frame(9, 1, 2))),
    Case("cache_after_uncache", "A dropped cache gets a new number.",
         (call(1, "price"), frame(9, 1), call(2, "price"))),
]  # fmt: skip

CODES = ("draining", "closing", "expired", "error", "moved", "replaced", "kicked", "slow")

LIFE = [
    Case("cancel_running", "A cancelled call has an outcome all the same, which its caller drops.",
         (call(1, "wait", "a"), frame(11, 1), call(2, "release", "a"))),
    Case("cancel_crosses_answer", "The answer was on its way.",
         (call(1, "echo", "a"), frame(11, 1))),
    Case("ping_pong", "A ping is answered at once.", (frame(12, 7),)),
    Case("ping_largest_token", "The largest number.", (frame(12, LARGEST),)),
    *(Case(f"goodbye_{code}", "The reason why the client will close.", (frame(14, code, "Bye."),))
      for code in CODES),
    Case("goodbye_unknown_code", "It counts as closing.", (frame(14, "later", "Bye."),)),
    Case("draining", "The client takes no new calls.", (frame(15, 2000, []),)),
    Case("draining_twice", "It says so again.", (frame(15, 2000, []), frame(15, 100, []))),
]  # fmt: skip

LOGIN = [
    Case("login_meta_dropped", "Metadata before a login is read, and means nothing.",
         (frame(1, 1, "root", "loginAnonymous", [None], {}, None, {"x-tenant": "a"}),),
         state="before login"),
]  # fmt: skip

STREAM = [b"stream", 1]
SUM = graph_call(1, "total", STREAM)

STREAMS = [
    Case("stream_result", "Three items, and the end.", (call(1, "rows", 1, 2, 3),)),
    Case("stream_empty", "The end alone.", (call(1, "rows"),)),
    Case("stream_size", "A stream that tells the number of its items.", (call(1, "sized"),)),
    Case("stream_argument", "A stream of the client.",
         (SUM, frame(17, 1, [1, 2]), frame(17, 1, [3]), frame(20, 1))),
    Case("stream_argument_at_once", "The items arrive with the call.",
         (SUM + frame(17, 1, [1, 2]) + frame(20, 1),)),
    Case("stream_plain_items", "Plain values share a frame.",
         (call(1, "rows", None, True, 1.5, "a", [1], {"b": 2}),)),
    Case("stream_graph_items", "Other values are graphs.",
         (graph_call(1, "rows", [b"set", 1], [b"tuple", 2]),)),
    Case("stream_graph_argument", "A graph of two items.",
         (graph_call(1, "length", STREAM), frame(18, 1, [b"list", [b"tuple", 1], [b"set", 2]]),
          frame(20, 1))),
    Case("stream_pieces", "Bytes are alone; the server gives a stream of bytes more credit.",
         (graph_call(1, "length", STREAM), frame(19, 1, b"abc"), frame(19, 1, b"de"),
          frame(20, 1))),
    Case("stream_pieces_result", "Bytes of the server.", (graph_call(1, "rows", b"abc", b"de"),)),
    Case("stream_credit", "The server sends 64 items, and more as the client takes them.",
         (call(1, "count", 100), frame(16, 1, 32, 65_536), frame(16, 1, 32, 65_536))),
    Case("stream_credit_given", "The server gives back what its program has taken.",
         (SUM, frame(17, 1, [1] * 128), frame(17, 1, [1] * 128), frame(20, 1))),
    Case("stream_credit_meta", "The client asks for one item at a time.",
         (frame(1, 1, "root", "count", [3], {}, None, {"credit": "1,65536"}),
          frame(16, 1, 1, 100), frame(16, 1, 1, 100))),
    Case("stream_before_terms", "The baseline holds until the terms have come.",
         (CHOICE + VERSION + SUM + frame(17, 1, [1] * 64) + frame(20, 1),), state="opening"),
    Case("stream_fails", "The client's generator has raised an error.",
         (SUM, frame(17, 1, [1]),
          frame(20, 1, failure(b"builtins.KeyError", "'x'", "builtins.KeyError")))),
    Case("stream_stopped", "The client wants no more items.",
         (call(1, "count", 1000), frame(21, 1))),
    Case("stream_stopped_by_the_server", "It has read enough; the client ends the stream.",
         (graph_call(1, "first", STREAM), frame(17, 1, [1]), frame(20, 1))),
    Case("stream_two", "Two streams share the connection.",
         (graph_call(1, "total", [b"stream", 1]), graph_call(2, "total", [b"stream", 2]),
          frame(17, 2, [5]), frame(17, 1, [1]), frame(20, 2), frame(20, 1))),
    Case("stream_items_cross_stop", "They were on their way, and are dropped.",
         (graph_call(1, "first", STREAM), frame(17, 1, [1]), frame(17, 1, [2, 3]), frame(20, 1))),
    Case("stream_credit_crosses_end", "It means nothing any more.",
         (call(1, "rows", 1), frame(16, 1, 1, 1), frame(12, 1))),
    Case("stream_stop_crosses_end", "It means nothing any more.",
         (call(1, "rows", 1), frame(21, 1), frame(12, 1))),
    Case("stream_item_larger_than_window", "One frame may use more bytes than are left.",
         (graph_call(1, "length", STREAM), frame(17, 1, ["x" * 70_000]), frame(20, 1)),),
    Case("stream_in_a_refused_call", "The server stops a stream that nobody reads.",
         (graph_call(1, "nosuch", STREAM),), "call: twisted.spread.flavors.NoSuchMethod: no remote"
         " method 'nosuch'"),
]  # fmt: skip

ONCE = [
    Case("once_first", "The call runs, and its reply is kept.", (once_call(1, 1, "echo", "a"),)),
    Case("once_again_running", "The second call waits for the end of the first.",
         (once_call(1, 1, "wait", "a"), once_call(2, 1, "wait", "a"), call(3, "release", "a"))),
    Case("once_again_done", "The second call runs nothing, and gets the reply of the first.",
         (once_call(1, 1, "keep", 1), call(2, "keep", 2), once_call(3, 1, "keep", 1),
          call(4, "kept"))),
    Case("once_again_failed", "It gets the error of the first.",
         (once_call(1, 1, "fail", "registered"), once_call(2, 1, "fail", "registered"))),
    Case("once_acknowledged", "The client has the outcome of call 1; it could not ask again.",
         (once_call(1, 1, "echo", "a"), once_call(2, 2, "echo", "b", settled=1))),
    Case("once_other_method", "A key is for one call.",
         (once_call(1, 1, "echo", "a"), once_call(2, 1, "keep", "a")),
         "call: broker.errors.WrongArguments: this key was used for another call"),
    Case("once_malformed", "The call does not run.",
         (frame(1, 1, "root", "echo", ["a"], {}, None, {"once": "1.0"}),),
         "call: broker.errors.WrongArguments: the key of once is malformed"),
    Case("once_result_lost", "The reply has a reference, which means nothing elsewhere.",
         (once_call(1, 1, "thing"), once_call(2, 1, "thing")),
         "call: broker.errors.ResultLost: the call has run; its result cannot be repeated"),
    Case("once_acknowledged_again", "The client has said that it has the outcome.",
         (once_call(1, 1, "echo", "a"), once_call(2, 2, "echo", "b", settled=1),
          once_call(3, 1, "echo", "a")),
         "call: broker.errors.ResultLost: the call has run; its result cannot be repeated"),
]  # fmt: skip

CASES = [
    *OPENING, *CALLS, *ANSWERS, *GRAPHS, *ERRORS, *REFERENCES, *CACHES, *LIFE, *LOGIN, *STREAMS,
    *ONCE,
]  # fmt: skip
"""All of them, in the order of the file."""
