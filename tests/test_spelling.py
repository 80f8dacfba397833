"""Words are spelled right, and the pages of the documentation are easy to read.

codespell knows the spelling. The Coleman-Liau index of textstat is the reading level: the years at
a school of the United States after which a text is understood. It is made of the lengths of words
and sentences.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import textstat
from website.pages import FENCE

ROOT = Path(__file__).parents[1]
READ = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs", "broker", "cred")
READ += ("jelly", "examples", "tests/helpers")
LEFT_OUT = "*.json,*.jsonl,*.js,*.css,*.svg,*.png,*.so,*.bin,*/node_modules/*,*/__pycache__/*"
"""What is built, or data."""
HARDEST = 11.0
"""The reading level of a page, at most."""
FEWEST_WORDS = 100
"""A shorter page has no reading level."""


def misspelled(*paths: Path) -> str:
    """Return what codespell says of files and folders."""
    command = [sys.executable, "-m", "codespell_lib", "--skip", LEFT_OUT, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def prose(text: str) -> str:
    """Return the sentences of a page, without code, tables and headings."""
    text = re.sub(r"(?s)<!--.*?-->", "", FENCE.sub("", text))
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#", "!", "    "))]
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", "\n".join(lines))
    return re.sub(r"`[^`]*`", "it", text)


def level(text: str) -> float:
    """Return the reading level of a page; 0 if it has few words."""
    sentences = prose(text)
    if len(sentences.split()) < FEWEST_WORDS:
        return 0.0
    found: float = textstat.coleman_liau_index(sentences)
    return found


def test_words() -> None:
    """No word of the pages and of the code is misspelled."""
    assert misspelled(*(ROOT / name for name in READ)) == ""


def test_a_misspelled_word_is_found(tmp_path: Path) -> None:
    """A wrong word is told with its line."""
    page = tmp_path / "page.md"
    page.write_text("A client may recieve calls.\n", "utf-8")
    assert misspelled(page) == f"{page}:1: recieve ==> receive\n"


def test_the_pages_are_easy_to_read() -> None:
    """No page needs a higher reading level than that of a school."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    levels = {str(page.relative_to(ROOT)): level(page.read_text("utf-8")) for page in pages}
    assert {page: found for page, found in levels.items() if found > HARDEST} == {}
    assert sum(found > 0 for found in levels.values()) > 50


def test_a_hard_page_is_found() -> None:
    """Long words in long sentences have a higher level."""
    hard = "Notwithstanding aforementioned considerations, implementations necessarily anticipate "
    assert level((hard + "circumstances. ") * 20) > HARDEST
    assert level("The cat sat on the mat. " * 40) < 5
