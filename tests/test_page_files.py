"""The page's files: sent as what they are, cached by what they hold, small, and those of others unchanged."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import httpx
import pytest
from conftest import Daemon

from daemon.api.assets import FOLDER

MOST_BYTES = 68 * 1024  # of all JavaScript, compressed
VENDORS = [FOLDER / "vendor", Path(__file__).parent / "vendor"]


@pytest.fixture
def stranger(daemon: Daemon) -> httpx.Client:
    """A client that has no token."""
    return httpx.Client(base_url=daemon.url, trust_env=False, verify=False)


def named_in(index: str) -> list[str]:
    return sorted(set(re.findall(r'"\.(/web/[^"]+)"', index)))


def test_the_page_and_all_it_names_is_sent_to_anybody(stranger: httpx.Client) -> None:
    with stranger:
        index = stranger.get("/")
        assert index.headers["cache-control"] == "no-cache"
        types = {}
        for path in named_in(index.text):
            answer = stranger.get(path)
            assert answer.status_code == 200, path
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            types[Path(path).suffix] = answer.headers["content-type"].partition(";")[0]
        kinds = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
        assert types == kinds


def test_what_a_browser_has_is_not_sent_again(stranger: httpx.Client) -> None:
    with stranger:
        for path in ("/", named_in(stranger.get("/").text)[0]):
            first = stranger.get(path)
            again = stranger.get(path, headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            for name in ("Content-Security-Policy", "Cache-Control", "ETag", "Vary"):
                assert again.headers[name] == first.headers[name], "a browser puts these in place of what it keeps"
            assert stranger.get(path, headers={"Accept-Encoding": "identity"}).content == stranger.get(path).content


def test_nothing_but_the_pages_files_is_sent(stranger: httpx.Client) -> None:
    with stranger:
        base = named_in(stranger.get("/").text)[0].rsplit("/", 1)[0]
        for name in ("index.html", "vendor/VENDOR", "../api/page.py", "..%2fapi%2fpage.py", "nothing.js", ""):
            assert stranger.get(f"{base}/{name}").status_code in {401, 404}, name


def test_the_policy_lets_in_nothing_but_our_own(stranger: httpx.Client) -> None:
    with stranger:
        policy = stranger.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert policy.count("'sha256-") == 1  # the import map


def test_all_javascript_is_small_as_it_is_sent(stranger: httpx.Client) -> None:
    names = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*js") if path.name != "docs.js"]
    with stranger:
        sizes = {name: sent_bytes(stranger, f"/web/{name}") for name in names}
    assert "vendor/tus.mjs" in sizes
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def sent_bytes(client: httpx.Client, path: str) -> int:
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        return len(b"".join(answer.iter_raw()))


@pytest.mark.parametrize("folder", VENDORS, ids=lambda folder: folder.parent.name)
def test_files_of_others_are_unchanged_and_have_their_licence(folder: Path) -> None:
    rows = [
        line.split("  ") for line in (folder / "VENDOR").read_text().splitlines() if re.match("[0-9a-f]{64}  ", line)
    ]
    told = {name: digest for digest, name, *_ in rows}
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    there.pop("VENDOR")
    assert there == told
    packages = {package for _, _, package, *_ in rows}
    assert packages == {package for _, name, package, *_ in rows if name.startswith("LICENSE")}
