"""Finds what opens a bucket: read anew whenever it is needed, kept nowhere, and told to the store alone.

It is in the file that the profile names; else in one that systemd's `LoadCredential=bucket-NAME:…` brings; else the
store looks for it itself where its provider's own tools do, as in `AWS_ACCESS_KEY_ID` or what a machine is told by its
cloud.
"""

from __future__ import annotations

import configparser
import json
from collections.abc import Iterable, Mapping
from importlib import util

from daemon.config_tables import Bucket
from daemon.errors import StartupError
from daemon.settings import key_in_environment

WANTED = {"s3": {"access_key_id", "secret_access_key"}, "az": {"account_name"}}
KNOWN = {
    "s3": {*WANTED["s3"], "session_token"},
    "az": {*WANTED["az"], "account_key", "sas_key", "client_id", "client_secret", "tenant_id"},
}
PREFIXES = ("aws_", "azure_storage_", "azure_")
TOP = "-"  # stands for lines before any section
MOST_BYTES = 64 * 1024


def credentials(bucket: Bucket) -> dict[str, str]:
    """Returns what the store is told, by its names for it; nothing where it is to look itself.

    Raises StartupError, in words that hold nothing of the file but its path.
    """
    path = bucket.credentials
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES).decode()
        found = _of_google(text) if bucket.scheme == "gs" else _of_lines(text, bucket)
    except OSError as error:
        words = f"{path} cannot be read: {error.strerror}"
    except (ValueError, configparser.Error):
        words = f"{path} holds no {_sort(bucket)}"
    else:
        if (preferred := _preferred(found)) is None:
            return found
        words = f"{preferred} would be sent in place of what {path} holds: take it out of the environment"
    raise StartupError(f"In {bucket.place}: the credentials of the bucket {bucket.name}: {words}")


def _preferred(found: Mapping[str, str]) -> str | None:
    """The variable of which the client of stores makes use rather than of these; it may be for another store."""
    is_by_name = "client_secret" in found and found.keys().isdisjoint({"account_key", "sas_key"})
    return key_in_environment("AZURE_STORAGE_") if is_by_name else None


def _sort(bucket: Bucket) -> str:
    if bucket.scheme == "gs":
        return "key of a service account, as JSON"
    return f"lines such as {' and '.join(f'{name} = …' for name in sorted(WANTED[bucket.scheme]))}"


def _of_google(text: str) -> dict[str, str]:
    if not isinstance(json.loads(text), dict):
        raise ValueError
    return {"service_account_key": text}


def _of_lines(text: str, bucket: Bucket) -> dict[str, str]:
    """Those of the section of the profile's name, as in `~/.aws/credentials`; else of `default`, or of none."""
    parser = configparser.RawConfigParser(default_section=TOP, interpolation=None)
    parser.read_string(f"[{TOP}]\n{text}")
    section = next((name for name in (bucket.name, "default") if parser.has_section(name)), TOP)
    said = {_plain(name): value for name, value in parser.items(section)}
    found = {name: said[name] for name in KNOWN[bucket.scheme] & said.keys() if said[name]}
    if WANTED[bucket.scheme] - found.keys():
        raise ValueError
    return found


def _plain(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


def check(buckets: Iterable[Bucket]) -> None:
    """Raises StartupError for a bucket whose credentials cannot be read, or if no client of stores is installed."""
    for bucket in buckets:
        if util.find_spec("obstore") is None:
            raise StartupError(f"In {bucket.place}: buckets need one more package: pip install 'ffspool[buckets]'")
        credentials(bucket)
