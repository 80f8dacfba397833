"""Certificates made by the openssl command, not by the library that reads them in the code."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Authority", "Files"]

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Files:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A CA of the openssl command.

    Attributes:
        ca: its own certificate, a PEM file.
    """

    def __init__(self, folder: Path, name: str = "ca"):
        self._folder = folder
        self._name = name
        self._numbers = itertools.count(1)
        self.ca = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _run(
            "req", "-x509", *_KEY, "-days", "30", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", self._key, "-out", self.ca,
        )  # fmt: skip

    def issue(
        self, *names: str, common_name: str = "nobody", days: int = 30, usage: str = "clientAuth"
    ) -> Files:
        """Make a certificate with these alternative names, as ``email:alice@example.org``."""
        stem = self._folder / f"{self._name}-{next(self._numbers)}"
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        made = Files(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        lines = [f"extendedKeyUsage={usage}", "basicConstraints=critical,CA:FALSE"]
        lines += ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]
        if names:
            lines.append(f"subjectAltName={','.join(names)}")
        extensions.write_text("\n".join(lines))
        _run("req", *_KEY, "-subj", f"/CN={common_name}", "-keyout", made.key, "-out", request)
        _run(
            "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial",
            "-days", str(days), "-extfile", extensions, "-out", made.certificate,
        )  # fmt: skip
        return made


def _run(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
