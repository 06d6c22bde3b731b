"""The config group `loss`: focal and bce by their formulas, how pieces add up, and losses of a user's own."""

from pathlib import Path

import pytest
import torch
from conftest import QUICK, Door
from outcome import TINY, history_of, only_run, outcome, record_of
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from training.config import LossConfig, TrainerConfig
from training.engine.loss import as_shares, bce, build_loss, cross_entropy, focal

WEIGHTS = torch.tensor([0.5, 1.0, 4.0])
BY_NAME = {"cross_entropy": cross_entropy, "focal": focal, "bce": bce}
LEARNING = ["trainer.epochs=3", "debug.max_steps=10", "optimizer.lr=0.03"]
RUN = [*QUICK, TINY, "tracking=none", "trainer.precision=fp32"]


@pytest.fixture
def logits() -> Tensor:
    torch.manual_seed(0)
    return (3 * torch.randn(10, 3)).requires_grad_()


LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 0])


def shares_of(logits: Tensor) -> Tensor:
    """Mixed in pairs: 0.7 of an image's label and 0.3 of that of the one before it."""
    plain = as_shares(LABELS, logits)
    return 0.7 * plain + 0.3 * plain.roll(1, 0)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_focal_without_focus_is_torchs_cross_entropy(logits: Tensor, soft: bool, weights: Tensor | None) -> None:
    targets = shares_of(logits) if soft else LABELS
    expected = functional.cross_entropy(logits, targets, weights, label_smoothing=0.1, reduction="none")
    found = focal(logits, targets, gamma=0.0, label_smoothing=0.1, class_weights=weights)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_of_two_classes_is_torchvisions(gamma: float) -> None:
    """The softmax of (0, z) is the sigmoid of z. Also where the network is certain, wrongly or rightly."""
    z = torch.tensor([-30.0, -3, -0.1, 0, 2, 9, 30], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 0, 1, 1, 0, 1])
    expected = sigmoid_focal_loss(z, labels.double(), alpha=-1, gamma=gamma)
    found = focal(torch.stack([torch.zeros_like(z), z], 1), labels, gamma=gamma)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(values.sum(), z)[0] for values in (found, expected)]
    assert slopes[0].isfinite().all()
    torch.testing.assert_close(slopes[0][1:-1], slopes[1][1:-1])


@pytest.mark.parametrize("soft", [False, True])
def test_bce_is_torchs_summed_over_the_classes(logits: Tensor, soft: bool) -> None:
    targets = shares_of(logits) if soft else LABELS
    smooth = as_shares(targets, logits) * 0.9 + 0.1 / 3
    expected = torch.nn.BCEWithLogitsLoss(reduction="none")(logits, smooth).sum(1)
    torch.testing.assert_close(bce(logits, targets, label_smoothing=0.1), expected)
    mean = torch.nn.BCEWithLogitsLoss()(logits, smooth)
    torch.testing.assert_close(bce(logits, targets, label_smoothing=0.1, mean_over_classes=True).mean(), mean)
    weights = as_shares(targets, logits) @ WEIGHTS
    found = bce(logits, targets, label_smoothing=0.1, class_weights=WEIGHTS)
    torch.testing.assert_close(found, expected * weights)


def test_bce_with_a_threshold_takes_the_classes_of_a_mixed_image_as_present(logits: Tensor) -> None:
    shares = shares_of(logits)
    for threshold, present in ((0.2, shares > 0), (0.5, as_shares(LABELS, logits))):
        expected = functional.binary_cross_entropy_with_logits(logits, present.float(), reduction="none").sum(1)
        torch.testing.assert_close(bce(logits, shares, threshold=threshold), expected)


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("soft", [False, True])
def test_gradients_of_pieces_add_up(logits: Tensor, name: str, soft: bool) -> None:
    targets = shares_of(logits) if soft else LABELS
    trainer = TrainerConfig(label_smoothing=0.1, class_weights="balanced")
    loss = build_loss(LossConfig(f"training.engine.loss.{name}"), trainer, WEIGHTS)
    (whole,) = torch.autograd.grad(loss(logits, targets), logits)
    pieces = loss(logits[:7], targets[:7]) * 0.7 + loss(logits[7:], targets[7:]) * 0.3
    (parts,) = torch.autograd.grad(pieces, logits)
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("name", ["focal", "bce"])
def test_a_run_with_everything(train: Door, tmp_path: Path, name: str) -> None:
    """Class weights, smoothing, mixed images, pieces; the val loss stays cross-entropy, and the name tells the loss."""
    more = [
        "trainer.class_weights=balanced",
        "trainer.label_smoothing=0.1",
        "augment.mixup=0.2",
        "trainer.accumulate=2",
    ]
    for loss in (name, "cross_entropy"):
        done = train(*RUN, *more, f"loss={loss}", f"sweep.name={loss}", "optimizer.lr=1e-20", "scheduler=none")
        assert done.code == 0, done.err
    folder, plain = (only_run(tmp_path / "outputs" / loss) for loss in (name, "cross_entropy"))
    assert record_of(folder)["config"]["loss"]["_target_"] == f"training.engine.loss.{name}"
    assert folder.parent.name != plain.parent.name
    for row, other in zip(history_of(folder), history_of(plain), strict=True):
        assert row["train_loss"] != pytest.approx(other["train_loss"], rel=1e-3)
        assert row["val_loss"] == pytest.approx(other["val_loss"], rel=1e-3), "nothing was learned, so it is the same"


