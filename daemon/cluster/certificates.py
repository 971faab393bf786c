"""Makes the certificates by which a daemon and its machines know each other: one authority of their own signs all."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from daemon.cluster.folder_lock import locked
from daemon.paths import write_private

DAEMON = "daemon"
REVOKED = "revoked.pem"
LASTS = datetime.timedelta(days=3650)
SKEW = datetime.timedelta(minutes=10)  # by which the clock of a machine may be behind


class Papers(NamedTuple):
    """Are who somebody is, in PEM: the authority's certificate, its own, and the key to that."""

    authority: str
    certificate: str
    key: str


def authority(folder: Path) -> None:
    """Makes the authority and the daemon's papers in `folder`, unless they are there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with locked(folder):  # a machine may be invited while the daemon starts
        if not (folder / f"{DAEMON}.pem").exists():
            _make_authority(folder)


def _make_authority(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("ffspool cluster")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _begun(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / "authority.pem", _pem(made))
    write_private(folder / "authority.key", _pem_of_key(key))
    _write_revoked(folder, [], datetime.datetime.now(datetime.UTC) - SKEW)
    papers = issue(folder, DAEMON)
    write_private(folder / f"{DAEMON}.key", papers.key)
    write_private(folder / f"{DAEMON}.pem", papers.certificate)


def issue(folder: Path, name: str) -> Papers:
    """Returns papers for a machine, or the daemon, of that name."""
    certificate, signing = _authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    made = (
        _begun(_named(name), certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(both, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(signing, hashes.SHA256())
    )
    return Papers(_pem(certificate), _pem(made), _pem_of_key(key))


def revoke(folder: Path, certificate: str) -> None:
    """Has nobody let in with that certificate any more."""
    serial = x509.load_pem_x509_certificate(certificate.encode()).serial_number
    known = _list_of_revoked(folder)
    later = known.last_update_utc + datetime.timedelta(seconds=1)  # of two lists OpenSSL goes by the later one
    _write_revoked(folder, [*revoked(folder), serial], max(datetime.datetime.now(datetime.UTC) - SKEW, later))


def revoked(folder: Path) -> list[int]:
    """Returns the serial numbers of the certificates that count no more."""
    return [one.serial_number for one in _list_of_revoked(folder)]


def _list_of_revoked(folder: Path) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl((folder / REVOKED).read_bytes())


def _write_revoked(folder: Path, serials: Sequence[int], at: datetime.datetime) -> None:
    authority, signing = _authority(folder)
    made = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    made = made.last_update(at).next_update(at + LASTS)
    for serial in serials:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        made = made.add_revoked_certificate(one)
    pem = made.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    write_private(folder / REVOKED, pem.decode())


def refuse_revoked(context: ssl.SSLContext, folder: Path) -> None:
    """Has a context that takes connections look at who was revoked so far; called again, it knows of those since.

    Each connection shows its certificate: a session that is taken up again would not.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.load_verify_locations(folder / REVOKED)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def context(folder: Path, purpose: ssl.Purpose, name: str = DAEMON) -> ssl.SSLContext:
    """Returns how connections are made, or taken, by whoever's papers lie in `folder` by that name.

    Both sides show papers of the same authority; the name of a host counts nothing.
    """
    made = ssl.create_default_context(purpose, cafile=str(folder / "authority.pem"))
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return made


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes())
    signing = serialization.load_pem_private_key((folder / "authority.key").read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    return certificate, signing


def _begun(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LASTS)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()
