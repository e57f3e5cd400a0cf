"""X.509 certificates as Kubernetes reads them: CN is the user, every O a group (RFC 5280; kubernetes.io/docs/setup/best-practices/certificates)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Issued", "issue", "key_pem", "make_authority", "new_key", "still_good"]

_AUTHORITY_DAYS: Final = 3650
_LEAF_DAYS: Final = 825
_RENEW_BEFORE: Final = timedelta(days=30)
#: Clocks of a slice's machines may differ.
_BACKDATE: Final = timedelta(minutes=10)

Issued = tuple[bytes, bytes]


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - _BACKDATE
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def make_authority(name: str) -> Issued:
    """A self-signed CA: (certificate PEM, key PEM)."""
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key.public_key(), _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem(key)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def issue(
    authority: Issued, name: str, groups: Sequence[str] = (), sans: Sequence[str] = (), *, server: bool = False
) -> Issued:
    """A certificate signed by the authority: (certificate PEM, key PEM).

    Args:
        authority: Its certificate and key.
        name: Common name, the user.
        groups: Organisations.
        sans: DNS names and IP addresses of a server.
        server: For a server (that may be a client too) or a client only.
    """
    ca = x509.load_pem_x509_certificate(authority[0])
    ca_key = serialization.load_pem_private_key(authority[1], None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is no elliptic curve key")
    key = new_key()
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if server else [])
    builder = (
        _builder(subject, ca.subject, key.public_key(), _LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(_alternatives(sans)), critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem(key)


def still_good(
    certificate: bytes, key: bytes, authority: bytes, name: str, groups: Sequence[str] = (), sans: Sequence[str] = ()
) -> bool:
    """Whether a certificate fits its key and authority, says what is asked for, and lasts for a month yet."""
    try:
        cert, ca = x509.load_pem_x509_certificate(certificate), x509.load_pem_x509_certificate(authority)
        private = serialization.load_pem_private_key(key, None)
        cert.verify_directly_issued_by(ca)
    except Exception:  # noqa: BLE001 - whatever is wrong with the old files, new ones are the answer
        return False
    if cert.not_valid_after_utc - datetime.now(UTC) < _RENEW_BEFORE or private.public_key() != cert.public_key():
        return False
    subject = cert.subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    organisations = {str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    if names != [name] or organisations != set(groups):
        return False
    try:
        present = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        have = {str(item.value) for item in present}
    except x509.ExtensionNotFound:
        have = set()
    return have == set(sans)
