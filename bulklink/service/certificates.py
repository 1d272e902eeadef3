"""Read the certificate that an application signs in with.

Owns: PEM and PFX files, their passwords, the thumbprint, and the checks that save a trip to the authority.
Does not know: msal, the authority.
Source: Microsoft Learn, "Microsoft identity platform application authentication certificate credentials".
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bulklink.errors import SignInError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

_HINT = "certificate_file holds certificate and private key together: PEM, or PFX (PKCS #12)."


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """A certificate chain and the private key of its first certificate, both as PEM."""

    private_key_pem: str = field(repr=False)
    chain_pem: str = field(repr=False)
    thumbprint: str  # SHA-1, upper-case hex: as the portal shows it


def read_certificate(path: Path, password: str) -> SigningCertificate:
    """Read a PEM or PFX file; SignInError says what is wrong with it, without its content."""
    from cryptography.hazmat.primitives import hashes, serialization

    try:
        content = path.read_bytes()
    except OSError as why:
        raise SignInError(f"certificate_file {path} cannot be read: {why.strerror}.", hint=_HINT) from None
    try:
        key, chain = _unpacked(content, password.encode() or None)
    except (ValueError, TypeError):
        asked = "its password is wrong" if password else "it is none, or certificate_password is missing"
        raise SignInError(f"certificate_file {path} cannot be opened: {asked}.", hint=_HINT) from None
    if key is None or not chain:
        missing = "private key" if key is None else "certificate"
        raise SignInError(f"certificate_file {path} holds no {missing}.", hint=_HINT)
    leaf = next((one for one in chain if one.public_key() == key.public_key()), None)
    if leaf is None:
        raise SignInError(f"The private key in {path} belongs to none of its certificates.", hint=_HINT)
    if leaf.not_valid_after_utc < datetime.now(UTC):
        raise SignInError(
            f"The certificate in {path} expired on {leaf.not_valid_after_utc:%Y-%m-%d}.",
            hint="Create a new certificate and upload its public part to the app registration.",
        )
    encoding = serialization.Encoding.PEM
    return SigningCertificate(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
        "".join(one.public_bytes(encoding).decode() for one in sorted(chain, key=lambda one: one is not leaf)),
        leaf.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 -- a name, not a safeguard
    )


def _unpacked(content: bytes, password: bytes | None) -> "tuple[PrivateKeyTypes | None, list[Certificate]]":
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

    if b"-----BEGIN " not in content:
        key, leaf, others = pkcs12.load_key_and_certificates(content, password)
        return key, [one for one in (leaf, *others) if one is not None]
    encrypted = b"ENCRYPTED" in content
    has_key = b"PRIVATE KEY-----" in content
    # A password for a key that is not encrypted is an error to the library, and a habit of people.
    pem_key = load_pem_private_key(content, password if encrypted else None) if has_key else None
    return pem_key, x509.load_pem_x509_certificates(content) if b"BEGIN CERTIFICATE-----" in content else []
