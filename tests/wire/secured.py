"""Certificates for the tests, made by an authority of their own, and clients that trust it."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from fleet.settings import Settings


@dataclass
class Authority:
    """One authority and the files that it has written into `folder`."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def trusted(self) -> str:
        """The authority's own certificate, as a file."""
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(path)
        return str(path)

    def certificate(self, *names: str, file: str = "cert.pem", **subject: str) -> str:
        """A file with key and chain for `names`; replaced as a whole, as a Secret is."""
        made = self.ca.issue_cert(*names, **subject)
        path = self.folder / file
        fresh = self.folder / f"{file}.new"
        made.private_key_and_cert_chain_pem.write_to_path(fresh)
        fresh.replace(path)
        return str(path)

    def settings(self, **changes: object) -> Settings:
        """For a front that speaks TLS as ``localhost``."""
        return Settings(tls_cert=self.certificate("localhost", "127.0.0.1"), **changes)

    def client(self, *offers: str, certificate: str = "") -> ssl.SSLContext:
        """A client's context; `offers` go into ALPN."""
        context = ssl.create_default_context(cafile=self.trusted)
        if offers:
            context.set_alpn_protocols(list(offers))
        if certificate:
            context.load_cert_chain(certificate)
        return context

    def server(self, *names: str, asks: bool = False) -> ssl.SSLContext:
        """A model server's context; `asks`: it wants a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate(*names, file="server.pem"))
        if asks:
            context.load_verify_locations(self.trusted)
            context.verify_mode = ssl.CERT_REQUIRED
        return context
