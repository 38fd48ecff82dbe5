"""Actor code loaded from zip files at run time, as Thespian's sources: load, validate, notify, unload.

Off unless some actor registers as the source authority: without one nothing is ever validated, hence nothing loaded.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thespian.actors import ActorAddress, LoadedSource, UnloadedSource, ValidatedSource, ValidateSource
from thespian.system.sourceLoader import SourceHashFinder, loadModuleFromHashSource

if TYPE_CHECKING:
    from supervision.bases.core import ActorCore

_SOURCES_MAX = 64

_log = logging.getLogger(__name__)


class SourceShelf:
    """The validated sources of one base, by hash."""

    def __init__(self, base: ActorCore) -> None:
        self._base = base
        self._zips: dict[str, Any] = {}
        self._notified: list[str] = []
        self.authority: ActorAddress | None = None

    def loader(self, source_hash: str) -> Callable[[str, str], type[Any]]:
        """A function from module and class name to the class in this source."""
        return partial(loadModuleFromHashSource, source_hash, self._zips)

    def load(self, source: Any) -> str:
        """Offer a zip (a path, or a binary file) to the source authority; returns its hash at once."""
        if hasattr(source, "read"):
            data = source.read()
            source.close()
        else:
            data = Path(source).read_bytes()
        source_hash = hashlib.md5(data, usedforsecurity=False).hexdigest()  # Thespian's name for a source
        if self.authority is not None:
            self._base.send_from_system(self.authority, ValidateSource(source_hash, data))
        return source_hash

    def validated(self, msg: ValidatedSource) -> None:
        """The authority answered: shelve the source if its zip can be read."""
        if not msg.sourceZip or len(self._zips) >= _SOURCES_MAX:
            _log.warning("source %s is not loaded: %s", msg.sourceHash, "shelf full" if msg.sourceZip else "refused")
            return
        try:
            SourceHashFinder(msg.sourceHash, lambda data: data, msg.sourceZip).getZipNames()
        except Exception:  # noqa: BLE001 - whatever a corrupt zip raises
            _log.exception("source %s is corrupt", msg.sourceHash)
            return
        self._zips[msg.sourceHash] = msg.sourceZip
        for name in self._notified:
            self._base.send_from_system(ActorAddress(name), LoadedSource(msg.sourceHash, ""))

    def unload(self, source_hash: str) -> None:
        """Forget a source and the modules imported from it."""
        if self._zips.pop(source_hash, None) is not None:
            for name in self._notified:
                self._base.send_from_system(ActorAddress(name), UnloadedSource(source_hash, ""))
        for finder in [found for found in sys.meta_path if getattr(found, "srcHash", None) == source_hash]:
            assert isinstance(finder, SourceHashFinder)
            for module in [name for name in sys.modules if name and name.startswith(finder.hashRoot())]:
                del sys.modules[module]
            sys.meta_path.remove(finder)

    def unload_all(self) -> None:
        """Forget every source."""
        for source_hash in list(self._zips):
            self.unload(source_hash)

    def notify(self, name: str, enable: bool) -> None:
        """Tell this actor of sources loaded and unloaded from now on, starting with those on the shelf."""
        if name in self._notified:
            self._notified.remove(name)
        if enable:
            self._notified.append(name)
            for source_hash in self._zips:
                self._base.send_from_system(ActorAddress(name), LoadedSource(source_hash, ""))
