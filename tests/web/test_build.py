"""The TypeScript client as it is shipped: built, typed, small, and of one version with the rest."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from support.ticket_office import TicketOffice
from web.node import CLIENT, NODE, ROOT, tools_are_there

from broker.flavors.contracts import description
from broker.flavors.contracts.contract import contract_of

STATIC = ROOT / "broker" / "web" / "static"
BUILT = STATIC / "broker.js"
LATER = [STATIC / f"broker-{name}.js" for name in ("login", "served", "again")]
"""What the built file loads when a page uses it."""
ADMIN = ROOT / "broker" / "web" / "admin"
CHAT = ROOT / "examples" / "chat" / "pages"
PAGE = ROOT / "docs" / "howto" / "use-it-from-a-browser.md"
FLAGS = re.MULTILINE | re.DOTALL
MOST = 12_288
"""The most bytes of the first file, with gzip."""
MOST_OF_ALL = 19_350
"""The most bytes of all files."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def tools() -> None:
    """The tools of the lock file, installed."""
    tools_are_there()


def node(*arguments: object) -> None:
    """Run Node in the folder of the client."""
    command = [NODE, *map(str, arguments)]
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("tools")
def test_the_built_file_is_that_of_the_sources(tmp_path: Path) -> None:
    """A fresh build is what is committed: the client, the chat's scripts, the operators' page."""
    node("build.mjs", tmp_path)
    page = {file.name: file.read_bytes() for file in (tmp_path / "page").iterdir()}
    assert page == {file.name: file.read_bytes() for file in ADMIN.iterdir()}
    for made in (BUILT, *LATER, CHAT / "talk.js", CHAT / "admin.js"):
        assert (tmp_path / made.name).read_bytes() == made.read_bytes()


def test_the_built_files_are_small() -> None:
    """With gzip the first has at most 12 KiB, and the page tells the sizes of all."""
    sizes = [len(gzip.compress(made.read_bytes(), 9)) for made in (BUILT, *LATER)]
    assert sizes[0] <= MOST
    assert sum(sizes) <= MOST_OF_ALL
    told = re.findall(r"^\| `(broker\S*\.js)` \| ([0-9.]+) \|", PAGE.read_text("utf-8"), FLAGS)
    names = [made.name for made in (BUILT, *LATER)]
    assert told == [(n, f"{s / 1000:.1f}") for n, s in zip(names, sizes, strict=True)]


def public_members() -> set[str]:
    """Return the names of the members of what the client exports, except those that are marked."""
    sources = "\n".join(file.read_text("utf-8") for file in (CLIENT / "src").glob("*.ts"))
    api = (CLIENT / "src" / "api.ts").read_text("utf-8")
    words = r"(?:readonly |static |abstract |override |async |get )*"
    members = set[str]()
    for name in re.findall(r"\b[A-Z]\w+", "".join(re.findall(r"\{(.*?)\}", api, FLAGS))):
        kind = rf"^export (?:abstract )?(?:class|interface) {name}\b"
        if found := re.search(rf"{kind}.*?(?:^}}|{{}}$)", sources, FLAGS):
            body = re.sub(r"/\*\*[^/]*@internal \*/[^;]*?;", "", found[0], flags=FLAGS)
            members |= set(re.findall(rf"^  {words}\*?(\w+)[!?]?(?:: |\(|<)", body, FLAGS))
        else:
            found = re.search(rf"^export type {name}\b.*?;$", sources, FLAGS)
            assert found, name
            fields = re.sub(r"/\*.*?\*/", "", found[0], flags=FLAGS)
            members |= set(re.findall(r"(?<![.\w])(\w+)\??: ", fields))
    return members


def test_short_names_are_no_public_names() -> None:
    """The build shortens internal names alone: every public member keeps its name."""
    build = (CLIENT / "build.mjs").read_text("utf-8")
    (internal,) = re.findall(r"INTERNAL = \{(.*?)\};", build, FLAGS)
    members = public_members()
    assert {"callRemote", "mayHaveRun", "kw", "elsewhere", "username", "stop"} <= members
    short = set(re.findall(r"\b(\w+)\b(?!:)", internal))
    assert {"settled", "putGraph", "_call"} <= short
    assert not members & short


@pytest.mark.usefixtures("tools")
def test_types() -> None:
    """The compiler finds no mistake in the sources, in its strict mode."""
    node("node_modules/typescript/bin/tsc", "--noEmit")


