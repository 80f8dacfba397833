"""How the vector files write expressions down: JSON that loses nothing.

========================  ==========================================
JSON                      expression
========================  ==========================================
number                    int
string                    bytes, all printable ASCII
{"bytes": hex}            bytes
{"int": decimal}          int beyond ±(2**53 - 1)
{"float": float.hex()}    float (also "inf", "-inf", "nan")
array                     list
{"repeat": x, "times": n} bytes x repeated, or n times the element x
{"str": text}             str: what jelly gives and banana refuses
{"tuple": array}          tuple: what banana writes as a list
{"map": pairs}            map of msgpack: pairs of a key and a value
true, false, null         bool, None
========================  ==========================================
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.folders import TESTS

FOLDER = TESTS / "vectors"
SAFE_INTEGER = 2**53 - 1
LONG = 400


def load(name: str) -> Any:
    """The content of ``<name>.json``, as JSON."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def dump(value: Any, path: Path) -> None:
    """Write a vector file: one case per line of its top level, stable and readable in a diff."""
    assert isinstance(value, list)
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in value)
    path.write_text(f"[\n{lines}\n]\n", "utf-8")


def to_json(expression: Any) -> Any:
    """The notation of an expression."""
    match expression:
        case None | bool():
            return expression
        case int():
            if abs(expression) <= SAFE_INTEGER:
                return expression
            return {"int": str(expression)}
        case float():
            return {"float": expression.hex()}
        case bytes():
            return _bytes_to_json(expression)
        case str():
            return {"str": expression}
        case tuple():
            return {"tuple": [to_json(item) for item in expression]}
        case list():
            if len(expression) > LONG and all(item == expression[0] for item in expression):
                return {"repeat": to_json(expression[0]), "times": len(expression), "list": True}
            return [to_json(item) for item in expression]
        case dict():
            return {"map": [[to_json(key), to_json(value)] for key, value in expression.items()]}
    raise TypeError(f"no notation for {type(expression)}")


def _bytes_to_json(value: bytes) -> Any:
    if len(value) > LONG and value == value[:1] * len(value):
        return {"repeat": value[:1].hex(), "times": len(value)}
    if all(0x20 <= byte < 0x7F for byte in value):
        return value.decode("ascii")
    return {"bytes": value.hex()}


def from_json(notation: Any) -> Any:
    """The expression that a notation stands for."""
    match notation:
        case str():
            return notation.encode("ascii")
        case list():
            return [from_json(item) for item in notation]
        case {"repeat": item, "times": times, "list": True}:
            return [from_json(item)] * times
        case {"repeat": item, "times": times}:
            return bytes.fromhex(item) * times
        case {"bytes": digits}:
            return bytes.fromhex(digits)
        case {"int": digits}:
            return int(digits)
        case {"float": digits}:
            return float.fromhex(digits)
        case {"str": text}:
            return text
        case {"tuple": items}:
            return tuple(from_json(item) for item in items)
        case {"map": pairs}:
            return {from_json(key): from_json(value) for key, value in pairs}
    return notation
