"""A throwaway certificate for the sandbox, because some clients refuse plain HTTP.

Owns: the certificate authority, the server's certificate, the file that clients are to trust.
Does not know: the server.
"""

import ssl
import tempfile
from pathlib import Path

import trustme


class ThrowawayCertificate:
    """A certificate for one host, by an authority that lives as long as this object's directory."""

    def __init__(self, host: str) -> None:
        authority = trustme.CA(organization_name="bulklink sandbox")
        names = dict.fromkeys([host, "localhost", "127.0.0.1", "::1"])
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*names).configure_cert(self.context)
        self._directory = tempfile.TemporaryDirectory(prefix="bulklink-sandbox-")
        #: What clients are to trust, as PEM.
        self.ca_file = Path(self._directory.name) / "ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)

    def remove(self) -> None:
        """Delete the file."""
        self._directory.cleanup()