@pytest.mark.usefixtures("tools")
def test_types_of_the_tests() -> None:
    """The compiler finds no mistake in the programs of these tests."""
    node("node_modules/typescript/bin/tsc", "--noEmit", "-p", Path(__file__).parent)


@pytest.mark.usefixtures("tools")
def test_the_page_of_operators() -> None:
    """It is typed, has no script or style in its text, and loads the client from its server."""
    node("node_modules/typescript/bin/tsc", "-p", CLIENT / "admin")
    html = (ADMIN / "admin.html").read_text("utf-8")
    assert re.findall(r"<script([^>]*)>(.*?)</script>", html, FLAGS) == [
        (' type="module" src="/admin/admin.js"', "")
    ]
    assert not re.search(r"<style|\bstyle=|\bon[a-z]+=|https?:", html)
    script = (ADMIN / "admin.js").read_text("utf-8")
    assert '"/broker.js"' in script and "eval(" not in script
    assert len(gzip.compress(script.encode(), 9)) <= 35_000


@pytest.mark.usefixtures("tools")
def test_the_pages_of_the_chat() -> None:
    """The chat in a browser, and the live page of its admin, are typed, and short."""
    node("node_modules/typescript/bin/tsc", "-p", CHAT)
    for name in ("talk.ts", "admin.ts"):
        assert len((CHAT / name).read_text("utf-8").splitlines()) < 100


USE = """
import { type RemoteReference, servant } from "perspective-broker";
import { Listener, TicketOffice } from "./office.ts";

export async function use(avatar: RemoteReference) {
  const office = avatar.of(TicketOffice);
  const ear = servant(Listener, { heard: (text) => void text.length });
  const said: number = await office.room("stalls", ear).say("hi");
  const rows: string[] = (await office.reserve(3, { row: "B", colour: "red" })).map((s) => s.row);
  // @ts-expect-error: it takes a number
  await office.reserve("3");
  // @ts-expect-error: there is no such method
  await office.sell();
  return [said, rows];
}
"""


@pytest.mark.usefixtures("tools")
def test_contracts_have_types(tmp_path: Path) -> None:
    """A program with the contracts of a server is checked: right calls pass, wrong ones do not.

    So is the program of the how-to.
    """
    made = description._description([contract_of(TicketOffice)])
    (tmp_path / "office.ts").write_text(made.as_typescript(), "utf-8")
    (tmp_path / "use.ts").write_text(USE, "utf-8")
    programs = re.findall(r"^```ts\n(.*?)^```$", PAGE.read_text("utf-8"), FLAGS)
    for number, block in enumerate(programs):
        (tmp_path / f"page{number}.ts").write_text(block, "utf-8")
    options = json.loads((CLIENT / "tsconfig.json").read_text("utf-8"))["compilerOptions"]
    del options["rootDir"], options["outDir"], options["emitDeclarationOnly"]
    options |= {
        "noEmit": True,
        "types": [],
        "paths": {"perspective-broker": [str(CLIENT / "src" / "browser.ts")]},
    }
    config = {"compilerOptions": options, "include": [str(tmp_path)]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config), "utf-8")
    node("node_modules/typescript/bin/tsc", "-p", tmp_path)


def test_the_files_of_pages_share_their_classes() -> None:
    """The files that are loaded later import the first one, and contain none of its classes."""
    for made in LATER:
        text = made.read_text("utf-8")
        assert set(re.findall(r'\bfrom"([^"]*)"|\bimport\("([^"]*)"', text)) == {
            ("./broker.js", "")
        }
        assert "extends Error" not in text
        assert f"./{made.name}" in BUILT.read_text("utf-8")


def test_the_package() -> None:
    """The package for npm has the name, the version and the licence of the distribution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    package = json.loads((CLIENT / "package.json").read_text("utf-8"))
    for key in ("name", "version", "license"):
        assert package[key] == project[key]
    for made in (BUILT, *LATER):
        first = made.read_text("utf-8").splitlines()[0]
        assert first == f"/*! {project['name']} {project['version']}, {project['license']} */"
    assert "dependencies" not in package


def test_the_lock_file_names_no_registry() -> None:
    """A mirror of packages serves as well as the registry itself."""
    lock = (CLIENT / "package-lock.json").read_text("utf-8")
    assert "resolved" not in lock
    assert "integrity" in lock
