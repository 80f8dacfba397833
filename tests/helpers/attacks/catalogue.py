"""Attacks of a few bytes: the bytes sent after the handshake, and the exact text of the refusal.

Each names its row in the catalogue. ``dies`` is what the attack may end: the connection, or that
call. The tests send each attack in every dialect that can express it, under both policies, before
and after a login, to a victim in memory and to a server on a socket. ``make attacks`` also sends
them to a Twisted server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from attacks.attacker import BOTH, NOTHING, POLICIES, Speaker

__all__ = ["ATTACKS", "BAD", "Attack"]

PRIME = (1 << 61) - 1
"""Python's hash of an int is the int modulo this."""

MILLION = 1_000_000

EXPANDED = "LimitExceeded: graph expands to more than 1000000 nodes (max_expanded)"
"""The error of the strict policy for a graph that is too large as a tree."""


class Attack(NamedTuple):
    """One attack.

    Attributes:
        row: in the catalogue.
        name: a description.
        make: returns the bytes, in a Speaker's dialect.
        text: the log's text after the peer's address; with a class in front if a call dies.
        dies: ``"connection"`` or ``"call"``.
        dialects, policies: where it applies.
        seconds: the most processor time that it may take.
    """

    row: str
    name: str
    make: Callable[[Speaker], bytes]
    text: str
    dies: str = "call"
    dialects: tuple[str, ...] = BOTH
    policies: tuple[str, ...] = tuple(POLICIES)
    seconds: float = 0.1

    def __str__(self) -> str:
        return f"{self.row} {self.name}"


def digits(number: int) -> bytes:
    """A number as a banana prefix."""
    found = bytearray()
    while number:
        found.append(number & 0x7F)
        number >>= 7
    return bytes(found)


def a_list(length: int) -> bytes:
    """The head of a banana list."""
    return digits(length) + b"\x80"


def a_string(length: int) -> bytes:
    """The head of a banana string."""
    return digits(length) + b"\x82"


def frame_of(*fields: Any) -> Callable[[Speaker], bytes]:
    """A frame with these fields, which may be of any type."""
    data = a_frame(msgspec.msgpack.encode(fields))
    return lambda speaker: data


def call_with(meta: Any) -> tuple[Any, ...]:
    """The fields of a call with metadata."""
    return (1, 9, "root", "echo", [], {}, None, meta)


def a_frame(body: bytes) -> bytes:
    """A frame of msgpack/1."""
    return len(body).to_bytes(4, "big") + body


def bomb(levels: int) -> Any:
    """Tuples that share their parts: two to the power of ``levels`` as a tree, flat on the wire."""
    parts: list[Any] = [[b"reference", 1, [b"tuple", 0, 0]]]
    for level in range(2, levels + 1):
        again = [b"dereference", level - 1]
        parts.append([b"reference", level, [b"tuple", again, again]])
    return [b"tuple", *parts]


def shared(levels: int, kind: bytes = b"tuple") -> Any:
    """A value whose two parts are the same, and so on: two to the power of ``levels`` leaves."""
    value: Any = 0
    for level in range(1, levels + 1):
        if type(value) is int:
            value = [kind, value, value]
        else:
            value = [kind, [b"reference", level, value], [b"dereference", level]]
    return value


def bomb_as_key(levels: int, kind: bytes = b"dictionary") -> Any:
    """A bomb whose last level is a dict key or a set member."""
    last: Any = [b"dereference", levels]
    return [b"list", bomb(levels), [kind, [last, 1] if kind == b"dictionary" else last]]


def dictionary(*keys: Any) -> Any:
    """A dict with these keys."""
    return [b"dictionary", *([key, 0] for key in keys)]


def nested(depth: int) -> Any:
    """Lists inside each other."""
    value: Any = [b"list"]
    for _ in range(depth):
        value = [b"list", value]
    return value


def references(count: int) -> Any:
    """This many objects of the attacker."""
    return [b"list", *([b"remote", number] for number in range(1, count + 1))]


def tuples_with_one_hash(count: int) -> list[Any]:
    """Different pairs of ints of 61 bits, all with one hash.

    CPython's hash of a pair is a chain of steps that can be reversed from any value.
    """
    p1, p2, p5 = 11400714785074694791, 14029467366897019727, 2870177450012600261
    mask = (1 << 64) - 1

    def rotated(value: int) -> int:
        return (value << 31 | value >> 33) & mask

    inverse_1, inverse_2 = pow(p1, -1, 1 << 64), pow(p2, -1, 1 << 64)
    aim = 1234567
    pairs = []
    first = 0
    while len(pairs) < count:
        first += 1
        state = rotated((p5 + first * p2) & mask) * p1 & mask
        before = aim * inverse_1 & mask
        before = (before >> 31 | before << 33) & mask
        second = (before - state) * inverse_2 & mask
        if second < PRIME:
            pairs.append([b"tuple", first, second])
    assert len({hash((one, two)) for _, one, two in pairs}) == 1
    return pairs


