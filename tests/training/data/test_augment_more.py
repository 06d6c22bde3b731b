"""augment.trivial and augment.erasing: what they do to images, and that it depends on (seed, epoch, image) alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Door
from mending import unbroken_and_mended
from test_augment import batches, by_image, dataset, noise
from torch import Tensor

from training.config import AugmentConfig
from training.data.transforms import epoch_table, erase, image_seeds, trivial

MORE = AugmentConfig(trivial=True, erasing=0.5)


def seeds(count: int, kind: int = 1) -> np.ndarray:
    return image_seeds(0, 1, count, kind)


def test_trivial_does_one_of_many_things_to_each_image() -> None:
    """The same picture 400 times: it is left alone once in 14 or a little more, and comes out in many ways."""
    picture = torch.nn.functional.interpolate(noise(1, 8).float(), 32, mode="bilinear").byte().expand(400, 3, 32, 32)
    found = trivial(picture, seeds(400))
    assert found.dtype == torch.uint8 and found.shape == picture.shape
    alone = [torch.equal(image, picture[0]) for image in found]
    assert 400 / 14 * 0.5 < sum(alone) < 400 / 14 * 3.5
    assert len({image.numpy().tobytes() for image in found}) > 200
    kept = [torch.equal(image.flatten(1).sort().values, picture[0].flatten(1).sort().values) for image in found]
    assert sum(kept) < 100, "a shift, a rotation, a colour: few leave the values of the pixels as they are"


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_erasing_takes_rectangles_from_this_share_of_images(probability: float) -> None:
    found = erase(torch.ones(1000, 3, 32, 32), seeds(1000), probability)
    areas = (found[:, 0] == 0).float().mean((1, 2))
    assert (areas > 0).float().mean() == pytest.approx(probability, abs=0.05)
    erased = areas[areas > 0]
    assert ((erased > 0.01) & (erased < 0.36)).all(), "2 to 33 % of the area, to a pixel"
    if len(erased):
        assert erased.min() < 0.05 and erased.max() > 0.28
    for image, area in zip(found, areas.tolist(), strict=True):
        rows, columns = (image[0] == 0).any(1).sum(), (image[0] == 0).any(0).sum()
        assert rows * columns == round(area * 1024), "one rectangle"
        assert torch.equal(image[0], image[1]) and torch.equal(image[0], image[2]), "in all channels"


def epoch_of(size: int, seed: int = 3, epoch: int = 2, config: AugmentConfig = MORE) -> Tensor:
    data = dataset(30)
    found = list(batches(data).train(seed, epoch, size, config))
    return by_image(found, epoch_table(seed, epoch, 30))


def test_each_image_is_changed_by_seed_epoch_and_index_alone() -> None:
    first = epoch_of(4)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert torch.equal(epoch_of(7), first) and torch.equal(epoch_of(30), first), "of any batch size"
    assert torch.equal(torch.get_rng_state(), before), "dropout must not notice"
    for other in (epoch_of(4, seed=4), epoch_of(4, epoch=3), epoch_of(4, config=AugmentConfig())):
        assert sum(not torch.equal(a, b) for a, b in zip(first, other, strict=True)) > 20
    apart = epoch_of(4, config=AugmentConfig(trivial=True))
    erased = epoch_of(4, config=AugmentConfig(erasing=0.5))
    plain = epoch_of(4, config=AugmentConfig())
    for both, one, other, image in zip(first, apart, erased, plain, strict=True):
        where = (other == 0) & (image != 0)
        assert torch.equal(both, torch.where(where.any(0), torch.zeros(()), one)), "the two don't mix their draws"


def test_run_with_both_resumes_to_the_bit(train: Door, tmp_path: Path) -> None:
    unbroken_and_mended(train, tmp_path, "augment.trivial=true", "augment.erasing=0.3")


def test_no_probability_is_refused(train: Door) -> None:
    result = train("augment.erasing=1.2")
    assert (result.code, result.err) == (2, "error: augment.erasing=1.2: expected a probability, 0 to 1\n")
