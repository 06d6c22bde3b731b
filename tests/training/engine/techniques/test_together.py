"""All techniques of fine-tuning at once, with networks of both families, killed in mid-run."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import QUICK, ROOT, Door
from outcome import history_of, only_run, outcome, record_of
from safetensors.torch import save_file

from training.config import ModelConfig
from training.models.build import build_model

pytestmark = pytest.mark.slow

FAMILIES = {
    "torchvision": (ModelConfig(name="resnet18"), ["model=resnet18"]),
    "timm": (
        ModelConfig("training.models.timm_models.Timm", "convnext_atto", accepts=["name"]),
        ["model=timm", "model.name=convnext_atto"],
    ),
}
EVERYTHING = [
    *("trainer.probe=true", "trainer.wise=true", "trainer.tta=flip", "trainer.freeze_epochs=2", "trainer.ema=0.9"),
    *("trainer.cache_features=true", "optimizer=muon", "optimizer.head_lr_factor=10", "optimizer.layer_decay=0.8"),
    *("data.size=32", "data.test_size=40", "trainer.epochs=6", "weights=checkpoint", "trainer.save_every_s=0"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", [1, 4])
def test_run_that_was_killed_comes_to_the_same(train: Door, tmp_path: Path, family: str, rows: int) -> None:
    """Killed while frozen, and after it thawed. (A run that is over before it can be killed shows nothing.)"""
    config, chosen = FAMILIES[family]
    torch.manual_seed(1)
    save_file(build_model(config, 10).state_dict(), tmp_path / "start.safetensors")
    command = [*QUICK, *chosen, *EVERYTHING, f"weights.path={tmp_path / 'start.safetensors'}"]
    killed = tmp_path / "outputs" / "killed"
    arguments = [f"sweep.root={tmp_path / 'outputs'}", *command, "sweep.name=killed"]
    environment = {**os.environ, "FINEGRID_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen([sys.executable, "train.py", *arguments], cwd=ROOT, env=environment)
    while process.poll() is None and not any(_rows(file) >= rows for file in killed.rglob("history.csv")):
        time.sleep(0.02)
    process.kill()
    process.wait()
    for name in ("killed", "whole"):
        done = train(*command, f"sweep.name={name}")
        assert done.code == 0, done.err
    assert outcome(only_run(killed)) == outcome(only_run(tmp_path / "outputs" / "whole"))
    resolved = record_of(only_run(killed))["resolved"]
    assert resolved["probe_c"] > 0 and 0 <= resolved["wise_alpha"] <= 1
    assert len(history_of(only_run(killed))) == 6


def _rows(file: Path) -> int:
    return len(file.read_text().splitlines()) - 1
