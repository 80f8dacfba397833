"""Record jelly.json and jelly_errors.json."""

from __future__ import annotations

from typing import Any

from twisted.spread import jelly

from vectors import graphs, jelly_cases
from vectors.notation import to_json
from vectors.recording import Library, encode, error_fields, jellied, security, unjellied

CLASSES = graphs.make_classes(Library)
NAMES = graphs.namespace(CLASSES)
REGISTERED = (CLASSES.Point, CLASSES.Card, CLASSES.Node)


def register() -> None:
    """Let the classes of the vectors in."""
    for cls in REGISTERED:
        jelly.setUnjellyableForClass(cls, cls)


def record_jelly() -> list[dict[str, Any]]:
    """The values, all of which Twisted takes."""
    register()
    vectors = []
    texts = jelly_cases.SIMPLE | jelly_cases.GRAPHS | jelly_cases.INSTANCES | jelly_cases.CODE
    for name, text in texts.items():
        value, taster = eval(text, NAMES), security("dummy", CLASSES)
        case = {"name": name, "value": text, "security": "dummy"} | jellied(value, taster)
        vectors.append(case | unjellied(jelly.jelly(value, taster), taster, value))
    for name, (text, options) in jelly_cases.MARKED.items():
        value, taster = eval(text, NAMES), security(options, CLASSES)
        case = {"name": name, "value": text, "security": options} | jellied(value, taster)
        vectors.append(case | unjellied(jelly.jelly(value, taster), taster, value))
    return [*vectors, record_persistent()]


def record_persistent() -> dict[str, Any]:
    """A value that a store keeps by its id."""
    value = eval(text := "[make(classes.Plain, x=7), make(classes.Plain, x=8), 5]", NAMES)

    def store(found: Any, _jellier: Any) -> bytes | None:
        return b"seven" if found.x == 7 else None

    def load(identity: bytes, _unjellier: Any) -> Any:
        return value[0] if identity == b"seven" else None

    taster = security("dummy", CLASSES)
    case = {
        "name": "persistent",
        "value": text,
        "security": "dummy",
        "persistent": {"x=7": "seven"},
    }
    case |= jellied(value, taster, persistentStore=store)
    expression = jelly.jelly(value, taster, persistentStore=store)
    return case | unjellied(expression, taster, value, persistentLoad=load)


def record_jelly_errors() -> list[dict[str, Any]]:
    """What may not go out, and what may not come in or comes in oddly."""
    vectors = []
    for name, (text, options) in jelly_cases.REFUSED.items():
        case: dict[str, Any] = {"name": name, "way": "jelly", "value": text, "security": options}
        try:
            encode(jelly.jelly(eval(text, NAMES), security(options, CLASSES)), "pb")
        except Exception as error:
            vectors.append(case | {"error": error_fields(error)})
        else:
            raise AssertionError(f"{name} is taken")
    for name, (expression, options) in jelly_cases.IN.items():
        case = {"name": name, "way": "unjelly", "security": options}
        case |= {"expression": to_json(expression), "hex": encode(expression, "pb").hex()}
        try:
            back = jelly.unjelly(expression, security(options, CLASSES))
        except Exception as error:
            case["error"] = error_fields(error)
        else:
            case["back"] = repr(graphs.portrait(back))
        vectors.append(case)
    return vectors
