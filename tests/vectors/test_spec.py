"""The wire specification against the vectors that it cites, and the vectors against it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
WIRE = HERE.parents[1] / "docs" / "reference" / "wire"
PAGES = ("banana", "jelly", "messages", "login", "msgpack")


def cases(file: str) -> list[Any]:
    """The vectors of a file."""
    return json.loads((HERE / f"{file}.json").read_text("utf-8"))


RECORDED = ("banana", "banana_decoder", "jelly", "jelly_errors", "messages", "login", "msgpack")
NAMES = {case["name"] for file in RECORDED for case in cases(file)}


@pytest.mark.parametrize("page", PAGES)
def test_each_vector_that_a_page_names_is_there(page: str) -> None:
    """What stands in italics names vectors, each of which has been recorded."""
    text = (WIRE / f"{page}.md").read_text("utf-8")
    prose = re.sub(r"```.*?```|\*\*.+?\*\*", "", text, flags=re.DOTALL)
    cited = set()
    for span in re.findall(r"(?<!\w)\*\(?([^*]+?)\)?\*", prose):
        cited |= {part.split()[0].rstrip(":") for part in re.split("[,;]", span)}
    assert len(cited) > 5
    assert cited - NAMES == set()


def test_each_message_and_its_fields_are_specified() -> None:
    """Every command that was recorded is a row of the table, with as many fields."""
    text = (WIRE / "messages.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, flags=re.MULTILINE)
    fields = {name: listed.count(",") + 1 for name, listed in rows}
    seen = {}
    for scenario in cases("messages"):
        for message in scenario["messages"]:
            expression = message.get("expression")
            if isinstance(expression, list) and expression[0] not in ("pb", "none", "nonsense"):
                seen[expression[0]] = len(expression) - 1
    assert seen == {name: fields.get(name) for name in seen}
    assert (
        set(fields)
        >= set(seen)
        == {
            *("version", "message", "cachemessage", "answer", "error"),
            *("decref", "decache", "uncache", "didNotUnderstand"),
        }
    )


def test_the_response_to_a_challenge() -> None:
    """The response of the vectors is what login.md says it is."""
    (scenario,) = (case for case in cases("messages") if case["name"] == "login_password")
    messages = [entry["expression"] for entry in scenario["messages"] if "expression" in entry]
    (offer,) = (m for m in messages if m[:2] == ["answer", 1])
    (reply,) = (m for m in messages if m[3:4] == ["respond"])
    challenge = bytes.fromhex(offer[2][1]["bytes"])
    response = hashlib.md5(hashlib.md5(b"secret").digest() + challenge).hexdigest()
    assert reply[5][1] == {"bytes": response}
    assert response in (WIRE / "login.md").read_text("utf-8")


def rendered(notation: Any) -> str:
    """An expression as the pages write it."""
    if isinstance(notation, list):
        return f"[{' '.join(map(rendered, notation))}]"
    return str(notation)


@pytest.mark.parametrize("name", ["certificate", "scram_plus", "token", "password", "mechanisms"])
def test_conversations_of_logins(name: str) -> None:
    """What login.md shows of a login that PB has not is what was recorded."""
    text = (WIRE / "login.md").read_text("utf-8")
    blocks = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    (shown,) = (" ".join(block.split()) for block in blocks if f"({name})" in block)
    (scenario,) = (case for case in cases("login") if case["name"] == name)
    said = [f"{entry['from']} {rendered(entry['expression'])}" for entry in scenario["messages"]]
    assert shown == " ".join([*said, f"({name})"])


@pytest.mark.parametrize("name", ["certificate", "no_way_in"])
def test_offers_of_logins(name: str) -> None:
    """The offers that login.md shows are those that were recorded, and so are the bytes of one."""
    text = (WIRE / "login.md").read_text("utf-8")
    (scenario,) = (case for case in cases("login") if case["name"] == name)
    *dialects, logins = scenario["offer"]
    assert f'server  [{" ".join(dialects)} "{logins}"]' in text
    if name == "no_way_in":
        assert bytes.fromhex(scenario["hex"]).hex(" ") in text
