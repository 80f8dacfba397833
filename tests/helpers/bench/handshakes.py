"""Processor time of TLS handshakes: RSA-2048 and ECDSA P-256, full and resumed.

``python -m bench.handshakes`` prints microseconds for each, both ends together, in memory. The
kinds take turns; a figure is the median of the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from support.certificates import Authority

import broker
from bench.identities import write_identities

__all__ = ["main", "measure"]

ROUNDS, HANDSHAKES = 9, 100

RSA, RSA_RESUMED = "RSA-2048", "RSA-2048, resumed"
EC, EC_RESUMED = "ECDSA P-256", "ECDSA P-256, resumed"


def measure(rounds: int = ROUNDS, handshakes: int = HANDSHAKES) -> dict[str, float]:
    """Return the microseconds of processor time that a handshake takes, by kind."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_identities(folder)
        rsa = folder / "server.pem", folder / "server.key", folder / "server.pem"
        authority = Authority(folder)
        pair = authority.issue()
        ec = pair.certificate_path, pair.key_path, authority.ca_path
        kinds = {
            RSA: _meeting(*rsa, tickets=False),
            RSA_RESUMED: _meeting(*rsa, tickets=True),
            EC: _meeting(*ec, tickets=False),
            EC_RESUMED: _meeting(*ec, tickets=True),
        }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, meet in kinds.items():
            begin = time.process_time()
            for _ in range(handshakes):
                meet()
            found[kind].append((time.process_time() - begin) / handshakes * 1e6)
    return {kind: statistics.median(figures) for kind, figures in found.items()}


def _meeting(certificate: Path, key: Path, ca: Path, *, tickets: bool) -> Callable[[], None]:
    # From bytes: the files are looked at for each connection otherwise.
    pem, secret = certificate.read_bytes(), key.read_bytes()
    server_tls = broker.TLS.server(pem, secret, tickets=tickets)
    client_tls = broker.TLS.client(ca=ca.read_bytes())

    def meet() -> bool:
        client, server = client_tls.filter("localhost"), server_tls.filter()
        is_done = False
        while not is_done:
            up = client.data_to_send()
            server.receive(up)
            down = server.data_to_send()
            client.receive(down)
            is_done = not (up or down)
        client.close()
        server.receive(client.data_to_send())
        return client.is_resumed

    def meet_as_meant() -> None:
        assert meet() is tickets

    # The first ones give the ticket, or show that there is none to accept.
    for _ in range(4):
        meet()
    return meet_as_meant


def main() -> None:
    """Measure and print."""
    found = measure()
    for kind, microseconds in found.items():
        print(f"{kind:24}{microseconds:8.0f} us{microseconds / found[RSA]:8.2f}")


if __name__ == "__main__":
    main()
