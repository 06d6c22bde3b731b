"""Stored images, from the disk, from memory and from their files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import fresh as fresh
from pictures import opened, tree

from training.data.dataset import Dataset
from training.data.files.decoding import stored
from training.data.image_store import ImageStore
from training.schema.data_config import DataConfig


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return opened(tree(tmp_path / "images", {"a": 12, "b": 12}))


def test_a_store_gives_the_same_with_and_without_memory(dataset: Dataset) -> None:
    config, indices = DataConfig(size=16), np.array([5, 3, 3, 20])
    kept, bare = (ImageStore(dataset, DataConfig(size=16, cache=kind)) for kind in ("memory", "none"))
    disk = ImageStore(dataset, DataConfig(size=16, cache="disk"))
    expected = np.stack([stored(dataset.load(index), config) for index in indices])
    for _ in range(2):
        for store in (kept, bare, disk):
            batch = store.batch(indices)
            assert batch.dtype == np.uint8 and batch.shape == (4, 16, 16, 3)
            assert np.array_equal(batch, expected)
            batch[:] = 0  # a copy: the store is not harmed
    assert kept.batch(np.array([], dtype=np.int64)).shape == (0, 16, 16, 3)
    assert bare.batch(np.array([], dtype=np.int64)).shape == (0, 16, 16, 3)


def test_what_is_in_memory_needs_no_file_and_a_lost_file_is_named(dataset: Dataset) -> None:
    kept, bare = (ImageStore(dataset, DataConfig(size=16, cache=kind)) for kind in ("memory", "none"))
    before = kept.batch(np.arange(10))
    for index in (4, 15):
        Path(dataset.path_or_name(index)).unlink()
    assert np.array_equal(kept.batch(np.arange(10)), before)
    for store, index in ((kept, 15), (bare, 4)):
        with pytest.raises(OSError, match=rf"{dataset.path_or_name(index)}: no such file"):
            store.batch(np.arange(10) if index == 4 else np.array([14, 15]))


def test_the_limit_of_memory_counts_the_whole_set(dataset: Dataset) -> None:
    exact = 24 * 16 * 16 * 3 / 1e9
    assert ImageStore(dataset, DataConfig(size=16, cache="memory", memory_gb=exact))._pixels is not None
    assert ImageStore(dataset, DataConfig(size=16, cache="memory", memory_gb=exact * 0.99))._pixels is None


@pytest.mark.parametrize("kind", ["memory", "disk", "none"])
def test_mean_and_std(dataset: Dataset, kind: Any) -> None:
    store = ImageStore(dataset, DataConfig(size=16, cache=kind))
    indices = np.arange(2, 20)
    pixels = store.batch(indices).astype(np.float64).reshape(-1, 3) / 255
    mean, std = store.mean_std(indices)
    assert mean == pytest.approx(pixels.mean(0), abs=1e-12) and std == pytest.approx(pixels.std(0), abs=1e-12)
    assert store.mean_std(indices[::-1]) == (mean, std)  # to the last bit
    assert store.mean_std(indices[:5]) != (mean, std)
