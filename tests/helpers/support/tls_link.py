"""Two TLS filters joined in memory."""

from __future__ import annotations

from broker.errors import TLSError
from broker.net.tls.filter import TLSFilter

__all__ = ["Link"]


class Link:
    """A client's and a server's filter, joined in memory; ``cut`` says how bytes are cut."""

    def __init__(self, client: TLSFilter, server: TLSFilter, cut=lambda data: [data]):
        self.client = client
        self.server = server
        self.cut = cut
        self.at_client = b""
        self.at_server = b""
        self.client_error: TLSError | None = None
        self.server_error: TLSError | None = None

    def carry(self) -> Link:
        """Carry bytes until neither end has any, or says anything but an error."""
        while True:
            to_server, to_client = self.client.data_to_send(), self.server.data_to_send()
            if not to_server and not to_client:
                return self
            for piece in self.cut(to_server):
                if self.server_error is None:
                    try:
                        self.at_server += self.server.receive(piece)
                        self.server_error = self.server.failure
                    except TLSError as exc:
                        self.server_error = exc
            for piece in self.cut(to_client):
                if self.client_error is None:
                    try:
                        self.at_client += self.client.receive(piece)
                        self.client_error = self.client.failure
                    except TLSError as exc:
                        self.client_error = exc

    @property
    def errors(self) -> tuple[str, str]:
        """The texts of both ends' errors, client first."""
        return str(self.client_error), str(self.server_error)