def test_the_default_is_cross_entropy_and_keeps_its_name(train: Door, tmp_path: Path) -> None:
    assert train(*RUN, "sweep.name=plain").code == 0
    assert train(*RUN, "loss=cross_entropy", "sweep.name=named").code == 0
    plain, named = (only_run(tmp_path / "outputs" / name) for name in ("plain", "named"))
    assert plain.parent.name == named.parent.name and outcome(plain) == outcome(named)


def test_losses_of_ones_own(train: Door, tmp_path: Path) -> None:
    """A function for each image, a class that gives the mean, and one of torch's."""
    for target, more in {
        "own_training.squared": ["loss.kwargs.scale=2.0"],
        "own_training.Hinge": ["loss.kwargs.margin=1.0", "trainer.class_weights=balanced"],
        "torch.nn.MultiMarginLoss": [],
    }.items():
        done = train(*RUN, f"loss._target_={target}", *more, f"sweep.name={target}", *LEARNING)
        assert done.code == 0, done.err
        rows = history_of(only_run(tmp_path / "outputs" / target))
        assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_lr_range_test_goes_by_the_loss(train: Door, tmp_path: Path) -> None:
    for scale in ("1.0", "3.0"):
        line = ["loss._target_=own_training.squared", f"loss.kwargs.scale={scale}", "optimizer.lr=auto"]
        assert train(*RUN, *line, f"sweep.name={scale}").code == 0
    first, third = (
        float((only_run(tmp_path / "outputs" / scale) / "lr_find.csv").read_text().splitlines()[1].split(",")[1])
        for scale in ("1.0", "3.0")
    )
    assert third == pytest.approx(3 * first, rel=1e-3)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["loss=fokal"], "loss=fokal: no such choice; did you mean focal?; choose from bce, cross_entropy, focal"),
        (["loss=focal", "loss.kwargs.gamma=-1"], "loss.kwargs.gamma=-1: expected 0 or more"),
        (["loss=focal", "loss.kwargs.gama=1"], "focal refuses these settings"),
        (["loss.kwargs.label_smoothing=0.1"], "loss.kwargs.label_smoothing: set trainer.label_smoothing instead"),
        (
            ["loss._target_=own_training.squared", "trainer.label_smoothing=0.1"],
            "trainer.label_smoothing=0.1: own_training.squared has no argument label_smoothing",
        ),
        (
            ["loss._target_=own_training.squared", "trainer.class_weights=balanced"],
            "trainer.class_weights=balanced: own_training.squared has no argument class_weights",
        ),
        (["loss._target_=own_training.squared", "augment.mixup=0.2"], "can't be called with shares of the classes"),
        (["loss._target_=own_training.a_row"], "gives a loss of shape [2, 10], expected one an image or their mean"),
        (["loss._target_=own_training.without_gradient"], "its loss has no gradient"),
        (["loss._target_=own_training.nothing"], "loss._target_=own_training.nothing"),
    ],
)
def test_mistakes_are_told_before_the_run(train: Door, tmp_path: Path, lines: list[str], message: str) -> None:
    result = train(*RUN, *lines)
    assert result.code == 2 and message in result.err, result.err
    assert result.err.count("\n") == 1 and not (tmp_path / "outputs").exists()
