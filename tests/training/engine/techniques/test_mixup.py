"""augment.mixup and augment.cutmix: what they make of a batch, what they depend on, and that a run trains with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Door
from mending import MOVING, unbroken_and_mended
from outcome import history_of
from torch import Tensor
from torch.nn import functional

from training.config import TrainerConfig
from training.engine.loop import Trainer
from training.engine.techniques.mixup import mixed
from training.schema.data_config import AugmentConfig

pytestmark = pytest.mark.slow

Batch = tuple[Tensor, Tensor]


def coloured(count: int, batches: int = 1) -> list[Batch]:
    """Image i is all i + 1, of class i: what a mixed image is made of can be read from its pixels."""
    images = torch.arange(1.0, count + 1).view(count, 1, 1, 1).expand(count, 3, 16, 16)
    return [(images.contiguous(memory_format=torch.channels_last), torch.arange(count)) for _ in range(batches)]


def mix(batches: list[Batch], seed: int = 0, epoch: int = 1, **config: float) -> list[Batch]:
    return list(mixed(batches, AugmentConfig(**config), len(batches[0][1]), seed, epoch))


def test_mixup_is_a_weighted_mean_of_two_images_and_of_their_labels() -> None:
    shares = []
    for images, labels in mix(coloured(5, batches=300), mixup=0.4):
        colours = torch.arange(1.0, 6)
        torch.testing.assert_close(images, (labels @ colours).view(5, 1, 1, 1).expand(5, 3, 16, 16))
        torch.testing.assert_close(labels.sum(1), torch.ones(5))
        assert ((labels > 0).sum(1) <= 2).all()
        assert images.is_contiguous(memory_format=torch.channels_last)
        shares.append(labels[0, 0].item())
    expected = np.random.default_rng(0).beta(0.4, 0.4, 100_000)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(expected.var(), rel=0.15), "Beta(0.4, 0.4)"


def test_cutmix_labels_are_the_shares_of_the_area() -> None:
    lone = 0
    for images, labels in mix(coloured(4, batches=100), cutmix=1.0):
        for index in range(4):
            area = torch.stack([(images[index, 0] == colour + 1).float().mean() for colour in range(4)])
            torch.testing.assert_close(area, labels[index])
        second = (images[1, 0] == 1).nonzero()  # what came from image 0: a rectangle
        if len(second):
            height, width = (second.max(0).values - second.min(0).values + 1).tolist()
            assert height * width == len(second)
        lone += not len(second)  # the smallest pieces are less than a pixel
    assert lone < 20


def test_both_take_turns_at_random() -> None:
    cut = [len(images[0, 0].unique()) > 1 for images, _ in mix(coloured(4, batches=200), mixup=5.0, cutmix=5.0)]
    assert 70 < sum(cut) < 130
    assert len({tuple(cut[start : start + 10]) for start in range(0, 200, 10)}) > 15, "in no order"


def test_draws_depend_on_seed_epoch_and_batch_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = mix(coloured(4, batches=3), mixup=1.0, cutmix=1.0)
    assert torch.equal(torch.get_rng_state(), before), "dropout must not notice"
    torch.rand(5)
    again = mix(coloured(4, batches=3), mixup=1.0, cutmix=1.0)
    for (images, labels), (others, shares) in zip(first, again, strict=True):
        assert torch.equal(images, others) and torch.equal(labels, shares)
    assert not torch.equal(first[0][1], first[1][1])
    assert not torch.equal(first[0][1], mix(coloured(4), epoch=2, mixup=1.0, cutmix=1.0)[0][1])
    assert not torch.equal(first[0][1], mix(coloured(4), seed=1, mixup=1.0, cutmix=1.0)[0][1])


class Fixed(torch.nn.Module):
    """Gives the scores it holds, whatever the image."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = torch.nn.Parameter(scores)

    def forward(self, images: Tensor) -> Tensor:
        return self.scores[: len(images)]


def test_loss_is_of_the_shares_and_accuracy_of_the_main_label() -> None:
    """Four images whose scores name classes 0, 0, 0, 1; shares of 0.7 and 0.3."""
    from training.config import SchedulerConfig
    from training.device import Compute
    from training.engine.schedule import Schedule

    scores = torch.tensor([[2.0, 0, 1], [2, 0, 1], [2, 0, 1], [0, 2, 1]])
    shares = torch.tensor([[0.7, 0.3, 0], [0.3, 0.7, 0], [0, 0.3, 0.7], [0, 0.7, 0.3]])
    model = Fixed(scores)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    optimizer.param_groups[0]["name"] = "all"
    schedule, scaler = Schedule(optimizer, SchedulerConfig(), 1, 1), torch.amp.GradScaler("cpu", enabled=False)
    trainer = Trainer(model, optimizer, schedule, scaler, TrainerConfig(), Compute("cpu", "fp32", "contiguous"))
    result = trainer.epoch([(torch.zeros(4, 3, 2, 2), shares)], lambda: None)
    expected = -(shares * functional.log_softmax(scores, 1)).sum(1).mean().item()
    assert result.loss == pytest.approx(expected)
    assert result.acc == 50.0


def test_run_with_both_resumes_to_the_bit_and_trains_otherwise(train: Door, tmp_path: Path) -> None:
    mended = unbroken_and_mended(train, tmp_path, "augment.mixup=0.2", "augment.cutmix=1")[1]
    assert train(*MOVING, "sweep.name=plain").code == 0
    (plain,) = (tmp_path / "outputs" / "plain").glob("*/*")
    pairs = list(zip(history_of(mended), history_of(plain), strict=True))
    assert all(mixed["grad_norm"] != unmixed["grad_norm"] for mixed, unmixed in pairs)
    assert pairs[-1][0]["train_loss"] > pairs[-1][1]["train_loss"], "mixed images are harder"


@pytest.mark.parametrize("key", ["mixup", "cutmix"])
def test_negative_alpha_is_refused(train: Door, key: str) -> None:
    result = train(f"augment.{key}=-1")
    assert (result.code, result.err) == (2, f"error: augment.{key}=-1.0: expected an alpha of 0 (none) or more\n")
