"""The client in programs that are bundled: in one file or several, from the package or its file."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from web.node import CLIENT, NODE, ROOT, run_node, tools_are_there
from web.shop import Shop, portal

import broker

PROGRAM = Path(__file__).parent / "bundled.ts"
BUILT = ROOT / "broker" / "web" / "static" / "broker.js"
BUNDLE = """
import {{ build }} from "esbuild";
await build({options});
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package for npm, as it is built."""
    tools_are_there()
    folder = tmp_path_factory.mktemp("package")
    subprocess.run([NODE, "build.mjs", "--package", folder], cwd=CLIENT, check=True)
    return folder / "dist"


@pytest.mark.parametrize("is_split", [False, True], ids=["one file", "several"])
@pytest.mark.parametrize("source", ["package", "file"])
@pytest.mark.timeout(120)
async def test_bundled(source: str, is_split: bool, package: Path, tmp_path: Path) -> None:
    """Logins, loops and links work, and their classes are those of the program."""
    client = package / "browser.js" if source == "package" else BUILT
    options = {
        "absWorkingDir": str(CLIENT),
        "entryPoints": [str(PROGRAM)],
        "bundle": True,
        "splitting": is_split,
        "minify": True,
        "format": "esm",
        "target": "es2022",
        "outdir": str(tmp_path),
        "outExtension": {".js": ".mjs"},
        "alias": {"perspective-broker": str(client)},
    }
    program = BUNDLE.format(options=json.dumps(options))
    command = [NODE, "--input-type=module", "--eval", program]
    await asyncio.to_thread(subprocess.run, command, cwd=CLIENT, check=True)
    assert (len(list(tmp_path.iterdir())) > 1) is is_split
    async with broker.serve(portal(Shop()), "ws://127.0.0.1:0") as server:
        said = await run_node(tmp_path / "bundled.mjs", ADDRESS=server.addresses[0])
    assert said.split() == ["shop", "true", "true"]
