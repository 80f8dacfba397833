"""Nodes of a cluster for tests: their certificates, and a directory that a node can be cut from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import broker
from broker.net.tls.issuing import Issued, make_authority, make_node
from broker.topics.directory import Directory, HasDirectory, Holder

__all__ = ["Certificates", "Cut", "CutEngine", "Room", "files_of"]


def files_of(folder: Path, name: str, issued: Issued) -> dict[str, Path]:
    """Write a certificate and its key; return them as the arguments of a cluster."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(issued.certificate_pem)
    key.write_bytes(issued.key_pem)
    return {"certificate": certificate, "key": key}


class Certificates:
    """An authority, and the certificate of a node.

    Attributes:
        authority: the authority.
        ca: its certificate, a file.
        node: the arguments of a cluster.
    """

    def __init__(self, folder: Path, name: str = "nodes"):
        self.authority = make_authority(f"authority of {name}")
        self.folder = folder
        self.ca = folder / f"{name}-ca.pem"
        self.ca.write_bytes(self.authority.certificate_pem)
        made = make_node(self.authority, ["127.0.0.1", "localhost"])
        self.node: dict[str, Any] = {**files_of(folder, name, made), "ca": self.ca}


class Room(broker.Referenceable):
    """An object with a name; it keeps what was said to it."""

    def __init__(self, name: str = ""):
        self.name = name
        self.said: list[str] = []

    def remote_say(self, text: str) -> int:
        """Keep a text; return how many there are."""
        self.said.append(text)
        return len(self.said)

    def remote_itself(self) -> Room:
        """Return a reference to the room, past its name."""
        return self


class Cut(Directory):
    """A directory that can be cut off: its methods then fail."""

    def __init__(self, directory: Directory):
        self._directory = directory
        self.is_cut = False
        self.renewals = 0

    def _through(self) -> Directory:
        if self.is_cut:
            raise ConnectionError("cut off")
        return self._directory

    async def join(self, node: str, address: str, seconds: float) -> float:
        """See the directory."""
        return await self._through().join(node, address, seconds)

    async def renew(self) -> bool:
        """See the directory."""
        self.renewals += 1
        return await self._through().renew()

    async def claim(self, name: str) -> Holder:
        """See the directory."""
        return await self._through().claim(name)

    async def find(self, name: str) -> Holder | None:
        """See the directory."""
        return await self._through().find(name)

    async def release(self, name: str, number: int) -> None:
        """See the directory."""
        await self._through().release(name, number)

    async def leave(self) -> None:
        """See the directory."""
        await self._through().leave()

    async def close(self) -> None:
        """See the directory."""
        await self._directory.close()


class CutEngine:
    """An engine for one node, whose directory can be cut off.

    Attributes:
        cut: the directory.
    """

    def __init__(self, engine: HasDirectory):
        self.cut = Cut(engine.directory())

    def directory(self) -> Directory:
        """Return the directory."""
        return self.cut
