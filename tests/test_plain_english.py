"""The project is written in plain English: subject, verb, object, and the terms of the field.

Reads docstrings, comments, the texts of errors and the pages of the documentation. A word or a
pattern that readers had to read twice is banned, with what to write in its place.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from website.pages import FENCE

ROOT = Path(__file__).parents[1]
FINISHED = ["broker", "cred", "jelly"]
"""The packages that are read. Those of tests come when they are rewritten."""
PAGES = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "docs"]
MOST_WORDS = 40
"""Of a sentence."""

BANNED = {
    r"(?<![Tt]here )\b(?:is|are|was|were) no [a-z]": "write 'is not a'",
    r"\b(?:is|are) none\b": "write 'is not'",
    r"\bof the [a-z]+'s\b": "write 'the peer's calls'",
    r"\bof ours\b": "write 'our calls', or name the side",
    r"\b[Ww]hoever\b": "name the actor",
    r"(?:^|[.:;] )What [a-z]+(?: [a-z]+)* (?:is|are|was|goes|comes|has|does)\b(?!.*\?)": (
        "begin with a noun"
    ),
    r"\b(?:[Nn]obody|[Ss]omebody|[Ee]verybody)\b": "name the actor",
    r"\b[Rr]oom above\b": "write 'host'",
    r"\b(?:lest|whence|thereby)\b": "write 'so that … not', 'from where', 'so'",
    r"\bfor ever\b": "write 'for an unlimited time', or name the limit",
}
"""Patterns, and what to write in place of each."""

ALLOWED: dict[str, str] = {}
"""Sentences that may stand, each with its reason."""


class Text(NamedTuple):
    """A piece of English: where it stands, and what it says."""

    place: str
    text: str


def texts_of(path: Path) -> Iterator[Text]:
    """The docstrings, comments and raised texts of a module."""
    source = path.read_text("utf-8")
    name = str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node)
            line = 1 if isinstance(node, ast.Module) else node.lineno
            if doc:
                yield from (Text(f"{name}:{line}", part) for part in paragraphs(doc))
        elif isinstance(node, ast.Raise) and node.exc is not None:
            for part in ast.walk(node.exc):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield Text(f"{name}:{part.lineno}", part.value)
    yield from comments(name, source)


def comments(name: str, source: str) -> Iterator[Text]:
    """The comments of a module; lines that follow each other are one."""
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        text = token.string.lstrip("#: ")
        if block and token.start[0] == last + 1:
            block.append(text)
        else:
            if block:
                yield Text(f"{name}:{first}", " ".join(block))
            block, first = [text], token.start[0]
        last = token.start[0]
    if block:
        yield Text(f"{name}:{first}", " ".join(block))


def page_texts(path: Path) -> Iterator[Text]:
    """The paragraphs of a page, without its code."""
    text = FENCE.sub("", path.read_text("utf-8"))
    name = str(path.relative_to(ROOT))
    yield from (Text(name, part) for part in paragraphs(text))


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a text, each in one line; an item of a list is one."""
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.) )|\n(?=\s+\w[\w, *]*: )", text):
        yield re.sub(r"\s+", " ", re.sub(r"`[^`]*`", "x", block)).strip()


def sources() -> list[Path]:
    """The modules that are read."""
    return sorted(path for folder in FINISHED for path in (ROOT / folder).rglob("*.py"))


def pages() -> list[Path]:
    """The pages that are read."""
    found = [ROOT / name for name in PAGES]
    return sorted(
        page for path in found for page in (path.rglob("*.md") if path.is_dir() else [path])
    )


def faults(text: Text) -> Iterator[str]:
    """What is not plain in a text."""
    if text.text in ALLOWED:
        return
    for pattern, advice in BANNED.items():
        match = re.search(pattern, text.text)
        if match:
            yield f"{text.place}: {match.group()!r}: {advice}: {text.text[:160]}"
    for sentence in re.split(r"(?<=[.!?:;])\s", text.text):
        words = len(sentence.split())
        if words > MOST_WORDS and "|" not in sentence:
            yield f"{text.place}: a sentence of {words} words: {sentence[:160]}"


@pytest.mark.parametrize("package", FINISHED)
def test_modules(package: str) -> None:
    """Docstrings, comments and errors say things once, in plain words."""
    found = [
        fault
        for path in sources()
        if path.relative_to(ROOT).parts[0] == package
        for text in texts_of(path)
        for fault in faults(text)
    ]
    assert found == []


def test_pages() -> None:
    """So do the pages of the documentation."""
    found = [fault for page in pages() for text in page_texts(page) for fault in faults(text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["It is no list.", "Whoever calls it.", "The calls of the peer's.", "word " * 41 + "end."],
)
def test_a_fault_is_found(text: str) -> None:
    """The check sees what it is for."""
    assert list(faults(Text("here", text)))
