"""A host of files over HTTP that a test tells how to misbehave: what it answers, where it breaks off, and how fast."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Answering = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request. Unless the host has another answer for it, it serves the file, or the range that is asked for."""

    protocol_version = "HTTP/1.1"
    server: FileHost

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.came.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        with self.server.turn:
            answer = self.server.answers.pop(0) if self.server.answers else self.server.always
        (answer or serve)(self)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answers with a whole body."""
        self.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def begin(self, status: int, length: int, **headers: str) -> None:
        """Begins an answer of that length."""
        self.send_response(status)
        for name, value in {"content_length": str(length), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class FileHost(ThreadingHTTPServer):
    """Serves `content` at every path. What it was asked is in `came`; `answers` are for the next requests, in turn."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, content: bytes, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), Visit)
        self.content = content
        self.scheme = "http"
        self.came: list[dict[str, str]] = []
        self.answers: list[Answering | None] = []
        self.always: Answering | None = None
        self.turn = threading.Lock()
        self.gate = threading.Event()  # what a `held` answer waits for

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'

    def url(self, path: str = "/clip.mp4") -> str:
        return f"{self.scheme}://{self.server_address[0]}:{self.server_port}{path}"

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is none of a test's concern."""


def serve(visit: Visit, *, upto: int | None = None, held: bool = False) -> None:
    """Serves the file or the range of it; breaks off after `upto` bytes of the file, or waits there if `held`."""
    host = visit.server
    asked = re.fullmatch(r"bytes=(\d+)-", visit.headers.get("range", ""))
    same = visit.headers.get("if-range") == host.etag
    begins = int(asked[1]) if asked and same else 0
    size, part = len(host.content), {"etag": host.etag}
    if begins:
        part["content_range"] = f"bytes {begins}-{size - 1}/{size}"
    visit.begin(206 if begins else 200, size - begins, content_type="video/mp4", **part)
    visit.wfile.write(host.content[begins:upto])
    visit.wfile.flush()
    if held:
        host.gate.wait(60)
        visit.wfile.write(host.content[max(begins, upto or 0) :])


def broken(upto: int) -> Answering:
    return lambda visit: serve(visit, upto=upto)


def held(upto: int) -> Answering:
    """Sends so much, and the rest once the gate is opened."""
    return lambda visit: serve(visit, upto=upto, held=True)


def trickling(visit: Visit) -> None:
    """Sends a byte now and then, for ever."""
    host = visit.server
    visit.begin(200, len(host.content), content_type="video/mp4", etag=host.etag)
    for byte in host.content:
        visit.wfile.write(bytes([byte]))
        if host.gate.wait(0.05):
            return


def saying(status: int, body: bytes = b"", **headers: str) -> Answering:
    return lambda visit: visit.say(status, body, **headers)


class Papers(NamedTuple):
    """Are files: the certificate of an authority of one's own, and a host's that it signed, with the key to that."""

    authority: Path
    host: Path


def certified(folder: Path, address: str = "127.0.0.1") -> Papers:
    now, pem = datetime.now(UTC), serialization.Encoding.PEM
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("one's own", "host")]
    begun = [
        x509.CertificateBuilder(issuer_name=names[0], subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        for name, key in zip(names, keys, strict=True)
    ]
    reached = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    authority = begun[0].add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    host = begun[1].add_extension(reached, critical=False)
    papers = Papers(folder / "authority.pem", folder / "host.pem")
    papers.authority.write_bytes(authority.sign(keys[0], hashes.SHA256()).public_bytes(pem))
    key = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    papers.host.write_bytes(host.sign(keys[0], hashes.SHA256()).public_bytes(pem) + key)
    return papers


@contextmanager
def hosting(content: bytes, address: str = "127.0.0.1", certificate: Path | None = None) -> Iterator[FileHost]:
    """Serves by HTTPS where there is a `certificate`, whose file has the key, too."""
    host = FileHost(content, address)
    if certificate:
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(certificate)
        host.socket = secure.wrap_socket(host.socket, server_side=True, do_handshake_on_connect=False)
        host.scheme = "https"
    thread = threading.Thread(target=host.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.gate.set()
        host.shutdown()
        host.server_close()
        thread.join()
