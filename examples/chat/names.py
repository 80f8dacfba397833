"""The rules for what people type: names, passwords, texts; the same for all front ends."""

from __future__ import annotations

import re
import sys
import unicodedata

from examples.chat.errors import BadName, ChatError, TooMany

__all__ = [
    "LONGEST_BANNER",
    "LONGEST_TEXT",
    "LONGEST_TOPIC",
    "MOST_BANNER_LINES",
    "PASSWORD_LENGTHS",
    "PERSON",
    "ROOM",
    "check_banner",
    "check_password",
    "check_person",
    "check_room",
    "check_text",
]

PERSON = re.compile(r"[A-Za-z0-9_-]{1,32}")
ROOM = re.compile(r"#[a-z0-9_-]{1,50}")
LONGEST_TEXT = 500
LONGEST_TOPIC = 300
LONGEST_BANNER = 2_000
MOST_BANNER_LINES = 20
PASSWORD_LENGTHS = range(8, 1025)

# Control characters end lines, or control a terminal. Separators of lines and paragraphs, marks
# that reverse the direction of writing, and lone surrogates, which have no UTF-8, go with them.
_UNSAFE = dict.fromkeys(
    [
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp")
        or 0x202A <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
    ],
    " ",
)


def check_person(name: str) -> str:
    """Return the name of a person; BadName if it cannot be one, also at sign-up."""
    if not isinstance(name, str) or not PERSON.fullmatch(name):
        raise BadName("a name here is up to 32 letters, digits, _ or -")
    return name


def check_room(name: str) -> str:
    """Return the name of a room; BadName if it cannot be one."""
    if not isinstance(name, str) or not ROOM.fullmatch(name):
        raise BadName("a room is # and up to 50 small letters, digits, _ or -")
    return name


def check_password(password: str) -> str:
    """Return the password for a new user; ChatError if it is too short or too long."""
    if not isinstance(password, str) or len(password) not in PASSWORD_LENGTHS:
        raise ChatError("a password is 8 to 1024 characters")
    return password


def check_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text on one line, without control characters; TooMany if it is too long."""
    if not isinstance(text, str):
        raise ChatError("a text is a string")
    if len(text) > longest:
        raise TooMany(f"a text here is at most {longest} characters")
    return text.translate(_UNSAFE).strip()


def check_banner(text: str) -> str:
    """Return a banner, whose lines end with a line feed; TooMany if it is too long."""
    if not isinstance(text, str):
        raise ChatError("a banner is a string")
    # A browser sends CR LF, each of which would count.
    text = text.replace("\r\n", "\n").strip("\n")
    if len(text) > LONGEST_BANNER:
        raise TooMany(f"a banner is at most {LONGEST_BANNER} characters")
    lines = text.splitlines()
    if len(lines) > MOST_BANNER_LINES:
        raise TooMany(f"a banner is at most {MOST_BANNER_LINES} lines")
    return "\n".join(line.translate(_UNSAFE).rstrip() for line in lines)
