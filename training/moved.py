"""Modules of version 0.1.0 by the names that they had before they were sorted into rooms, for code of users' own.

`from training.images import load_image` still works, with a DeprecationWarning; it is training.data.decoding itself.
"""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "training.batches": "training.data.batches",
    "training.cache": "training.data.pixel_cache",
    "training.dataset": "training.data.dataset",
    "training.images": "training.data.decoding",
    "training.index": "training.data.integrity",
    "training.listing": "training.data.image_folder",
    "training.splits": "training.data.splits",
    "training.store": "training.data.image_store",
    "training.weights": "training.models.weights",
    "training.layers": "training.models.layers",
    "training.loop": "training.engine.loop",
    "training.optimize": "training.engine.optimizer",
    "training.prepare": "training.engine.prepare",
    "training.run": "training.engine.run",
    "training.session": "training.engine.session",
}


class _Moved(MetaPathFinder, Loader):
    """Finds a moved module under its old name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, MOVED[module.__name__]
        warnings.warn(f"{old} is {new} now", DeprecationWarning, stacklevel=2)
        sys.modules[old] = importlib.import_module(new)  # which is what the import statement gets


def install() -> None:
    """Let Python find them; they are imported when they are asked for."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
