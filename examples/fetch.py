"""Fetch a file as a stream, with a progress bar."""

import asyncio
import tempfile
from pathlib import Path

import broker
import broker.progress


class Jukebox(broker.Root):
    def remote_song(self):
        return broker.read_file(self.song)


async def main(folder):
    Jukebox.song = folder / "song"
    Jukebox.song.write_text("green bottles hanging on the wall\n" * 100_000)
    async with broker.serve(Jukebox(), "pb://127.0.0.1:0") as server:
        connection = await broker.connect(server.addresses[0])
        with broker.progress.bar(description="song") as bar:
            song = connection.root.callRemote("song")
            print(await broker.write_file(song, folder / "copy", progress=bar), "bytes")
        await connection.close()


with tempfile.TemporaryDirectory() as name:
    asyncio.run(main(Path(name)))
