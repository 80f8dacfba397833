"""Upload a folder, file by file, with a progress bar for all of it."""

import asyncio
import tempfile
from pathlib import Path

import broker
import broker.progress


class Store(broker.Root):
    """Takes files; a name that leads out of its folder is refused."""

    def __init__(self, folder):
        self.folder = folder

    async def remote_store(self, name, data):
        if Path(name).name != name:
            raise broker.Error("a file has a name, and no path")
        return await broker.write_file(data, self.folder / name, most=10_000_000)


async def upload(root, folder, bar):
    files = sorted(folder.iterdir())
    total, done = sum(file.stat().st_size for file in files), 0
    for file in files:
        done += await root.callRemote("store", file.name, broker.read_file(file))
        bar.report(done, total, file.name)


async def main(ours, theirs):
    for number in range(20):
        (ours / f"{number}.txt").write_text(f"line {number}\n" * 50_000)
    async with (
        broker.serve(Store(theirs), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        with broker.progress.bar(description="upload") as bar:
            await upload(connection.root, ours, bar)
    print(f"{len(list(theirs.iterdir()))} files")


with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as theirs:
    asyncio.run(main(Path(ours), Path(theirs)))
