"""The HTML of the chat's web pages; every value is escaped in one function, `fill`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

from cred.users import User
from examples.chat.model import ADMINS, Whereabouts
from examples.chat.names import LONGEST_BANNER, PASSWORD_LENGTHS

__all__ = [
    "Html",
    "People",
    "admin_page",
    "error_page",
    "fill",
    "log_in_page",
    "sign_up_page",
    "talk_page",
    "welcome_page",
]


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


class People(NamedTuple):
    """What the admin's page shows of people.

    Attributes:
        here: where everybody is.
        users: some users of the store, in the order of their names.
        page: the number of the page of users.
        after: the number of the next page; None if there is none.
    """

    here: list[Whereabouts]
    users: list[User]
    page: int
    after: int | None


PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>{title} – chat</title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
  {script}
</head>
<body>
  <header>
    <a class="name" href="/"><img src="/icon.svg" alt="" width="28" height="28">chat</a>
    <nav>{nav}</nav>
  </header>
  <main class="{kind}">
    <h1>{title}</h1>
    {body}
  </main>
</body>
</html>
"""

NAV_OUT = Html("""<a href="/">Sign up</a> <a href="/login">For admins</a>""")

SCRIPT = """<script type="module" src="/{name}.js"></script>"""

NAV_IN = """<a href="/admin">Admin</a>
    <form method="post" action="/logout">
      <button class="plain">Log out <bdi>{name}</bdi></button>
    </form>"""

BANNER = """<pre class="banner" dir="auto">{banner}</pre>"""

SIGN_UP = """<p>One name and one password for every way into the chat.</p>
    {said}
    <form method="post" action="/">
      <label>Name
        <input name="name" value="{name}" required maxlength="32" pattern="[A-Za-z0-9_\\-]+"
          autocomplete="username" autocapitalize="none" spellcheck="false"
          title="up to 32 letters, digits, _ or -" aria-describedby="name-rule">
        <small id="name-rule">Up to 32 letters, digits, _ or -</small>
      </label>
      <label>Password
        <input name="password" type="password" required minlength="{least}" maxlength="{most}"
          autocomplete="new-password" aria-describedby="password-rule">
        <small id="password-rule">At least {least} characters</small>
      </label>
      <button>Sign up</button>
    </form>"""

WELCOME = """<p id="ok" class="said" role="status">Welcome, <bdi>{name}</bdi>.</p>
    <p>Log in with this name and your password: with a PB client, with an IRC client by SASL or as
      the password of the server, or by lines of text.</p>
    <p>This is what everybody sees who comes in:</p>
    {banner}
    {talk}"""

TO_TALK = Html("""<p><a href="/talk">Chat in this browser</a></p>""")

LOG_IN = """{said}
    <form method="post" action="/login">
      <label>Name
        <input name="name" value="{name}" required autocomplete="username" autocapitalize="none"
          spellcheck="false">
      </label>
      <label>Password
        <input name="password" type="password" required autocomplete="current-password">
      </label>
      <button>Log in</button>
    </form>"""

ADMIN = """{said}
    <section>
      <h2>Banner</h2>
      <form method="post" action="/admin">
        <label>Everybody sees this at the login, and now
          <textarea name="banner" rows="6" maxlength="{longest}" dir="auto">
{banner}</textarea>
        </label>
        <button>Set the banner</button>
      </form>
    </section>
    <section>
      <h2>Here now <span class="count" id="count">{count}</span></h2>
      <p id="state" class="detail"></p>
      <ul id="people">{here}</ul>
      {person}
    </section>
    <section>
      <h2>Users</h2>
      <ul id="users">{users}</ul>
      {more}
    </section>"""

TALK = """<p id="state" class="said" role="status" hidden></p>
    <form id="door" method="post" action="/talk">
      <label>Name
        <input name="name" required autocomplete="username" autocapitalize="none"
          spellcheck="false">
      </label>
      <label>Password
        <input name="password" type="password" required autocomplete="current-password">
      </label>
      <button>Come in</button>
    </form>
    <section id="room" hidden>
      <h2><span id="topic"></span> <span class="tag" id="names"></span></h2>
      <ol id="lines" aria-live="polite"></ol>
      <form id="say" method="post" action="/talk">
        <label>Say to all
          <input name="text" required maxlength="500" autocomplete="off">
        </label>
        <button>Say</button>
      </form>
    </section>"""

PERSON = """
        <li>
          <div>
            <strong><bdi>{name}</bdi></strong> <span class="tag">{front_end}</span>
            <span class="detail">{rooms}<br>since <time datetime="{exact}">{since}</time></span>
          </div>
          {kick}
        </li>"""

ROW = """<template id="person">{person}</template>"""

USER = """
        <li>
          <div><strong><bdi>{name}</bdi></strong>{tags}</div>
          <div class="acts">{kick}{switch}</div>
        </li>"""

