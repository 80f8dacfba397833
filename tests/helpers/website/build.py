"""Builds the documentation site: ``make docs`` runs this. A broken link ends it with status 1."""

from __future__ import annotations

import argparse
import http.server
import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from support.folders import HELPERS, ROOT

from website import links, navigation
from website.api import Reference, Undocumented
from website.pages import PROJECT, Pages

SETTINGS = ROOT / "docs" / "site" / "mkdocs.yml"
FOLDER = ROOT / "build" / "docs"
TITLES = ("About", "Security promises", "Contributing", "Changes")


def write(root: Path, folder: Path) -> None:
    """Write the pages of the site, and the settings with its navigation.

    Raises:
        SystemExit: a link leads nowhere, or a page is in no list of ``docs/index.md``, or in two.
        Undocumented: a public function or class has no docstring.
    """
    found = navigation.read((root / "docs" / "index.md").read_text("utf-8"))
    if wrong := navigation.missing(root / "docs", found):
        raise SystemExit(f"docs/index.md must name these pages once: {', '.join(wrong)}")
    for page in links.pages(root):
        if lost := list(links.broken(page)):
            raise SystemExit(f"{page.relative_to(root)}: these lead nowhere: {', '.join(lost)}")
    pages = Pages(root, folder / "pages")
    pages.write()
    names: dict[str, navigation.Navigation] = {}
    for group, module, text in Reference(root).pages():
        pages.add(f"api/{module}.md", text)
        names.setdefault(group, []).append({module: f"api/{module}.md"})
    after = navigation.SECTIONS.index("Look up") + 1
    entries: navigation.Navigation = [
        {"Start": "index.md"},
        *found[:after],
        {"API": [{group: listed} for group, listed in names.items()]},
        *found[after:],
        {"Project": [dict([each]) for each in zip(TITLES, PROJECT.values(), strict=True)]},
    ]
    settings = SETTINGS.read_text("utf-8") + f"nav: {json.dumps(entries)}\n"
    (folder / "mkdocs.yml").write_text(settings, encoding="utf-8")


def main() -> None:
    """Build the site; with ``--serve``, show it at a port of this machine."""
    parser = argparse.ArgumentParser(prog="make docs", description=__doc__)
    parser.add_argument("--serve", type=int, metavar="PORT", help="serve the site at this port")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        write(ROOT, FOLDER)
    except Undocumented as error:
        raise SystemExit(str(error)) from None
    command = [sys.executable, "-m", "zensical", "build", "-s", "-c", "-f", "mkdocs.yml"]
    shutil.rmtree(FOLDER / "out", ignore_errors=True)
    # For the extension that mkdocstrings loads, whatever folder this was started in.
    environment = {**os.environ, "PYTHONPATH": str(HELPERS)}
    done = subprocess.run(command, cwd=FOLDER, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    print(f"{FOLDER / 'out' / 'index.html'}: built in {time.monotonic() - began:.1f} s")
    if options.serve:
        handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(FOLDER / "out"))
        print(f"serving at http://127.0.0.1:{options.serve}")
        http.server.ThreadingHTTPServer(("127.0.0.1", options.serve), handler).serve_forever()


if __name__ == "__main__":
    main()
