"""The digits of scikit-learn as a data set."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from pictures import fresh as fresh

from training.data.dataset import open_dataset
from training.errors import ConfigError
from training.schema.data_config import DataConfig


def test_digits_are_the_whole_set_upright_and_split_once() -> None:
    digits = open_dataset(DataConfig())
    assert len(digits.names) == 1797 and digits.names[1] == "digit-0001"
    assert digits.classes == tuple("0123456789")
    assert digits.drawn == ("train", "val", "test") and digits.skipped == () and digits.paths is None
    indices = np.concatenate(list(digits.split.values()))
    assert sorted(indices) == list(range(1797))
    assert np.asarray(digits.load(0)).max() == 239 and digits.load(0).size == (8, 8)  # 15 of 16, on a scale of 255
    for share, split in ((0.7, "train"), (0.15, "val"), (0.15, "test")):
        for label in range(10):
            exact = share * np.sum(digits.labels == label)
            assert abs(np.sum(digits.labels[digits.split[split]] == label) - exact) <= 1


@pytest.mark.parametrize("key, value", [("root", "/somewhere"), ("csv", "a.csv")])
def test_digits_do_not_swallow_the_path_of_a_folder(key: str, value: str) -> None:
    values: dict[str, Any] = {key: value}
    with pytest.raises(ConfigError, match=f"did you mean data=folder data.{key}={value}"):
        open_dataset(dataclasses.replace(DataConfig(), **values))
