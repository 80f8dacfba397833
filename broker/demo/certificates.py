"""Makes temporary certificates: an authority, and one server that it signs."""

from __future__ import annotations

import datetime
from pathlib import Path

from broker.net.tls.issuing import make_authority, make_server, write_file

__all__ = ["AUTHORITY", "CERTIFICATE", "KEY", "SERVER_NAME", "write_certificates"]

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "server.pem", "server.key"
SERVER_NAME = "demo box office"

_HOUR = datetime.timedelta(hours=1)


def write_certificates(folder: Path) -> None:
    """Write the authority's certificate, and certificate and key of a server on this machine.

    They are valid for an hour; the authority's key is not kept.
    """
    authority = make_authority("demo authority", _HOUR)
    server = make_server(
        authority, ["localhost", "127.0.0.1"], common_name=SERVER_NAME, lifetime=_HOUR
    )
    write_file(folder / AUTHORITY, authority.certificate_pem, is_secret=False)
    write_file(folder / CERTIFICATE, server.certificate_pem, is_secret=False)
    write_file(folder / KEY, server.key_pem, is_secret=True)
