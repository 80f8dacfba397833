"""Record the golden vectors from the installed Twisted: ``python record.py [folder]``."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import banana_cases
from notation import HERE, dump, to_json
from record_jelly import record_jelly, record_jelly_errors
from record_messages import record_messages
from recording import encode, endpoint, error_fields, hex_fields
from twisted import __version__
from twisted.spread import banana


def record_banana() -> list[dict[str, Any]]:
    """The encoder's and the decoder's cases."""
    vectors = []
    for name, expression in banana_cases.encoded():
        for dialect in banana_cases.DIALECTS:
            case = {"name": name, "dialect": dialect, "expression": to_json(expression)}
            try:
                case |= hex_fields(encode(expression, dialect))
            except banana.BananaError as error:
                case["error"] = error_fields(error)
            vectors.append(case)
    return vectors


def record_banana_decoder() -> list[dict[str, Any]]:
    """What Twisted makes of bytes that no encoder writes."""
    vectors = []
    for name, dialect, data in banana_cases.decoded():
        protocol, received = endpoint(dialect), []
        protocol.expressionReceived = received.append
        case: dict[str, Any] = {"name": name, "dialect": dialect, "hex": data.hex()}
        try:
            protocol.dataReceived(data)
        except Exception as error:
            case["error"] = error_fields(error)
        else:
            case["waiting"] = bool(protocol.buffer or protocol.listStack)
        case["expressions"] = to_json(received)
        vectors.append(case)
    return vectors


def main(folder: Path) -> None:
    """Write all files."""
    warnings.simplefilter("ignore")
    about = {"twisted": __version__, "python": "{}.{}".format(*sys.version_info)}
    (folder / "about.json").write_text(json.dumps(about) + "\n", "utf-8")
    dump(record_banana(), folder / "banana.json")
    dump(record_banana_decoder(), folder / "banana_decoder.json")
    dump(record_jelly(), folder / "jelly.json")
    dump(record_jelly_errors(), folder / "jelly_errors.json")
    dump(record_messages(), folder / "messages.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
