"""A file system of one folder with files in it, by FUSE, that stops answering when it is told:
`stalling.py FOLDER [INODE]`, whose inodes are counted from that one on.

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

CALLS = {
    "stat": {1, 3}, "open": {14}, "read": {15}, "readdir": {27, 28}, "close": {25, 18},
    "write": {16, 35}, "fsync": {20, 30}, "rename": {12, 45},
}  # by FUSE's numbers  # fmt: skip
LOOKUP, FORGET, GETATTR, SETATTR, UNLINK, RENAME, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, FLUSH, INIT = (
    1, 2, 3, 4, 10, 12, 14, 15, 16, 17, 18, 20, 25, 26,
)  # fmt: skip
OPENDIR, READDIR, RELEASEDIR, FSYNCDIR, CREATE, RENAME2 = 27, 28, 29, 30, 35, 45
DONE = {RELEASE, FLUSH, RELEASEDIR, FSYNC, FSYNCDIR}
NO_REPLACE, SIZE = 1, 8  # of a rename, and of what is to be set
SILENT = {FORGET, 36, 42}  # forgetting and interrupts take no answer
ROOT, DIRECT_IO, NOT_IMPLEMENTED, NO_ENTRY, EXISTS = 1, 1, 38, 2, 17
REQUEST = struct.Struct("<IIQQIIII")
ANSWER = struct.Struct("<IiQ")
MOST = 1024 * 1024  # bytes of a request


class FileSystem:
    """Serves what lies in a real folder under its names, read at the start, and what is written beside it."""

    def __init__(self, device: int, files: dict[str, bytes], inode: int = 0) -> None:
        self._device = device
        self._inode = inode
        self._names = {name: number for number, name in enumerate(files, ROOT + 1)}
        contents = (bytearray(content) for content in files.values())
        self._contents = dict(zip(self._names.values(), contents, strict=True))
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
            found = self._names.get(_name(more))
            return (0, self._entry(found)) if found else (NO_ENTRY, b"")
        if call == GETATTR:
            return 0, struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if call in {OPEN, OPENDIR}:
            return 0, struct.pack("<QII", 0, DIRECT_IO if call == OPEN else 0, 0)
        if call in {READ, READDIR}:
            _, offset, size = struct.unpack_from("<QQI", more)
            whole = self._contents[node] if call == READ else self._listing()
            return 0, bytes(whole[offset : offset + size])
        if call == STATFS:
            return 0, struct.pack("<5Q4I6I", 10**6, 10**6, 10**6, 1000, 500, 4096, 255, 4096, 0, *[0] * 6)
        return (0, b"") if call in DONE else self._changed(call, node, more)

    def _changed(self, call: int, node: int, more: bytes) -> tuple[int, bytes]:
        if call == CREATE:
            made = self._names[_name(more[16:])] = max(self._contents, default=ROOT) + 1
            self._contents[made] = bytearray()
            return 0, self._entry(made) + struct.pack("<QII", 0, DIRECT_IO, 0)
        if call == WRITE:
            _, offset, size = struct.unpack_from("<QQI", more)
            self._contents[node][offset : offset + size] = more[40 : 40 + size]
            return 0, struct.pack("<II", size, 0)
        if call == SETATTR:
            valid, _, _, size = struct.unpack_from("<IIQQ", more)
            if valid & SIZE:
                self._contents[node] = self._contents[node][:size].ljust(size, b"\0")
            return 0, struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if call == UNLINK:
            return (0, b"") if self._names.pop(_name(more), None) else (NO_ENTRY, b"")
        if call in {RENAME, RENAME2}:
            flags = struct.unpack_from("<I", more, 8)[0] if call == RENAME2 else 0
            old, new, *_ = more[16 if call == RENAME2 else 8 :].split(b"\0")
            return self._renamed(old.decode(), new.decode(), flags)
        return NOT_IMPLEMENTED, b""

    def _renamed(self, old: str, new: str, flags: int) -> tuple[int, bytes]:
        if flags & NO_REPLACE and new in self._names:
            return EXISTS, b""
        self._names[new] = self._names.pop(old)
        return 0, b""

    def _entry(self, node: int) -> bytes:
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self._attributes(node)

    def _attributes(self, node: int) -> bytes:
        size = len(self._contents.get(node, b""))
        mode = 0o40755 if node == ROOT else 0o100644
        return struct.pack(
            "<6Q10I", self._inode + node, size, size // 512 + 1, 1, 1, 1, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
        )

    def _listing(self) -> bytes:
        listing = b""
        for name, number in self._names.items():
            said = name.encode()
            padding = -len(said) % 8
            end = len(listing) + 24 + len(said) + padding
            listing += struct.pack("<QQII", number, end, len(said), 8) + said + bytes(padding)
        return listing


def _name(said: bytes) -> str:
    return said.rstrip(b"\0").decode()


def main() -> None:
    folder = Path(sys.argv[1])
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"stalling", str(folder).encode(), b"fuse.stalling", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    system = FileSystem(device, files, *map(int, sys.argv[2:]))
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