def argument(expression: Callable[[], Any]) -> Callable[[Speaker], bytes]:
    """A call with one argument."""
    return lambda speaker: speaker.call(expression())


def raw(data: bytes) -> Callable[[Speaker], bytes]:
    """These bytes."""
    return lambda speaker: data


PB = ("pb",)
FRAMES = ("msgpack/1",)
BAD = "malformed message"
"""The text of a frame that does not fit its types, without the words of the decoder."""

ATTACKS = [
    # A1: an integer that does not end; a frame that is announced.
    Attack("A1", "65 digits of a prefix", raw(b"\x01" * 65),
           "integer prefix longer than 64 bytes", "connection", PB),
    Attack("A1", "a megabyte of digits", raw(b"\x01" * MILLION),
           "integer prefix longer than 64 bytes", "connection", PB),
    Attack("A1", "a frame of 4 GiB", raw(b"\xff\xff\xff\xff"),
           "expression larger than 16777216 bytes (max_expression)", "connection", FRAMES),
    Attack("A2", "a million lists in each other", raw(b"\x01\x80" * MILLION),
           "nesting deeper than 100 (max_depth)", "connection", PB, seconds=0.01),
    Attack("A2", "lists one deeper than the limit", argument(lambda: nested(98)),
           "nesting deeper than 100 (max_depth)", "connection", PB),
    Attack("A3", "a list of 700,000", raw(a_list(700_000)),
           "list of 700000 elements (max_list 655360)", "connection", PB),
    Attack("A3", "two lists of 600,000", raw(a_list(600_000) * 2),
           "expression of more than 1000000 nodes (max_nodes)", "connection", PB),
    Attack("A4", "a string of 700,000 bytes", raw(a_string(700_000)),
           "string of 700000 bytes (max_string 655360)", "connection", PB),
    Attack("A5", "a word that is not in the vocabulary", raw(b"\x63\x87"),
           "unknown vocabulary id 99", "connection", PB),
    Attack("A6", "an unknown type byte", raw(b"\x90"),
           "unknown type byte 0x90", "connection", PB),
    Attack("A7", "an empty list", raw(b"\x80"),
           "malformed message: expected a list that starts with a command", "connection", PB),
    Attack("A7", "an int", raw(b"\x05\x81"),
           "malformed message: expected a list that starts with a command", "connection", PB),
    Attack("A7", "a call of two fields", lambda speaker: speaker.message(b"message", 1),
           "malformed message: expected message(id, object, name, answer, args, kwargs)",
           "connection", PB),
    Attack("A7", "a call whose id is no int",
           lambda speaker: speaker.message(b"message", b"1", b"root", b"echo", 1, [], []),
           "malformed message: expected message(id, object, name, answer, args, kwargs)",
           "connection", PB),
    Attack("A7", "arguments that are no tuple",
           lambda speaker: speaker.message(b"message", 1, b"root", b"echo", 1, b"a", NOTHING),
           "WrongArguments: arguments are a tuple, and keywords a dict of str"),
    Attack("A10", "a hash bomb of 14 levels as a key", argument(lambda: bomb_as_key(14)),
           "LimitExceeded: key expands to more than 10000 nodes (max_key_nodes)", seconds=0.01),
    Attack("A10", "a hash bomb of 60 levels as a key", argument(lambda: bomb_as_key(60)),
           EXPANDED, policies=("strict",), seconds=0.01),
    Attack("A10", "a hash bomb of 60 levels as a key", argument(lambda: bomb_as_key(60)),
           EXPANDED.replace("1000000", "10000000"), policies=("published",), seconds=0.01),
    Attack("A10", "a hash bomb of 14 levels as a member of a set",
           argument(lambda: bomb_as_key(14, b"set")),
           "LimitExceeded: key expands to more than 10000 nodes (max_key_nodes)", seconds=0.01),
    Attack("A10", "a hash bomb of 60 levels as a member of a set",
           argument(lambda: bomb_as_key(60, b"set")),
           EXPANDED, policies=("strict",), seconds=0.01),
    Attack("A10", "a hash bomb of 60 levels as a member of a set",
           argument(lambda: bomb_as_key(60, b"set")),
           EXPANDED.replace("1000000", "10000000"), policies=("published",), seconds=0.01),
    Attack("A10", "a hash bomb of 14 levels in a frozenset",
           argument(lambda: bomb_as_key(14, b"frozenset")),
           "LimitExceeded: key expands to more than 10000 nodes (max_key_nodes)", seconds=0.01),
    Attack("A10", "a hash bomb of 60 levels in a frozenset",
           argument(lambda: bomb_as_key(60, b"frozenset")),
           EXPANDED, policies=("strict",), seconds=0.01),
    Attack("A10", "a hash bomb of 60 levels in a frozenset",
           argument(lambda: bomb_as_key(60, b"frozenset")),
           EXPANDED.replace("1000000", "10000000"), policies=("published",), seconds=0.01),
    Attack("A11", "10,000 ints with one hash",
           argument(lambda: dictionary(*(k * PRIME for k in range(1, 10_001)))),
           "InsecureJelly: int key wider than 64 bits"),
    Attack("A11", "a Decimal as a key", argument(lambda: dictionary([b"decimal", 1, 0])),
           "InsecureJelly: Decimal as a key"),
    Attack("A11", "1,000 pairs with one hash",
           argument(lambda: dictionary(*tuples_with_one_hash(1_000))),
           "InsecureJelly: more than 16 keys with the same hash"),
    Attack("A12", "a repr bomb of 15 levels to a method that takes two",
           lambda speaker: speaker.call(bomb(15), name=b"pair"),
           "WrongArguments: pair: missing 1 required positional argument: 'second'"),
    Attack("A13", "a Decimal of a trillion digits",
           argument(lambda: [b"decimal", 1, 999_999_999_999]),
           "LimitExceeded: decimal exponent out of range (max_decimal_exponent)"),
    Attack("A13", "a Decimal of many digits far behind the point",
           argument(lambda: [b"decimal", 10**134 - 1, -7_000]),
           "LimitExceeded: decimal exponent out of range (max_decimal_exponent)"),
    Attack("A13", "a key that is not a number", argument(lambda: dictionary(float("nan"))),
           "MalformedJelly: dict key that is not a number"),
    Attack("A14", "10,001 references", argument(lambda: references(10_001)),
           "LimitExceeded: more than 10000 live references (max_refs)",
           policies=("strict",), seconds=0.2),
    Attack("A14", "1,025 references", argument(lambda: references(1_025)),
           "LimitExceeded: more than 1024 live references (max_refs)", policies=("published",)),
    Attack("A15", "a reference to nothing", argument(lambda: [b"dereference", 77]),
           "MalformedJelly: reference 77 was never defined"),
    Attack("A15", "a tuple that holds itself",
           argument(lambda: [b"reference", 1, [b"tuple", [b"dereference", 1]]]),
           "MalformedJelly: tuple contains itself"),
    Attack("A15", "one reference defined twice",
           argument(lambda: [b"list", [b"reference", 1, [b"list"]], [b"reference", 1, [b"list"]]]),
           "MalformedJelly: reference 1 defined twice"),
    Attack("A15", "a list as a key", argument(lambda: dictionary([b"list"])),
           "MalformedJelly: dict key of type list"),
    Attack("A15", "a key that holds itself",
           argument(lambda: [b"reference", 1, dictionary([b"tuple", [b"dereference", 1]])]),
           "MalformedJelly: dict key that cannot be hashed"),
    # B: objects and calls.
    Attack("B1", "an object that was never given",
           lambda speaker: speaker.call(target=12345),
           "NoSuchObject: object 12345 is not exported to this connection"),
    Attack("B1", "an argument that was never given", argument(lambda: [b"local", 12345]),
           "NoSuchObject: object 12345 is not exported to this connection"),
    Attack("B1", "a name that is not published, as an argument",
           argument(lambda: [b"local", b"admin"]),
           "NoSuchObject: object 'admin' is not exported to this connection"),
    Attack("B1", "an object of ours by a float", argument(lambda: [b"local", 1.5]),
           "MalformedJelly: local whose id is not an int"),
    Attack("B1", "a cache that was never given",
           lambda speaker: speaker.message(b"cachemessage", 1, 5, b"x", 1, [b"tuple"], NOTHING),
           "NoSuchObject: cache 5 is not held"),
    Attack("B1", "a cache of ours that was never given", argument(lambda: [b"lcache", 5]),
           "NoSuchObject: cache 5 is not published to this connection"),
    Attack("B2", "a decref of nothing",
           lambda speaker: speaker.message(*one("decref", 99, speaker)),
           "decref of object 99 by 1 (held 0)", "connection"),
    Attack("B2", "a decref of the root", lambda speaker: speaker.message(b"decref", b"root"),
           "decref of object 'root' by 1 (held 0)", "connection", PB),
    Attack("B2", "a decache of nothing",
           lambda speaker: speaker.message(*one("decache", 99, speaker)),
           "decache of cache 99 by 1 (held 0)", "connection"),
    Attack("B2", "an uncache of nothing", lambda speaker: speaker.message(b"uncache", 99),
           "uncache of cache 99 that is not held", "connection"),
    Attack("B3", "an answer to nothing", lambda speaker: speaker.message(b"answer", 12345, 1),
           "answer to unknown request 12345", "connection"),
    Attack("B3", "an error to nothing", lambda speaker: speaker.message(b"error", 12345, b""),
           "answer to unknown request 12345", "connection"),
    *(
        Attack("B19", name, frame_of(*fields), text, "connection", FRAMES)
        for name, fields, text in (
            ("33 terms", (0, 6, {f"t{n}": n for n in range(33)}), "malformed message"),
            ("a second version", (0, 6), "a second version"),
            ("a term below zero", (0, 6, {"frame": -1}), "malformed message"),
            ("nine entries of metadata", call_with({f"x-{n}": "" for n in range(9)}), BAD),
            ("a key of 65 characters", call_with({"x" * 65: ""}), BAD),
            ("a key in capitals", call_with({"X-A": ""}), BAD),
            ("a value of 513 characters", call_with({"x-a": "v" * 513}), BAD),
            ("metadata that is a number", call_with({"x-a": 5}), BAD),
            ("a promise of nothing", (1, 9, [], "echo", [], {}), BAD),
            ("a promise of three", (1, 9, [1, 2, 3], "echo", [], {}), BAD),
            ("a promise of a name", (1, 9, ["root"], "echo", [], {}), BAD),
            ("a one-way call on a promise", (2, 9, [1], "echo", [], {}), BAD),
            ("a call to a promised cache", (3, 9, [1], "echo", [], {}), BAD),
            ("a promise of its own", (1, 1 << 40, [1 << 41], "echo", [], {}),
             f"promise of request {1 << 41}, which has not been made"),
            ("a credit of 2**31 - 1", (16, 7, 2**31 - 1, 1), "stream 7 is not open"),
            ("a credit of nothing", (16, 7, 0, 0), BAD),
            ("items of no stream", (17, 7, [[1] * 100] * 100), "stream 7 is not open"),
            ("an item graph of no stream", (18, 7, [b"list", 1]), "stream 7 is not open"),
            ("a piece of no stream", (19, 7, b"x" * 65_536), "stream 7 is not open"),
            ("the end of no stream", (20, 7), "stream 7 is not open"),
            ("a stop of no stream", (21, 7), "stream 7 is not open"),
            ("a call that comes home", (22, 7), "request 7 did not come home"),
            ("nine addresses", (15, 0, ["pb://a:1"] * 9), BAD),
            ("an unknown row", (23, 7), BAD),
        )
    ),
    Attack("B5", "a method that is not there",
           lambda speaker: speaker.call(name=b"frobnicate"),
           "NoSuchMethod: no remote method 'frobnicate'"),
    Attack("B5", "a private one", lambda speaker: speaker.call(name=b"__class__"),
           "NoSuchMethod: no remote method '__class__'"),
    Attack("B9", "a module", argument(lambda: [b"module", b"os.path"]),
           "InsecureJelly: type 'module' is not registered"),
    Attack("B9", "a class", argument(lambda: [b"class", b"os._wrap_close"]),
           "InsecureJelly: type 'class' is not registered"),
    Attack("B9", "a function", argument(lambda: [b"function", b"os.system"]),
           "InsecureJelly: type 'function' is not registered"),
    Attack("B9", "a method",
           argument(lambda: [b"method", b"system", [b"None"], [b"class", b"os._wrap_close"]]),
           "InsecureJelly: type 'method' is not registered"),
    Attack("B9", "an instance", argument(lambda: [b"instance", [b"class", b"os.x"], NOTHING]),
           "InsecureJelly: type 'instance' is not registered"),
    Attack("B9", "a name in a module", argument(lambda: [b"this.is.not.there", NOTHING]),
           "InsecureJelly: type 'this.is.not.there' is not registered; register a class under that"
           " name: @broker.register(\"this.is.not.there\"); see 'Send your own objects'"),
]  # fmt: skip


def one(command: str, number: int, speaker: Speaker) -> tuple[Any, ...]:
    """Release one reference, with a count if the dialect has counts."""
    fields = (command.encode(), number)
    return fields if speaker.name == "pb" else (*fields, 1)
