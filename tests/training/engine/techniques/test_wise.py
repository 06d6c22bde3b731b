"""trainer.wise: after training the weights are interpolated with those of the start, as far as val likes it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, Door
from mending import unbroken_and_mended
from outcome import TINY, history_of, only_run, record_of
from own_parts import tiny
from safetensors.torch import save_file
from torch import Tensor

from training.config import RunConfig, TrainerConfig, WeightsConfig
from training.engine.techniques import active_techniques
from training.engine.techniques.wise import Wise, mixed
from training.models.checkpoint_file import read_checkpoint

WISE = ["trainer.wise=true", "weights=checkpoint", "trainer.precision=fp32"]


def start_file(tmp_path: Path) -> str:
    torch.manual_seed(5)
    save_file(tiny(10).state_dict(), tmp_path / "start.safetensors")
    return f"weights.path={tmp_path / 'start.safetensors'}"


Weights = dict[str, Tensor]


def tuned(judge: Callable[[Weights], float], frozen: int = 0) -> tuple[Wise, Weights, Weights]:
    """The technique, the weights of the start, and what it makes of trained ones that are 10 more."""
    config = RunConfig(
        weights=WeightsConfig("checkpoint", "start.pth"),
        trainer=TrainerConfig(epochs=5, wise=True, probe=not frozen, freeze_epochs=frozen),
    )
    wise = active_techniques(config)["wise"]
    assert isinstance(wise, Wise)
    model = tiny(3)
    wise.start(model, torch.optim.SGD(model.parameters()))
    start: dict[str, Tensor] = {}
    for epoch in range(1, 6):
        if epoch == frozen + 1:
            start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        wise.before_epoch(epoch)
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor += 1
    best = {name: tensor + 10 for name, tensor in start.items()}
    return wise, start, wise.final_weights(best, judge)


@pytest.mark.parametrize("frozen", [0, 2])
def test_weights_are_the_best_mixture_of_start_and_end(frozen: int) -> None:
    """Val likes weights that are three more than at the start, of which there is one in ten on the grid."""
    seen: list[float] = []

    def judge(weights: dict[str, Tensor]) -> float:
        seen.append(float(weights["head.bias"].sum()))
        return -abs(seen[-1] - seen[0] - 9)  # of three classes; the first to be asked for is the start

    wise, start, found = tuned(judge, frozen)
    assert wise.resolved() == {"wise_alpha": 0.3} and len(seen) == 11
    for name, tensor in found.items():
        more = 3.0 if tensor.is_floating_point() else 10  # BatchNorm's counter is that of the trained ones
        torch.testing.assert_close(tensor, start[name] + more)


def test_nothing_changes_on_a_tie_and_both_ends_are_exact() -> None:
    wise, start, found = tuned(lambda weights: 1.0)
    assert wise.resolved() == {"wise_alpha": 1.0}
    torch.testing.assert_close(found["head.bias"], start["head.bias"] + 10)
    one, other = {"a": torch.randn(5)}, {"a": torch.randn(5)}
    assert mixed(one, other, 1) is other
    assert torch.equal(mixed(one, other, 0)["a"], one["a"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ["trainer.probe=true", "optimizer.lr=0.5"],
        ["trainer.freeze_epochs=1", "trainer.ema=0.5", "trainer.monitor=val_loss"],
    ],
)
def test_run_keeps_what_val_likes_best_and_resumes_to_the_bit(train: Door, tmp_path: Path, more: list[str]) -> None:
    folder, _ = unbroken_and_mended(train, tmp_path, *WISE, start_file(tmp_path), *more)
    record = record_of(folder)
    alpha = record["resolved"]["wise_alpha"]
    assert alpha in [step / 10 for step in range(11)]
    sign = -1 if "trainer.monitor=val_loss" in more else 1
    key = "loss" if sign < 0 else "acc"
    best = max(sign * row[f"val_{key}"] for row in history_of(folder))
    assert sign * record["val"][key] >= best - 1e-6, "alpha 1 is among those that are tried"
    stored = np.load(folder / "predictions_val.npz")
    assert 100 * (stored["logits"].argmax(1) == stored["label"]).mean() == pytest.approx(record["val"]["acc"])


@pytest.mark.slow
def test_kept_weights_are_those_of_the_record(train: Door, tmp_path: Path) -> None:
    """A rate that is far too large spoils the checkpoint's network: the start is better, and is what is kept."""
    harsh = [*QUICK, TINY, "data.size=16", "optimizer=sgd", "optimizer.lr=3", "scheduler=none", "trainer.probe=true"]
    done = train(*harsh, *WISE, start_file(tmp_path))
    assert done.code == 0, done.err
    folder = only_run(tmp_path / "outputs")
    assert record_of(folder)["resolved"]["wise_alpha"] < 1
    assert record_of(folder)["val"]["acc"] > max(row["val_acc"] for row in history_of(folder))
    files = folder / "best.safetensors", tmp_path / "start.safetensors"
    weights, start = (read_checkpoint(file)[0] for file in files)
    if record_of(folder)["resolved"]["wise_alpha"] == 0:
        torch.testing.assert_close(weights["first.weight"], start["first.weight"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["trainer.probe=true"], "trainer.wise needs initial weights, such as weights=default"),
        (["weights=default"], "trainer.wise needs a head that is trained at the start: trainer.probe=true or"),
    ],
)
def test_a_random_start_is_refused(train: Door, more: list[str], message: str) -> None:
    result = train("trainer.wise=true", *more)
    assert result.code == 2 and message in result.err, result.err
