"""An S3 server that nobody here wrote: rclone's, with its objects in a folder, and keys that it asks for."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import obstore
from conftest import PATIENCE, wait_until
from obstore.store import S3Store

KEY = "AKIAFFSPOOLTESTS"
SECRET = "s3cr3t/of+the+bucket/0123456789abcdef"
BUCKET = "media"


class S3Server:
    """A server on this host. Its bucket is there; `stop` and `start` have it go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / BUCKET).mkdir(parents=True)
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        rclone = str(Path(sys.executable).with_name("rclone"))
        serve = [rclone, "serve", "s3", str(self.folder), "--addr", f"127.0.0.1:{self.port}"]
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        keys = ["--auth-key", f"{KEY},{SECRET}", "--config", "", "--vfs-cache-mode", "off"]
        self.process = subprocess.Popen([*serve, *keys], **quiet)
        wait_until(self._listens, "the S3 server")

    def stop(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(PATIENCE)

    def _listens(self) -> bool:
        with closing(socket.socket()) as asked:
            return asked.connect_ex(("127.0.0.1", self.port)) == 0

    def store(self) -> S3Store:
        """A client of its own, which knows nothing of ffspool."""
        return S3Store(
            BUCKET, endpoint=self.endpoint, region="us-east-1", access_key_id=KEY, secret_access_key=SECRET,
            client_options={"allow_http": True},
        )  # fmt: skip

    def listed(self) -> list[str]:
        return sorted(one["path"] for found in obstore.list(self.store()) for one in found)

    def read(self, key: str) -> bytes:
        return bytes(obstore.get(self.store(), key).bytes())

    def said(self, key: str) -> dict[str, str]:
        """What stands beside an object."""
        return {name.lower(): value for name, value in obstore.get(self.store(), key).attributes.items()}

    def put(self, key: str, content: bytes) -> None:
        obstore.put(self.store(), key, content)


class MotoServer(S3Server):
    """Moto's: it holds all in memory and asks for no keys, but knows more of S3's words."""

    def start(self) -> None:
        moto = str(Path(sys.executable).with_name("moto_server"))
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([moto, "-H", "127.0.0.1", "-p", str(self.port)], **quiet)
        wait_until(self._listens, "moto's server")
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        client: Any = boto3.client("s3", endpoint_url=self.endpoint, **keys)
        client.create_bucket(Bucket=BUCKET)


@contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    server = S3Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def keys_file(folder: Path) -> Path:
    """A file of credentials, as AWS's own tools write it."""
    path = folder / "keys"
    path.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    path.chmod(0o600)
    return path


def profile(server: S3Server, folder: Path, prefix: str = "/renders", **more: str) -> str:
    """The table of a config that names the server's bucket."""
    said = {"url": f"s3://{BUCKET}{prefix}", "endpoint": server.endpoint, "region": "us-east-1", **more}
    said.setdefault("credentials", str(keys_file(folder)))
    return "[buckets.renders]\n" + "".join(f'{name} = "{value}"\n' for name, value in said.items())
