"""Says whether what files were taken for still stands: the operator may have written other terms since, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from daemon.config_tables import AnyFolder, Folder, Replace
from daemon.models import Replacing


class StandingTerms:
    """Holds on what terms originals are replaced, by the watched folders of today."""

    def __init__(self, folders: Iterable[AnyFolder]) -> None:
        self._folders = {folder.name: folder for folder in folders if isinstance(folder, Folder)}

    @property
    def replacing(self) -> Mapping[str, Replace]:
        """Returns the terms by the names of the folders that have any."""
        return {name: folder.replace for name, folder in self._folders.items() if folder.replace}

    def refusal(self, wish: Replacing) -> str | None:
        """Returns in words why an original that was taken on the terms of the wish is not touched; None: it may be."""
        if words := self.gone(wish):
            return words
        terms = self.replacing[wish.folder]
        if terms.min_saving > wish.min_saving or terms.min_vmaf > wish.min_vmaf:
            return f"more is asked of the folder {wish.folder} by now than when it was taken"
        if str(terms.trash) != wish.trash:
            return f"originals of the folder {wish.folder} go to another trash by now"
        return None

    def gone(self, wish: Replacing) -> str | None:
        """Returns in words why nothing is done any more to originals of its folder; None: they are replaced there."""
        folder = self._folders.get(wish.folder)
        if folder is None or str(folder.path) != wish.root:
            return f"ffspool.toml names no folder {wish.folder} any more that lies where that did"
        if folder.replace is None:
            return f"ffspool.toml does not say `replace` of the folder {wish.folder} any more"
        return None
