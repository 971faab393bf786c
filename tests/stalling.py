"""A file system of one folder with files in it, by FUSE, that stops answering when it is told: `stalling.py FOLDER`.

It speaks the kernel's protocol itself (linux/fuse.h), and needs root. Lines on stdin say what stalls from then on, by
names of `CALLS`; each is answered, once it holds, by how many calls hang. It ends with its stdin, and what hangs fails.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import struct
import sys
from contextlib import suppress
from pathlib import Path

CALLS = {"stat": {1, 3}, "open": {14}, "read": {15}, "readdir": {27, 28}, "close": {25, 18}}  # by FUSE's numbers
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR = (
    1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 28, 29,
)  # fmt: skip
SILENT = {FORGET, 36, 42}  # forgetting and interrupts take no answer
ROOT, DIRECT_IO, NOT_IMPLEMENTED, NO_ENTRY = 1, 1, 38, 2
REQUEST = struct.Struct("<IIQQIIII")
ANSWER = struct.Struct("<IiQ")
MOST = 1024 * 1024  # bytes of a request


class FileSystem:
    """Serves what lies in a real folder under its names, read at the start."""

    def __init__(self, device: int, files: dict[str, bytes]) -> None:
        self._device = device
        self._names = {name: number for number, name in enumerate(files, ROOT + 1)}
        self._contents = dict(zip(self._names.values(), files.values(), strict=True))
        self._held: list[bytes] = []
        self._stalled: set[int] = set()

    @property
    def hanging(self) -> int:
        return len(self._held)

    def stall(self, calls: set[int]) -> None:
        """Stalls these calls from now on, and answers what else has waited."""
        self._stalled = calls
        held, self._held = self._held, []
        for request in held:
            self.hear(request)

    def hear(self, request: bytes) -> None:
        _, call, unique, node, *_ = REQUEST.unpack_from(request)
        if call in self._stalled:
            self._held.append(request)
        elif call not in SILENT:
            error, answer = self._answer(call, node, request[REQUEST.size :])
            with suppress(FileNotFoundError):  # who asked is gone
                os.write(self._device, ANSWER.pack(ANSWER.size + len(answer), -error, unique) + answer)

    def _answer(self, call: int, node: int, more: bytes) -> tuple[int, bytes]:
        if call == INIT:
            return 0, struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, 0, *[0] * 7)
        if call == LOOKUP:
            found = self._names.get(more.rstrip(b"\0").decode())
            entry = struct.pack("<QQQQII", found, 0, 0, 0, 0, 0) + self._attributes(found) if found else b""
            return (0, entry) if found else (NO_ENTRY, b"")
        if call == GETATTR:
            return 0, struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if call in {OPEN, OPENDIR}:
            return 0, struct.pack("<QII", 0, DIRECT_IO if call == OPEN else 0, 0)
        if call in {READ, READDIR}:
            _, offset, size = struct.unpack_from("<QQI", more)
            whole = self._contents[node] if call == READ else self._listing()
            return 0, whole[offset : offset + size]
        if call == STATFS:
            return 0, struct.pack("<5Q4I6I", 1000, 500, 500, 1000, 500, 4096, 255, 4096, 0, *[0] * 6)
        return (0, b"") if call in {RELEASE, FLUSH, RELEASEDIR} else (NOT_IMPLEMENTED, b"")

    def _attributes(self, node: int) -> bytes:
        size = len(self._contents.get(node, b""))
        mode = 0o40755 if node == ROOT else 0o100644
        return struct.pack("<6Q10I", node, size, size // 512 + 1, 1, 1, 1, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _listing(self) -> bytes:
        listing = b""
        for name, number in self._names.items():
            said = name.encode()
            padding = -len(said) % 8
            end = len(listing) + 24 + len(said) + padding
            listing += struct.pack("<QQII", number, end, len(said), 8) + said + bytes(padding)
        return listing


def main() -> None:
    folder = Path(sys.argv[1])
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"stalling", str(folder).encode(), b"fuse.stalling", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    system = FileSystem(device, files)
    try:
        serve(system, device)
    finally:
        libc.umount2(str(folder).encode(), 2)  # MNT_DETACH


def serve(system: FileSystem, device: int) -> None:
    selector = selectors.DefaultSelector()
    selector.register(device, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)
    print("mounted", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fd == device:
                system.hear(os.read(device, MOST))
            elif line := os.read(0, 200).decode():
                system.stall({number for name in line.split() for number in CALLS[name]})
                print(system.hanging, flush=True)
            else:
                return


if __name__ == "__main__":
    main()
