"""Splits that are drawn."""

from pathlib import Path

import numpy as np
from pictures import fresh as fresh
from pictures import names, opened, problem, tree

from training.data.splits import draw


def test_a_draw_is_exact_disjoint_and_stays_the_same_for_ever() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 40, 20, 3])
    parts = draw(labels, {"val": 0.25, "test": 0.1}, seed=7)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(163))
    assert np.bincount(labels[parts["train"]]).tolist() == [65, 26, 13, 1]
    assert np.bincount(labels[parts["val"]]).tolist() == [25, 10, 5, 1]
    assert np.bincount(labels[parts["test"]]).tolist() == [10, 4, 2, 1]
    assert all((np.diff(part) > 0).all() for part in parts.values())
    assert parts["test"].tolist() == [1, 16, 19, 27, 58, 68, 76, 77, 81, 84, 106, 113, 114, 131, 142, 156, 160]


def test_halves_go_in_turn_to_each_split() -> None:
    parts = draw(np.repeat(np.arange(10), 10), {"val": 0.15, "test": 0.15}, seed=0)
    assert [len(part) for part in parts.values()] == [70, 15, 15]


def test_split_seed_alone_decides(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 20, "b": 20})
    first, second = opened(tmp_path, split_seed=0), opened(tmp_path, split_seed=1)
    np.random.seed(5)
    again = opened(tmp_path, split_seed=0, size=64)
    assert names(first, "test") == names(again, "test") != names(second, "test")
    assert first.fingerprint == second.fingerprint
    assert "data.split_seed=-1" in problem(tmp_path, split_seed=-1)