ACT = """
          <form method="post" action="/admin/{action}">
            <input type="hidden" name="name" value="{name}">
            <button class="{kind}" aria-label="{label} {name}">{label}</button>
          </form>"""


def fill(template: str, **values: object) -> Html:
    """Put values into a template; each is escaped, unless it is an `Html`."""
    escaped = {
        name: value if isinstance(value, Html) else escape(str(value))
        for name, value in values.items()
    }
    return Html(template.format_map(escaped))


def sign_up_page(name: str = "", error: str = "") -> str:
    """Return the form to sign up; with an error, why the last try was refused."""
    least, most = PASSWORD_LENGTHS[0], PASSWORD_LENGTHS[-1]
    body = fill(SIGN_UP, said=_error(error), name=name, least=least, most=most)
    return _page("Sign up", body)


def welcome_page(name: str, banner: str, *, is_live: bool = False) -> str:
    """Return what a new user sees; with a link to the chat itself if that page is served."""
    shown = fill(BANNER, banner=banner) if banner else Html("")
    return _page(
        "You are in", fill(WELCOME, name=name, banner=shown, talk=TO_TALK if is_live else "")
    )


def log_in_page(name: str = "", error: str = "") -> str:
    """Return the form to log in."""
    return _page("Log in", fill(LOG_IN, said=_error(error), name=name))


def error_page(text: str) -> str:
    """Return the page of a request that was refused."""
    return _page("That did not work", _error(text))


def talk_page() -> str:
    """Return the page of the chat itself; its script does the rest."""
    return _page("Chat", Html(TALK), script="talk")


def admin_page(
    name: str,
    banner: str,
    people: People,
    *,
    notice: str = "",
    error: str = "",
    is_live: bool = False,
) -> str:
    """Return the page of an admin.

    Args:
        name: of the admin.
        banner: to be changed.
        people: who is here, and users.
        notice: what was done.
        error: why it was not done.
        is_live: whether a script keeps the list of those who are here up to date.
    """
    said = fill('<p id="ok" class="said" role="status">{text}</p>', text=notice) if notice else ""
    body = fill(
        ADMIN,
        said=_error(error) or Html(said),
        longest=LONGEST_BANNER,
        banner=banner,
        count=len(people.here),
        person=fill(ROW, person=_person(Whereabouts("", "", 0.0, ()))) if is_live else "",
        here=_join(map(_person, people.here)) or Html('<li class="nobody">Nobody is here.</li>'),
        users=_join(_user(user, name) for user in people.users),
        more=_more(people),
    )
    return _page("Admin", body, fill(NAV_IN, name=name), "wide", "admin" if is_live else "")


def _page(
    title: str, body: Html, nav: Html = NAV_OUT, kind: str = "narrow", script: str = ""
) -> str:
    loading = fill(SCRIPT, name=script) if script else Html("")
    return str(fill(PAGE, title=title, body=body, nav=nav, kind=kind, script=loading))


def _error(text: str) -> Html:
    if not text:
        return Html("")
    text = f"{text[0].upper()}{text[1:]}."
    return fill('<p class="said error" role="alert">{text}</p>', text=text)


def _join(parts: Iterable[Html]) -> Html:
    return Html("".join(parts))


def _act(action: str, label: str, name: str, kind: str = "small") -> Html:
    return fill(ACT, action=action, label=label, name=name, kind=kind)


def _person(guest: Whereabouts) -> Html:
    since = datetime.fromtimestamp(guest.since, UTC)
    return fill(
        PERSON,
        name=guest.name,
        front_end=guest.front_end,
        rooms=", ".join(guest.rooms) or "in no room",
        exact=since.isoformat(timespec="seconds"),
        since=since.strftime("%d %b, %H:%M UTC"),
        kick=_act("kick", "Kick", guest.name, "small strong"),
    )


def _user(user: User, admin: str) -> Html:
    tags = [(group, " good" if group == ADMINS else "") for group in sorted(user.groups)]
    if user.is_disabled:
        tags.append(("disabled", " bad"))
    switch = Html("")
    if user.is_disabled:
        switch = _act("enable", "Enable", user.name)
    elif user.name != admin:
        switch = _act("disable", "Disable", user.name)
    return fill(
        USER,
        name=user.name,
        tags=_join(
            fill(' <span class="tag{kind}">{tag}</span>', kind=kind, tag=tag) for tag, kind in tags
        ),
        kick=_act("kick", "Kick", user.name),
        switch=switch,
    )


def _more(people: People) -> Html:
    links = [
        fill('<a href="/admin?page={page}#users">{text}</a> ', page=page, text=text)
        for page, text in ((people.page - 1, "Earlier users"), (people.after, "More users"))
        if page
    ]
    return fill("<p>{links}</p>", links=_join(links)) if links else Html("")
