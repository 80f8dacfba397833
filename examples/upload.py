"""Upload a folder, file by file, with a progress bar for all of it."""

import asyncio
import tempfile
from pathlib import Path

import broker
import broker.progress


class Store(broker.Root):
    async def remote_store(self, name, data):
        path = Path(self.folder, Path(name).name)
        return await broker.write_file(data, path, most=10_000_000)


async def main(store, files):
    async with broker.serve(store, "pb://127.0.0.1:0") as server:
        connection = await broker.connect(server.addresses[0])
        with broker.progress.bar(len(files), "upload", unit="files") as bar:
            for done, file in enumerate(files, 1):
                await connection.root.callRemote("store", file.name, broker.read_file(file))
                bar.report(done, note=file.name)
        await connection.close()


with tempfile.TemporaryDirectory() as Store.folder:
    asyncio.run(main(Store(), sorted(Path(__file__).parent.glob("*.py"))))
