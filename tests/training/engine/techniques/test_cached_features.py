"""trainer.cache_features: frozen layers see each image once, and the run comes to the same."""

from pathlib import Path

import numpy as np
import pytest
from conftest import QUICK, Door
from outcome import TINY, history_of, only_run, outcome, record_of

CACHED = ["trainer.cache_features=true", "augment=none"]
STILL = [*QUICK, TINY, "data.size=16", "trainer.precision=fp32", "debug.max_steps=null", "trainer.epochs=4"]


@pytest.mark.parametrize(
    "more",
    [
        ["trainer.freeze_epochs=all"],
        ["trainer.freeze_epochs=2", "trainer.ema=0.5", "data.sampling=balanced", "trainer.accumulate=2"],
        ["trainer.freeze_epochs=2", "trainer.tta=flip", "trainer.probe=true", "optimizer=sgd"],
    ],
)
def test_result_is_that_without_it(train: Door, tmp_path: Path, more: list[str]) -> None:
    folders = []
    for cached in ("true", "false"):
        done = train(*STILL, *more, f"trainer.cache_features={cached}", f"sweep.name={cached}")
        assert done.code == 0, done.err
        assert ("features of the frozen layers" in done.out) is (cached == "true")
        folders.append(only_run(tmp_path / "outputs" / cached))
    one, other = folders
    assert one.parent.name != other.parent.name, "another identity"
    frozen = record_of(one)["config"]["trainer"]["freeze_epochs"]
    rows = [history_of(folder)[: 4 if frozen == "all" else frozen] for folder in folders]
    for mine, known in zip(*rows, strict=True):
        for key in ("lr", "train_loss", "train_acc", "val_loss", "val_acc", "grad_norm"):
            assert mine[key] == pytest.approx(known[key], rel=1e-3, abs=1e-4), key
    if frozen == "all":
        logits = [np.load(folder / "predictions_test.npz")["logits"] for folder in folders]
        np.testing.assert_allclose(*logits, atol=1e-3)
    else:
        assert history_of(one)[-1]["val_loss"] == pytest.approx(history_of(other)[-1]["val_loss"], rel=0.05)


def test_network_sees_each_image_once_in_the_frozen_epochs(train: Door, tmp_path: Path) -> None:
    """`at` counts training batches that the whole network sees: none in two frozen epochs, so that it breaks in the
    first batch of the third."""
    (tmp_path / "stop").write_text("break")
    stopping = [f"+model.kwargs.stop={tmp_path / 'stop'}", "+model.kwargs.at=1", "trainer.freeze_epochs=2"]
    assert train(*STILL, *stopping, *CACHED).code == 1
    assert len(history_of(only_run(tmp_path / "outputs"))) == 2


@pytest.mark.slow
def test_run_resumes_to_the_bit(train: Door, tmp_path: Path) -> None:
    """The run breaks where it thaws, in the first batch that the whole network sees."""
    arguments = [*STILL, *CACHED, "trainer.freeze_epochs=2", "trainer.ema=0.5"]
    arguments += [f"+model.kwargs.stop={tmp_path / 'stop'}", "+model.kwargs.at=1"]
    assert train(*arguments, "sweep.name=whole").code == 0
    (tmp_path / "stop").write_text("break")
    assert train(*arguments, "sweep.name=broken").code == 1
    (tmp_path / "stop").unlink()
    assert train(*arguments, "sweep.name=broken").code == 0
    assert outcome(only_run(tmp_path / "outputs" / "whole")) == outcome(only_run(tmp_path / "outputs" / "broken"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "trainer.cache_features needs frozen layers: trainer.freeze_epochs=all, or a number of epochs"),
        (
            ["trainer.freeze_epochs=1", "augment.flip=0.5", "augment.mixup=0.2"],
            "needs images that look the same in every epoch; leave out augment.flip, augment.mixup",
        ),
        (
            ["trainer.freeze_epochs=all", "model=torchvision", "model.name=squeezenet1_1", "data.size=64"],
            "trainer.cache_features needs a linear layer with a bias as head; SqueezeNet has classifier.1",
        ),
        (["trainer.freeze_epochs=most"], "trainer.freeze_epochs=most: expected 0 or more, or all"),
    ],
)
def test_where_it_cannot_be_is_one_line(train: Door, more: list[str], message: str) -> None:
    result = train("trainer.cache_features=true", *more)
    assert result.code == 2 and message in result.err, result.err


def test_a_sweep_leaves_out_what_cannot_be(train: Door, tmp_path: Path) -> None:
    """Augmentation is one of its values, and is no mistake of the others."""
    more = ["trainer.freeze_epochs=all", "trainer.cache_features=true", "augment=none,flip", "sweep.impossible=skip"]
    result = train("-m", *STILL, *more, "hydra.launcher.slots=1")
    assert result.code == 0, result.err
    assert record_of(only_run(tmp_path / "outputs"))["config"]["augment"]["flip"] == 0
