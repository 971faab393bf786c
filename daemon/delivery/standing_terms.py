"""Says whether what files were taken for still stands: the operator may have written other terms since, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from daemon.config_tables import AnyFolder, Folder, Replace
from daemon.delivery import terms
from daemon.models import Replacing
from daemon.proof.quality import Quality


class StandingTerms:
    """Holds on what terms originals are replaced, by the watched folders of today."""

    def __init__(self, folders: Iterable[AnyFolder]) -> None:
        self._folders = {folder.name: folder for folder in folders if isinstance(folder, Folder)}

    @property
    def replacing(self) -> Mapping[str, Replace]:
        """Returns the terms by the names of the folders that have any."""
        return {name: folder.replace for name, folder in self._folders.items() if folder.replace}

    def refusal(self, wish: Replacing, size: int, quality: Quality | None) -> str | None:
        """Returns in words why an output of so many bytes does not take the place of an original that was taken on the
        terms of the wish; None: it may, since it is as today's terms want it, too."""
        if words := self.gone(wish):
            return words
        asked = self._asked(wish)
        assert asked is not None
        if str(asked.trash) != wish.trash:
            return f"originals of the folder {wish.folder} go to another trash by now"
        if asked.min_saving > wish.min_saving or asked.min_vmaf > wish.min_vmaf:
            today = msgspec.structs.replace(wish, min_saving=asked.min_saving, min_vmaf=asked.min_vmaf)
            if words := terms.unmet(today, size, quality):
                return f"more is asked of the folder {wish.folder} by now than when it was taken, and {words}"
        return None

    def gone(self, wish: Replacing) -> str | None:
        """Returns in words why nothing is done any more to originals of its folder; None: they are replaced there."""
        if not any(str(folder.path) == wish.root for folder in self._folders.values()):
            return f"ffspool.toml names no folder any more that lies where {wish.folder} did"
        if self._asked(wish) is None:
            return f"ffspool.toml does not say `replace` of the folder {wish.folder} any more"
        return None

    def _asked(self, wish: Replacing) -> Replace | None:
        """The terms of the folder that lies there, whatever it is called by now; of several, of the one of its name."""
        there = [folder for folder in self._folders.values() if str(folder.path) == wish.root]
        named = [folder for folder in there if folder.name == wish.folder] or there
        return next((folder.replace for folder in named if folder.replace), None)
