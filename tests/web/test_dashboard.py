"""The dashboard of the examples: its page against its server, with a document of a few lines."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from web.node import CLIENT, ROOT, run_node, tools_are_there

from broker.flavors.contracts import description
from broker.flavors.contracts.contract import contract_of

EXAMPLE = ROOT / "examples" / "dashboard"

DOCUMENT = """
const elements = new Map();
globalThis.document = {
  getElementById(id) {
    if (!elements.has(id)) elements.set(id, { textContent: "", insertAdjacentHTML() {} });
    return elements.get(id);
  },
};
const { run } = await import(process.argv[2]);
const abort = new AbortController();
const text = (id) => document.getElementById(id).textContent;
const running = run(process.argv[3], abort.signal);
const symbols = ["ACME", "INITECH", "HOOLI"];
while (!symbols.every((symbol) => /^.{3,}$/.test(text(`line-${symbol}`)) && text("alerts")))
  await new Promise((resolve) => setTimeout(resolve, 5));
console.log(text("state"), text("alerts").split(" ")[0]);
for (const symbol of symbols) console.log(symbol, /^[+-].* %$/.test(text(`change-${symbol}`)));
abort.abort();
await running;
"""


def test_the_contract_is_that_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """market.ts is what ``pb describe --typescript`` writes."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import feed  # type: ignore[import-not-found]

    made = description._description([contract_of(feed.Market)])
    assert (EXAMPLE / "market.ts").read_text("utf-8") == made.as_typescript()


@pytest.mark.timeout(120)
async def test_the_page_follows_the_market(tmp_path: Path) -> None:
    """Prices arrive as a stream, and alerts as calls; the page is typed and short."""
    tools_are_there()
    await run_node(CLIENT / "node_modules" / "typescript" / "bin" / "tsc", "-p", str(EXAMPLE))
    esbuild = CLIENT / "node_modules" / "esbuild" / "bin" / "esbuild"
    made = tmp_path / "dashboard.mjs"
    options = ["--bundle", "--format=esm", "--log-level=warning", f"--outfile={made}"]
    subprocess.run([esbuild, EXAMPLE / "dashboard.ts", *options], check=True)
    (tmp_path / "page.mjs").write_text(DOCUMENT, "utf-8")
    command = [sys.executable, "-u", EXAMPLE / "feed.py", "ws://127.0.0.1:0"]
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None
        address = (await server.stdout.readline()).decode().split()[-1]
        said = await run_node(tmp_path / "page.mjs", made.as_uri(), address)
    finally:
        server.kill()
        await server.wait()
    rows = [f"{symbol} True" for symbol in ("ACME", "INITECH", "HOOLI")]
    assert said.replace("true", "True").splitlines() == ["connected HOOLI", *rows]
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in EXAMPLE.glob("*.ts"))
    assert lines < 100
