"""trainer.ema: the average follows its formula, it is what is validated and kept, and training doesn't notice it."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import Door
from mending import MOVING, unbroken_and_mended
from outcome import history_of, only_run, outcome
from own_parts import tiny
from torch import Tensor

from training.engine.techniques.ema import Average

pytestmark = pytest.mark.slow


def test_average_follows_its_formula() -> None:
    """120 steps of a random walk: first the warm-up of the decay, then, from (1 + t) / (10 + t) = 0.9 on, the decay."""
    model = tiny(10)
    average = Average(model, 0.9)
    expected = {name: tensor.double() for name, tensor in model.state_dict().items()}
    start = {name: tensor.clone() for name, tensor in expected.items()}
    torch.manual_seed(0)
    for step in range(120):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.add_(torch.randn_like(tensor.double()).to(tensor.dtype) if tensor.is_floating_point() else 7)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
        average.update(model)
    found = average.model.state_dict()
    assert found["norm.num_batches_tracked"] == model.norm.num_batches_tracked == 840
    for name in expected.keys() - {"norm.num_batches_tracked"}:
        torch.testing.assert_close(found[name].double(), expected[name], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(found[name].double(), model.state_dict()[name].double(), atol=1e-2), name
        assert not torch.allclose(found[name].double(), start[name], atol=1e-2), name


def weights_of(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "best.safetensors")


def run_with(train: Door, tmp_path: Path, name: str, *arguments: str) -> Path:
    result = train(*MOVING, *arguments, f"sweep.name={name}")
    assert result.code == 0, result.err
    return only_run(tmp_path / "outputs" / name)


def test_the_average_is_judged_and_kept_and_training_goes_on_beside_it(train: Door, tmp_path: Path) -> None:
    """8 steps in one epoch, so that all three select the same one; a decay of nearly nothing keeps the weights."""
    once = ["trainer.epochs=1", "debug.max_steps=8", "scheduler=none", "optimizer.lr=0.2"]
    plain, none, half = (
        run_with(train, tmp_path, name, *once, *more)
        for name, more in (("plain", []), ("none", ["trainer.ema=1e-12"]), ("half", ["trainer.ema=0.5"]))
    )
    for column in ("train_loss", "train_acc", "grad_norm"):
        assert history_of(plain)[0][column] == history_of(half)[0][column], "training is the same"
    assert history_of(plain)[0]["val_loss"] == pytest.approx(history_of(none)[0]["val_loss"], rel=1e-6)
    assert history_of(plain)[0]["val_loss"] != pytest.approx(history_of(half)[0]["val_loss"], rel=1e-4)
    assert outcome(half)["record"]["val"]["loss"] == history_of(half)[0]["val_loss"]
    kept = weights_of(plain)
    for name, tensor in weights_of(none).items():
        torch.testing.assert_close(tensor, kept[name], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(weights_of(half)["head.weight"], kept["head.weight"], atol=1e-4)
    assert not torch.allclose(weights_of(half)["norm.running_var"], kept["norm.running_var"], atol=1e-4)


def test_resumed_run_keeps_its_average(train: Door, tmp_path: Path) -> None:
    unbroken_and_mended(train, tmp_path, "trainer.ema=0.8")


@pytest.mark.parametrize("decay", ["0", "1", "1.5", "-0.1"])
def test_no_decay_is_refused(train: Door, decay: str) -> None:
    result = train(f"trainer.ema={decay}")
    assert (result.code, result.err) == (2, f"error: trainer.ema={float(decay)}: expected a decay between 0 and 1\n")
