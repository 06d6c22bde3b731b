"""Modules by the names that they had before they were sorted into rooms: configs, run folders and users' own code hold
those. `training.images` is training.data.files.decoding itself, found when it is asked for.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

MOVED = {
    "training.torchvision_sets": "training.data.torchvision_sets",
    "training.batches": "training.data.batches",
    "training.cache": "training.data.pixel_cache",
    "training.dataset": "training.data.dataset",
    "training.images": "training.data.files.decoding",
    "training.index": "training.data.integrity",
    "training.listing": "training.data.image_folder",
    "training.splits": "training.data.splits",
    "training.store": "training.data.image_store",
    "training.weights": "training.models.weights",
    "training.layers": "training.models.layers",
    "training.loop": "training.engine.loop",
    "training.optimize": "training.engine.optimizer",
    "training.prepare": "training.engine.prepare",
    "training.identity": "training.engine.identity",
    "training.run": "training.engine.run",
    "training.session": "training.engine.session",
    "training.code_version": "training.provenance.code_version",
}


class _Moved(MetaPathFinder, Loader):
    """Finds a moved module under its old name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        sys.modules[name] = importlib.import_module(MOVED[name])  # which is what the import statement gets

    def get_code(self, fullname: str) -> CodeType:
        """What `python -m` runs."""
        run = f"import runpy; runpy.run_module({MOVED[fullname]!r}, run_name='__main__', alter_sys=True)"
        return compile(run, fullname, "exec")


def install() -> None:
    """Let Python find them; they are imported when they are asked for."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())
