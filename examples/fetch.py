"""Fetch a file as a stream, with a progress bar."""

import asyncio
import tempfile
from pathlib import Path

import broker
import broker.progress

SONG = b"".join(b"%d green bottles hanging on the wall\n" % n for n in range(200_000, 0, -1))


class Jukebox(broker.Root):
    def __init__(self, song):
        self.song = song

    def remote_song(self):
        return broker.read_file(self.song)


async def main(folder):
    song, copy = folder / "song.txt", folder / "copy.txt"
    song.write_bytes(SONG)
    async with (
        broker.serve(Jukebox(song), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        with broker.progress.bar(description="song") as bar:
            call = connection.root.callRemote("song")
            size = await broker.write_file(call, copy, progress=bar)
    print(f"{size} bytes, {'the same' if copy.read_bytes() == SONG else 'others'}")


with tempfile.TemporaryDirectory() as name:
    asyncio.run(main(Path(name)))
