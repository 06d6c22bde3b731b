"""Whole runs whose steps are recorded, where there is no GPU: a tape stands for CUDA graphs, and memory for a GPU's
copy of the images. What a GPU makes of the same is in test_gpu_capture.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, Door
from mending import unbroken_and_mended
from outcome import TINY, outcome
from tape import Tape

import training.engine.prepare
import training.engine.session
from training.data.image_store import ImageStore
from training.device import Compute, resolve_compute

SHORT = [*QUICK, "trainer.epochs=4", "debug.max_steps=3", "data.val_fraction=0.05", "data.test_fraction=0.05"]
SHORT += ["augment=standard"]


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> list[Tape]:
    """What was recorded, from here on."""
    made: list[Tape] = []

    def recorder() -> Tape:
        made.append(Tape())
        return made[-1]

    def captures(config: Any, *more: Any) -> Compute:
        return replace(resolve_compute(config, *more), capture=config.capture == "auto")

    def resident(self: ImageStore, device: str) -> Any:
        return self.copied_to(device)

    monkeypatch.setattr(training.engine.prepare, "resolve_compute", captures)
    monkeypatch.setattr(training.engine.session, "CudaRecorder", recorder)
    monkeypatch.setattr(ImageStore, "on_device", resident)
    return made


@pytest.mark.parametrize(
    "case",
    [
        ["trainer.ema=0.9", "trainer.freeze_epochs=1", "trainer.clip_norm=1.0"],
        ["trainer.accumulate=2", "augment.mixup=0.2", "trainer.precision=bf16"],
        ["augment.erasing=0.5", "optimizer.layer_decay=0.7", "scheduler=onecycle"],
        ["trainer.tta=flip", "data.test_size=12", "optimizer.head_lr_factor=5", "trainer.ema=0.9"],
        ["optimizer=muon", "trainer.probe=true", "trainer.freeze_epochs=1"],
    ],
)
def test_a_captured_run_is_the_plain_one(train: Door, tmp_path: Path, tapes: list[Tape], case: list[str]) -> None:
    found = {}
    for capture in ("auto", "false"):
        result = train(*SHORT, TINY, *case, f"trainer.capture={capture}", f"sweep.name=capture_{capture}")
        assert result.code == 0, result.err
        (folder,) = (tmp_path / "outputs" / f"capture_{capture}").glob("*/*")
        found[capture] = outcome(folder)
        del found[capture]["record"]["config"]["trainer"]["capture"]
        assert [tape.replayed > 3 for tape in tapes] == [True, True], "training and validation"
    assert found["auto"] == found["false"]


def test_a_captured_run_goes_on_to_the_bit(train: Door, tmp_path: Path, tapes: list[Tape]) -> None:
    unbroken_and_mended(train, tmp_path, "trainer.ema=0.9")
    assert len(tapes) >= 4 and sum(tape.replayed for tape in tapes) > 10


@pytest.mark.parametrize("kind", ["looks", "draws"])
def test_a_network_that_cannot_be_captured_trains_plainly(
    train: Door, tmp_path: Path, tapes: list[Tape], kind: str
) -> None:
    network = ["model._target_=own_parts.uncapturable", f"+model.kwargs.kind={kind}"]
    result = train(*SHORT, *network)
    assert result.code == 0, result.err
    assert result.out.count("no CUDA graphs: ") == 1
    assert sum(tape.replayed for tape in tapes) == 0 and "best epoch" in result.out
