"""Batches: the order of an epoch, and what is left of it for evaluation."""

import numpy as np
import pytest
import torch
from batching import batches, dataset

from training.data.batches import one_batch, split_batches
from training.schema.data_config import AugmentConfig

STANDARD = AugmentConfig(flip=0.5, crop_scale=[0.35, 1.0])


def test_epoch_has_every_image_once_in_an_order_of_its_own() -> None:
    data = dataset(50)
    images = {data.load(index).getpixel((0, 0)): index for index in range(50)}  # by the first pixel
    assert len(images) == 50
    orders = []
    for epoch in (1, 2):
        order = []
        for pixels, labels in batches(data).train(0, epoch, 8, AugmentConfig()):
            found = [images[tuple(round(value) for value in pixel)] for pixel in (pixels[:, :, 0, 0] * 255).tolist()]
            assert labels.tolist() == data.labels[found].tolist()
            order += found
        assert sorted(order) == list(range(50))
        orders.append(order)
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(9, 4, [4, 5]), (8, 4, [4, 4]), (3, 4, [3]), (1, 4, [1]), (3, 1, [1, 1, 1])]
)
def test_no_batch_of_one_image_is_left_over(count: int, size: int, expected: list[int]) -> None:
    assert [len(batch) for batch in split_batches(np.arange(count), size)] == expected
    assert np.concatenate(split_batches(np.arange(count), size)).tolist() == list(range(count))


def test_evaluation_keeps_the_order_of_names_and_changes_nothing() -> None:
    data = dataset(10)
    ((images, labels),) = batches(data, channels_last=True).evaluate("train", 8)
    assert labels.tolist() == data.labels[:10].tolist()
    assert images.is_contiguous(memory_format=torch.channels_last)
    expected = torch.from_numpy(np.stack([np.asarray(data.load(index)) for index in range(10)])).permute(0, 3, 1, 2)
    assert torch.equal(images.mul(255).round().byte(), expected)
    assert [len(labels) for _, labels in batches(data).evaluate("train", 1)] == [4, 4, 2], "four times the training's"
    assert len(next(batches(data).evaluate("val", 8))[1]) == 2


def test_one_batch_is_one_of_many_classes_and_leaves_the_test_images() -> None:
    data = dataset(40)
    few = one_batch(data, 8, seed=3)
    assert few.split["train"].tolist() == few.split["val"].tolist() == one_batch(data, 8, seed=3).split["val"].tolist()
    assert len(few.split["train"]) == 8 and set(few.split["train"]) <= set(data.split["train"])
    assert few.split["test"].tolist() == data.split["test"].tolist()
    assert len(data.split["train"]) == 40


@pytest.mark.parametrize("config", [AugmentConfig(), AugmentConfig(flip=0.5), STANDARD])
def test_images_that_lie_on_the_device_make_the_same_batches(config: AugmentConfig) -> None:
    """What a GPU does with its copy of the images, here with one in memory: the same bits, epoch after epoch."""
    data = dataset(21)
    fetched, resident = batches(data, channels_last=True), batches(data, channels_last=True)
    assert fetched.train_slices(3, 1, 4, config) is None and fetched.eval_slices("val", 4) is None
    resident.use(resident.store.copied_to("cpu"))
    for epoch in (1, 2):
        for name in ("train", "val"):
            if name == "train":
                wanted, slices = list(fetched.train(3, epoch, 4, config)), resident.train_slices(3, epoch, 4, config)
            else:
                wanted, slices = list(fetched.evaluate("val", 4)), resident.eval_slices("val", 4)
            assert slices is not None and [one.count for one in slices] == [len(labels) for _, labels in wanted]
            for (images, labels), one in zip(wanted, slices, strict=True):
                found, found_labels = one.load()
                assert torch.equal(found, images) and torch.equal(found_labels, labels)
                assert found.stride() == images.stride()
        assert torch.equal(next(resident.train(3, epoch, 4, config))[0], next(fetched.train(3, epoch, 4, config))[0])


def test_batches_that_look_at_single_images_are_not_made_ahead() -> None:
    given = batches(dataset(8))
    given.use(given.store.copied_to("cpu"))
    assert given.train_slices(0, 1, 4, AugmentConfig(erasing=0.5)) is None
    assert len(list(given.train(0, 1, 4, AugmentConfig(erasing=0.5)))) == 2
