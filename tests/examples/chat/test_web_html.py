"""The HTML of the chat's web pages: what it shows, and that nothing in it is active."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from cred.users import User
from examples.chat.model import Whereabouts
from examples.chat.web_html import (
    Html,
    People,
    admin_page,
    error_page,
    fill,
    log_in_page,
    sign_up_page,
    talk_page,
    welcome_page,
)

EVIL = """<script>alert(1)</script>"'&{name}<b>"""

USERS = [
    User("root", groups=frozenset({"admins", "staff"})),
    User(EVIL, groups=frozenset({"<i>"})),
    User("gone", is_disabled=True),
]
HERE = [Whereabouts(EVIL, EVIL, 1_700_000_000.0, (EVIL, "#lobby"))]

PAGES = {
    "sign up": sign_up_page(EVIL, EVIL),
    "welcome": welcome_page(EVIL, EVIL),
    "log in": log_in_page(EVIL, EVIL),
    "error": error_page(EVIL),
    "admin": admin_page(EVIL, EVIL, People(HERE, USERS, 2, 3), notice=EVIL),
    "admin's error": admin_page("root", EVIL, People([], USERS, 1, None), error=EVIL),
}


LIVE = {
    "talk": talk_page(),
    "admin": admin_page("root", EVIL, People(HERE, USERS, 2, 3), is_live=True),
}


class Reader(HTMLParser):
    """Notes the elements and attributes of a page, and that each element ends."""

    VOID = ("meta", "link", "input", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Take away an element."""
        assert self.open.pop() == tag


def read(page: str) -> list[tuple[str, dict[str, str | None]]]:
    """Return the elements of a page."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader.found


def test_escaped() -> None:
    """Values with characters of HTML are text in each page, wherever they stand."""
    for name, page in PAGES.items():
        tags = {tag for tag, _ in read(page)}
        assert not tags & {"script", "b", "i", "style"}, name
        assert "&lt;script&gt;" in page, name


def test_scripts() -> None:
    """A live page has one script, which is a file of this site."""
    for name, page in LIVE.items():
        scripts = [attributes for tag, attributes in read(page) if tag == "script"]
        assert scripts == [{"type": "module", "src": f"/{name}.js"}]
        assert "></script>" in page


def test_nothing_inline_and_nothing_external() -> None:
    """No page has a script, a style, a handler or an address of another site in it."""
    for name, page in [*PAGES.items(), *LIVE.items()]:
        for _, attributes in read(page):
            assert not [key for key in attributes if key == "style" or key.startswith("on")], name
            for key in ("href", "src", "action"):
                assert re.match("/(?!/)", attributes.get(key) or "/"), name
        assert "javascript:" not in page


def test_posts() -> None:
    """What changes something is a POST, and passwords are never in an address.

    The forms of scripts too, since a script may not be loaded.
    """
    for page in [*PAGES.values(), *LIVE.values()]:
        assert {at["method"] for tag, at in read(page) if tag == "form"} <= {"post"}


def test_fields_of_passwords() -> None:
    """No page shows a password, nor puts one back into its field."""
    for page in PAGES.values():
        for tag, attributes in read(page):
            if tag == "input" and attributes.get("type") == "password":
                assert "value" not in attributes


def test_fill() -> None:
    """Values are escaped unless they are HTML, and are no templates themselves."""
    text = fill("<p>{a}{b}</p>", a="<{b}>", b=Html("<br>"))
    assert text == "<p>&lt;{b}&gt;<br></p>"
    assert type(text) is Html


def test_people() -> None:
    """The admin's page says who is where, who is an admin, and who is disabled."""
    here = [Whereabouts("alice", "irc", 1_700_000_000.0, ("#lobby", "#tea"))]
    page = admin_page("root", "", People(here, USERS, 1, None))
    assert '<strong><bdi>alice</bdi></strong> <span class="tag">irc</span>' in page
    assert "#lobby, #tea<br>since" in page
    assert '<time datetime="2023-11-14T22:13:20+00:00">14 Nov, 22:13 UTC</time>' in page
    assert '<span class="tag good">admins</span>' in page
    assert '<span class="tag bad">disabled</span>' in page
    assert 'aria-label="Enable gone"' in page
    assert 'aria-label="Disable root"' not in page


def test_pages_of_users() -> None:
    """There are links to the pages of users before and after this one."""
    links = [at["href"] for tag, at in read(PAGES["admin"]) if "page" in (at.get("href") or "")]
    assert links == ["/admin?page=1#users", "/admin?page=3#users"]
    assert "?page=" not in PAGES["admin's error"]


def test_banner_that_begins_with_a_line_feed() -> None:
    """A browser takes one line feed away after <textarea>; there is one before the banner."""
    assert ">\nhello</textarea>" in admin_page("root", "hello", People([], [], 1, None))
