"""trainer.techniques: what is added to training from outside, and that finegrid's own are found the same way."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import Door, run_folders
from mending import MOVING, unbroken_and_mended
from outcome import history_of, only_run, outcome, record_of

from training.config import RunConfig, TrainerConfig
from training.engine.techniques import active_techniques
from training.schema.data_config import AugmentConfig

NOISE = "{_target_: own_training.GradientNoise, scale: 0.01}"
MEAN, MIRROR = "{_target_: own_training.Mean}", "{_target_: own_training.Mirror}"


def test_techniques_are_active_where_the_config_asks_for_them() -> None:
    assert active_techniques(RunConfig()) == {}
    trainer = TrainerConfig(ema=0.9, freeze_epochs=1, techniques=[{"_target_": "own_training.Mean"}])
    config = RunConfig(trainer=trainer, augment=AugmentConfig(mixup=0.2))
    assert list(active_techniques(config)) == ["average", "freeze", "mixup", "technique_0"]


def test_gradient_noise(train: Door, tmp_path: Path) -> None:
    """It is part of the identity where it is used, and the size of the noise is in the gradient norm. (One step an
    epoch: the noise takes random numbers, so that those of dropout are others in the next.)"""
    lines = {"plain": "", "none": "[]", "still": f"[{NOISE.replace('0.01', '0.0')}]", "loud": f"[{NOISE}]"}
    for name, given in lines.items():
        done = train(
            *MOVING, "debug.max_steps=1", *([f"trainer.techniques={given}"] if given else []), f"sweep.name={name}"
        )
        assert done.code == 0, done.err
    folders = {name: only_run(tmp_path / "outputs" / name) for name in lines}
    assert folders["plain"].parent.name == folders["none"].parent.name
    assert len({folder.parent.name for folder in folders.values()}) == 3
    assert outcome(folders["plain"]) == outcome(folders["none"])
    first = {name: history_of(folder)[0] for name, folder in folders.items()}
    assert first["plain"]["train_loss"] == pytest.approx(first["still"]["train_loss"], rel=1e-6)
    assert first["plain"]["grad_norm"] == pytest.approx(first["still"]["grad_norm"], rel=1e-6)
    parameters = record_of(folders["plain"])["params"]
    expected = (first["plain"]["grad_norm"] ** 2 + parameters * 0.01**2) ** 0.5
    assert first["loud"]["grad_norm"] == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_resumed_run_keeps_their_states(train: Door, tmp_path: Path) -> None:
    unbroken, _ = unbroken_and_mended(train, tmp_path, f"trainer.techniques=[{NOISE},{MEAN},{MIRROR}]")
    assert train(*MOVING, f"trainer.techniques=[{NOISE},{MIRROR}]", "sweep.name=without").code == 0
    without = only_run(tmp_path / "outputs" / "without")
    for row, other in zip(history_of(unbroken), history_of(without), strict=True):
        assert row["train_loss"] == other["train_loss"], "training doesn't notice the mean"
        assert row["val_loss"] != other["val_loss"]


def test_a_network_in_place_of_the_trained_one_is_validated_and_kept(train: Door, tmp_path: Path) -> None:
    """The mean over the steps of one step is what training came to; over several it isn't."""
    kept = {}
    for steps in (1, 8):
        for name, more in (("plain", []), ("mean", [f"trainer.techniques=[{MEAN}]"])):
            once = ["trainer.epochs=1", f"debug.max_steps={steps}", "scheduler=none", f"sweep.name={name}{steps}"]
            assert train(*MOVING, *once, *more).code == 0
            folder = only_run(tmp_path / "outputs" / f"{name}{steps}")
            kept[name, steps] = safetensors.torch.load_file(folder / "best.safetensors")["head.weight"]
    torch.testing.assert_close(kept["plain", 1], kept["mean", 1])
    assert not torch.allclose(kept["plain", 8], kept["mean", 8], atol=1e-4)


def test_batches_are_changed_also_for_the_range_test(train: Door, tmp_path: Path) -> None:
    lines = [*MOVING, "augment=none", "optimizer.lr=auto"]
    for name, given in (("plain", []), ("mirror", [f"trainer.techniques=[{MIRROR}]"])):
        assert train(*lines, *given, f"sweep.name={name}").code == 0
    plain, mirror = (only_run(tmp_path / "outputs" / name) for name in ("plain", "mirror"))
    losses = [
        [line.split(",")[1] for line in (folder / "lr_find.csv").read_text().splitlines()] for folder in (plain, mirror)
    ]
    first = 1 + 17  # the title, and the batches of the first epoch
    assert losses[0][:first] == losses[1][:first] and losses[0] != losses[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[{scale: 1}]", "trainer.techniques[0]: expected {_target_: module.class} and its arguments"),
        ("[{_target_: own_training.Gradient}]", "did you mean own_training.GradientNoise?"),
        ("[{_target_: own_training.GradientNoise}]", "GradientNoise refuses these settings"),
        ("[{_target_: own_training.GradientNoise, scale: -1}]", "ValueError: scale is below 0"),
        ("[{_target_: own_training.top, predictions: 1}]", "trainer.techniques[0]: own_training.top"),
        (
            f"[{MEAN},{{_target_: torch.nn.ReLU}}]",
            "trainer.techniques[1]: torch.nn.ReLU gave a ReLU, expected",
        ),
    ],
)
def test_mistakes_are_told_before_the_run(train: Door, tmp_path: Path, given: str, message: str) -> None:
    result = train(*MOVING, f"trainer.techniques={given}")
    assert result.code == 2 and message in result.err, result.err
    assert result.err.count("\n") == 1 and not (tmp_path / "outputs").exists()


def test_two_networks_to_validate_are_refused(train: Door, tmp_path: Path) -> None:
    result = train(*MOVING, f"trainer.techniques=[{MEAN}]", "trainer.ema=0.9")
    assert result.code == 2 and "several techniques each have a network to be validated" in result.err
    assert len(run_folders(tmp_path / "outputs")) <= 1
