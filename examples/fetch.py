"""Fetch a file piece by piece, with a progress bar."""

import asyncio

import broker

SONG = b"".join(b"%d green bottles hanging on the wall\n" % n for n in range(20_000, 0, -1))


class Jukebox(broker.Root):
    def remote_size(self):
        return len(SONG)

    def remote_piece(self, start):
        return SONG[start : start + 65536]


async def main():
    async with broker.serve(Jukebox(), "pb://127.0.0.1:0") as server:
        address, song = server.addresses[0], b""
        async with broker.connect(address) as connection:
            size = await connection.root.callRemote("size")
            while len(song) < size:
                song += await connection.root.callRemote("piece", len(song))
                print(f"\r{'█' * (40 * len(song) // size):40} {len(song)} of {size}", end="")


asyncio.run(main())
