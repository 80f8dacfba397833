"""A real notebook, whose cells run inside a loop of its kernel."""

from __future__ import annotations

import json
import subprocess
import sys

from support.programs import environment

CELLS = [
    """
import warnings
import broker
import broker.blocking
from support.shop import Shop, TicketOffice
warnings.simplefilter("error")
server = broker.blocking.serve(Shop(), "pb://127.0.0.1:0")
""",
    """
connection = broker.blocking.connect(server.addresses[0])
print(connection.root.callRemote("echo", "hello"))
print(list(connection.root.callRemote("rows", 3)))
office = connection.root.callRemote("office").of(TicketOffice)
print(connection.run(office.reserve(2)))
""",
    """
import asyncio
await asyncio.sleep(0)
print(connection.root.callRemote("echo", "in a cell with await"))
try:
    await office.reserve(2)
except RuntimeError as error:
    print(error)
""",
    "warnings.simplefilter('default'); connection.close(); server.close()",
]

PROGRAM = """
import json, sys
import nbclient, nbformat

notebook = nbformat.v4.new_notebook()
notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in json.load(sys.stdin)]
nbclient.NotebookClient(notebook, kernel_name="python3").execute()
json.dump([output for cell in notebook.cells for output in cell.outputs], sys.stdout)
"""


def test_a_notebook() -> None:
    """Its cells connect, call, and read streams, without a warning."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(CELLS),
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [(output["name"], output["text"]) for output in json.loads(done.stdout)] == [
        ("stdout", "hello\n[0, 1, 2]\n[0, 1]\n"),
        (
            "stdout",
            "in a cell with await\nthis connection belongs to the loop of another thread; use"
            " broker.blocking, or loop.call_soon_threadsafe\n",
        ),
    ]
