"""Sweeps to make ensembles and soups of: a checkpoint, runs that begin at it, and some that don't fit to them."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from outcome import TINY

BASICS = [TINY, "data.size=16", "tracking=none", "trainer.threads=1", "trainer.precision=fp32"]
GRID = ["trainer.epochs=1", "optimizer.lr=2e-3,4e-3", "seed=0,1", "sweep.name=tuned"]


def door(root: Path, *arguments: str) -> int:
    """`python train.py ARGUMENTS` in this process, with outputs in `root`; gives the exit code."""
    import train as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(ROOT / "train.py"), f"sweep.root={root}", *arguments])
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setenv("FINEGRID_CACHE", str(root / "cache"))
        return module.main()


def begun_at(root: Path) -> list[str]:
    """The words that let a run begin at the checkpoint."""
    (checkpoint,) = (root / "base").glob("*/seed=0")
    return ["weights=checkpoint", f"weights.path={checkpoint}"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """outputs/base: the checkpoint. outputs/tuned: four runs from it, one from nowhere, one on another split."""
    root = tmp_path_factory.getbasetemp() / "merging"  # once for all modules that ask
    if (root / "made").exists():
        return root
    assert door(root, *BASICS, "trainer.epochs=3", "optimizer.lr=0.01", "sweep.name=base") == 0
    assert door(root, "-m", *BASICS, *begun_at(root), *GRID) == 0
    one = [*BASICS, "trainer.epochs=1", "sweep.name=tuned"]
    assert door(root, *one, "optimizer.lr=2e-3") == 0
    assert door(root, *one, *begun_at(root), "data.split_seed=1") == 0
    (root / "made").touch()
    return root


@pytest.fixture
def tuned(made: Path, tmp_path: Path) -> Path:
    """A copy of outputs/tuned, to do with it what one likes."""
    shutil.copytree(made, tmp_path / "outputs")
    return tmp_path / "outputs/tuned"


@pytest.fixture(scope="session")
def folded(made: Path) -> Path:
    """outputs/folded: two folds, two seeds each, from the checkpoint."""
    folds = ["data.folds=2", "data.fold=0,1", "trainer.epochs=1", "optimizer.lr=2e-3", "seed=0,1", "sweep.name=folded"]
    assert door(made, "-m", *BASICS, *begun_at(made), *folds) == 0
    return made / "folded"


def stored(folder: Path, split: str, prefix: str = "") -> dict[str, np.ndarray]:
    """id, label and logits."""
    with np.load(folder / f"{prefix}predictions_{split}.npz", allow_pickle=False) as content:
        return dict(content)


def accuracy(content: dict[str, np.ndarray]) -> float:
    """In per cent."""
    return float(100 * (content["logits"].argmax(1) == content["label"]).mean())
