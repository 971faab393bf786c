"""Says whether what files were taken for still stands: the operator may have written other terms since, or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from daemon.config_tables import AnyFolder, Folder, Replace
from daemon.delivery import rules, terms
from daemon.media.model import Media
from daemon.models import Replacing
from daemon.proof.quality import Quality


class StandingTerms:
    """Holds on what terms originals are replaced, by the watched folders of today."""

    def __init__(self, folders: Iterable[AnyFolder], *, now: Callable[[], float] = time.time) -> None:
        self._folders = {folder.name: folder for folder in folders if isinstance(folder, Folder)}
        self._now = now

    @property
    def replacing(self) -> Mapping[str, Replace]:
        """Returns the terms by the names of the folders that have any."""
        return {name: folder.replace for name, folder in self._folders.items() if folder.replace}

    def refusal(self, wish: Replacing, size: int, quality: Quality | None, media: Media | None) -> str | None:
        """Returns in words why an output of so many bytes does not take the place of an original that was taken on the
        terms of the wish, and holds `media`; None: it may, since it is as today's terms want it, too."""
        if words := self.gone(wish):
            return words
        folder = self._folder(wish)
        assert folder is not None and folder.replace is not None
        asked = folder.replace
        if words := rules.unwanted(folder, wish.name, wish.bytes, media):
            return words
        if str(asked.trash) != wish.trash:
            return f"originals of the folder {wish.folder} go to another trash by now"
        if asked.min_saving > wish.min_saving or asked.min_vmaf > wish.min_vmaf:
            today = msgspec.structs.replace(wish, min_saving=asked.min_saving, min_vmaf=asked.min_vmaf)
            if words := terms.unmet(today, size, quality):
                return f"more is asked of the folder {wish.folder} by now than when it was taken, and {words}"
        return None

    def gone(self, wish: Replacing) -> str | None:
        """Returns in words why nothing is done any more to that original; None: such are replaced there."""
        if not any(str(folder.path) == wish.root for folder in self._folders.values()):
            return f"ffspool.toml names no folder any more that lies where {wish.folder} did"
        folder = self._folder(wish)
        if folder is None:
            return f"ffspool.toml does not say `replace` of the folder {wish.folder} any more"
        return rules.left_out(folder, wish.name)

    def elsewhere(self, root: str) -> list[Path]:
        """Returns where watched folders lie that replace, if none lies at that path any more."""
        paths = [folder.path for folder in self._folders.values()]
        if any(str(path) == root for path in paths):
            return []
        return [folder.path for folder in self._folders.values() if folder.replace]

    def trash(self, wish: Replacing) -> str:
        """Returns where originals of its folder are moved to by now; where nothing is replaced any more, where they
        were."""
        folder = self._folder(wish)
        return str(folder.replace.trash) if folder and folder.replace else wish.trash

    def too_young(self, wish: Replacing) -> str | None:
        """Returns in words why an original waits; None: it does not, or nothing is done to it any more."""
        folder = self._folder(wish)
        return rules.too_young(folder, wish.modified, self._now()) if folder else None

    def _folder(self, wish: Replacing) -> Folder | None:
        """That which lies there and replaces, whatever it is called by now; of several, that of its name."""
        there = [folder for folder in self._folders.values() if str(folder.path) == wish.root]
        named = [folder for folder in there if folder.name == wish.folder] or there
        return next((folder for folder in named if folder.replace), None)
