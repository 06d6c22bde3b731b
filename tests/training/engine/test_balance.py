"""trainer.class_weights and data.sampling: a rare class counts as much as a common one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, Door
from outcome import history_of, only_run, record_of
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from training.data.sampling import balanced_draws
from training.engine.loss import balanced_weights, training_loss

LABELS = np.repeat([0, 1, 2], [150, 40, 10])
UNEVEN = [*QUICK, "model._target_=own_parts.smooth", "data._target_=own_parts.uneven", "debug.max_steps=null"]
UNEVEN += ["optimizer=sgd", "optimizer.lr=0.1", "scheduler=cosine", "trainer.epochs=15", "data.normalize=none"]


def test_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    assert balanced_weights(LABELS, 3) == pytest.approx(expected)
    assert balanced_weights(LABELS, 3)[LABELS].mean() == pytest.approx(1)


def test_draws_are_of_each_class_alike_and_of_seed_and_epoch_alone() -> None:
    drawn = np.stack([balanced_draws(LABELS, 7, epoch) for epoch in range(200)])
    assert drawn.shape == (200, 200)
    shares = np.bincount(LABELS[drawn].flatten()) / drawn.size
    assert shares == pytest.approx([1 / 3] * 3, abs=0.01)
    within = np.bincount(drawn[LABELS[drawn] == 1] - 150, minlength=40)
    assert within.min() > 0.75 * within.mean() and within.max() < 1.25 * within.mean(), "each of its images alike"
    assert np.array_equal(balanced_draws(LABELS, 7, 3), drawn[3])
    assert not np.array_equal(drawn[3], drawn[4]) and not np.array_equal(drawn[3], balanced_draws(LABELS, 8, 3))


@pytest.mark.parametrize("soft", [False, True])
def test_weighted_loss_of_parts_adds_up(soft: bool) -> None:
    torch.manual_seed(0)
    scores, weights = torch.randn(10, 3), torch.tensor([0.5, 1.0, 4.0])
    labels = torch.randn(10, 3).softmax(1) if soft else torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 0])
    whole = training_loss(scores, labels, 0.1, weights)
    parts = (
        training_loss(scores[:7], labels[:7], 0.1, weights) * 7
        + training_loss(scores[7:], labels[7:], 0.1, weights) * 3
    )
    assert parts.item() / 10 == pytest.approx(whole.item())
    shares = labels if soft else functional.one_hot(labels, 3).float()
    shares = shares * 0.9 + 0.1 / 3
    assert whole.item() == pytest.approx(-(weights * shares * scores.log_softmax(1)).sum().item() / 10)


@pytest.mark.parametrize(
    ("name", "arguments", "share"),
    [
        ("natural", [], 0.1),
        ("weights", ["trainer.class_weights=balanced"], 0.5),
        ("sampling", ["data.sampling=balanced"], 0.5),
    ],
)
def test_network_expects_the_rare_class_as_often(
    train: Door, tmp_path: Path, name: str, arguments: list[str], share: float
) -> None:
    """The images say nothing, so what a network can learn is how often a class comes."""
    result = train(*UNEVEN, *arguments)
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    with np.load(folder / "predictions_val.npz") as content:
        logits = torch.from_numpy(content["logits"])
    expected = logits.softmax(1)[:, 1]
    assert expected.tolist() == pytest.approx([share] * 40, abs=0.06)
    record, last = record_of(folder), history_of(folder)[-1]
    entropy = {"natural": 0.325, "weights": 0.693, "sampling": 0.693}[name]
    assert last["train_loss"] == pytest.approx(entropy, abs=0.05)
    assert record["val"]["n"] == 40 and record["data"]["n"]["train"] == 120
