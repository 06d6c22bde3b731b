"""`python -m training.screen`: which candidates are worth training, from train and val images alone."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Door
from digit_images import write_digits
from outcome import TINY, only_run
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from training import screen
from training.data.dataset import _open, open_dataset, open_without_test
from training.schema.data_config import DataConfig
from training.screening.probe import probe
from training.screening.ranking import judge, logme, promise

pytestmark = pytest.mark.slow

Rows = list[dict[str, str]]
Look = Callable[..., tuple[int, Rows, str]]
SMALL = ["trainer.threads=1", "trainer.precision=fp32", "data.size=8"]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Look:
    """`python -m training.screen ARGUMENTS --csv FILE`: exit code, rows, and all that was printed."""

    def call(*arguments: str, cache: str = "cache") -> tuple[int, Rows, str]:
        monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / cache))
        _open.cache_clear()  # as in a process of its own
        file = tmp_path / "screen.csv"
        file.unlink(missing_ok=True)
        code = screen.main([*arguments, "--csv", str(file)])
        said = capfd.readouterr()
        rows = list(csv.DictReader(file.open())) if file.exists() else []
        return code, rows, said.out + said.err

    return call


def trained(train: Door, tmp_path: Path, name: str, *arguments: str) -> Path:
    """The folder of a run of resnet18 on the digits."""
    always = [*SMALL, "tracking=none", "trainer.batch_size=32", f"sweep.name={name}"]
    assert train(*always, *arguments).code == 0
    return only_run(tmp_path / "outputs" / name)


def results(rows: Rows) -> Rows:
    """Without times."""
    return [
        {name: cell for name, cell in row.items() if name not in ("features_s", "cached", "probe_s", "seconds")}
        for row in rows
    ]


def test_what_was_trained_on_the_digits_comes_first(train: Door, tmp_path: Path, look: Look) -> None:
    """And is alone worth training; from the cache it is the same; other weights in the same place are not."""
    fresh = trained(train, tmp_path, "fresh", "optimizer.lr=1e-30", "trainer.epochs=1", "debug.max_steps=1")
    good = trained(train, tmp_path, "good", "optimizer.lr=3e-3", "trainer.epochs=4")
    lines = ["-m", *SMALL, "weights=checkpoint", f"weights.path={fresh},{good}"]
    code, rows, said = look(*lines, "optimizer.lr=auto,1e-3")
    assert code == 0 and len(rows) == 2, said
    best, other = rows
    assert str(good) in best["candidate"] and str(fresh) in other["candidate"]
    assert float(best["probe_val_acc"]) > float(other["probe_val_acc"]) + 3, rows
    assert float(best["knn_val_acc"]) > float(other["knn_val_acc"]), rows
    assert (best["worth_training"], other["worth_training"]) == ("True", "False"), rows
    assert "2 combination(s) more differ in training alone" in said and "the best alone" in said
    assert [row["cached"] for row in rows] == ["False", "False"]
    again = look(*lines)[1]
    assert [row["cached"] for row in again] == ["True", "True"] and results(again) == results(rows)
    (good / "best.safetensors").write_bytes((fresh / "best.safetensors").read_bytes())
    code, rows, _ = look(*lines)
    assert len(rows) == 1 and rows[0]["cached"] == "True"  # both are the same weights now


def test_test_images_are_never_opened(train: Door, tmp_path: Path, look: Look) -> None:
    root = write_digits(tmp_path / "photos", range(4), train=12, val=8, test=4)
    lines = [*SMALL, TINY, "data=folder", f"data.root={root}", "seed=0,1"]
    code, rows, said = look("-m", *lines)
    assert code == 0 and len(rows) == 2, said
    for file in (root / "test").rglob("*.png"):
        file.write_bytes(b"no picture")
    code, again, said = look("-m", *lines, cache="another")
    assert code == 0 and results(again) == results(rows), said
    assert [row["cached"] for row in again] == ["False", "False"]
    broken = train(*SMALL, TINY, "data=folder", f"data.root={root}")
    assert broken.code == 2 and "bad image" in broken.err  # a run, that reads them, does see it
    next((root / "val").rglob("*.png")).write_bytes(b"no picture")
    code, _, said = look("-m", *lines)
    assert code == 2 and "bad image" in said and "/val/" in said


def test_the_images_are_those_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn splits, half drawn ones, given ones; with a bad image among those that are drawn from, too."""
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
    root = write_digits(tmp_path / "given", range(3), train=9, val=3, test=3)
    half = write_digits(tmp_path / "half", range(3), train=12, val=3, test=0)
    drawn = write_digits(tmp_path / "drawn", range(3), train=14, val=0, test=0) / "train"
    for folder in half.glob("test/*"):
        folder.rmdir()
    (half / "test").rmdir()
    bad = write_digits(tmp_path / "bad", range(3), train=14, val=0, test=0) / "train"
    (bad / "1" / "003.png").write_bytes(b"no picture")
    configs = [DataConfig("training.sources.folder", root=str(folder)) for folder in (root, half, drawn)]
    configs.append(DataConfig("training.sources.folder", root=str(bad), on_bad="skip"))
    for config in [*configs, DataConfig()]:
        whole, part = open_dataset(config), open_without_test(config)
        for split in ("train", "val"):
            names = [[one.names[index] for index in one.split[split]] for one in (whole, part)]
            assert names[0] == names[1] and len(names[0])
            labels = [one.labels[one.split[split]].tolist() for one in (whole, part)]
            assert labels[0] == labels[1]
        assert len(part.split["test"]) == 0 < len(whole.split["test"])


def test_the_choice_of_candidates(look: Look) -> None:
    """A recipe's runs, impossible ones, and different images."""
    few = [*SMALL, "data.size=8"]
    code, rows, said = look("-m", "sweeps=smoke", *few)
    assert code == 0, said  # six runs with two networks, and two seeds of one of them
    assert sorted((row["model"], "seed=1" in row["candidate"]) for row in rows) == [
        ("resnet18", False),
        ("resnet18", True),
        ("resnet34", False),
    ]
    code, _, said = look("-m", *few, "model=resnet18", "weights=none,imagenet1k_v2")
    assert code == 2 and "resnet18 has no such weights" in said and "sweep.impossible=skip" in said
    code, rows, said = look("-m", *few, TINY, "model.weights=[]", "weights=none,imagenet1k_v2", "sweep.impossible=skip")
    assert code == 0 and len(rows) == 1 and "left out: weights=imagenet1k_v2" in said
    code, _, said = look("-m", *few, TINY, "data.split_seed=0,1")
    assert code == 2 and "different" in said
    code, _, said = look("-m", "sweeps=tpe_resnet")
    assert code == 2 and "a search has no list of candidates" in said


def test_known_answers() -> None:
    """Features that hold the class are read, ones that don't are at chance, and the verdicts say which is which."""
    draws = np.random.default_rng(0)
    labels, val_labels = draws.integers(0, 3, 300), draws.integers(0, 3, 150)
    centres = 6 * draws.normal(size=(3, 16))
    near = [(centres[some] + draws.normal(size=(len(some), 16))).astype(np.float32) for some in (labels, val_labels)]
    far = [draws.normal(size=(len(some), 16)).astype(np.float32) for some in (labels, val_labels)]
    good, bad = (probe(one[0], labels, one[1], val_labels, 1.0) for one in (near, far))
    assert good.linear.mean() > 0.98 and good.knn.mean() > 0.98
    assert bad.linear.mean() < 0.5 and bad.knn.mean() < 0.5
    first, second = (promise(np.concatenate(one), np.concatenate([labels, val_labels])) for one in (near, far))
    assert first.whole_logme > second.whole_logme + 0.1 and first.log_loss.mean() < 0.1 < second.log_loss.mean() - 0.9
    assert len(first.accuracy) == 5 and (first.logme > second.logme).all()
    best, worse = judge([first, second])
    assert best.share > 0.98 and best.p == 1 and worse.p < 1e-4 and 0.2 < worse.low < 1 / 3 < worse.high < 0.5
    twin, other = judge([first, first])
    assert twin.p == other.p == 1


def test_few_images_and_wide_features_are_ranked_too() -> None:
    """More numbers than images; a class of one image; of all classes one image; so many that some are drawn."""
    draws = np.random.default_rng(0)
    labels = np.array([0] * 9 + [1] * 9 + [2])
    features = (labels[:, None] + 0.1 * draws.normal(size=(19, 64))).astype(np.float32)
    found = promise(features, labels)
    assert found.accuracy.mean() > 0.9 and np.isfinite([*found.log_loss, *found.logme]).all()
    assert promise(features[[0, 9, 18]], np.arange(3)).accuracy.max() == 0
    many = draws.integers(0, 2, 6000)
    assert promise((many[:, None] + 0.01 * draws.normal(size=(6000, 2))).astype(np.float32), many).accuracy.min() > 0.99


@pytest.mark.parametrize("shape", [(60, 10), (30, 50)])
def test_logme_is_the_largest_evidence(shape: tuple[int, int]) -> None:
    """Of all precisions of weights and noise, found by search in the density of the targets themselves."""
    draws = np.random.default_rng(0)
    features = draws.normal(size=shape)
    labels = (features[:, 0] + draws.normal(size=len(features)) > 0).astype(int)

    def negative(logs: np.ndarray, target: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        covariance = np.eye(len(features)) / beta + features @ features.T / alpha
        return -float(multivariate_normal.logpdf(target, np.zeros(len(features)), covariance)) / len(features)

    best = [-minimize(negative, [0, 0], (labels == label,), "Nelder-Mead").fun for label in (0, 1)]
    assert logme(features, labels) == pytest.approx(np.mean(best), abs=1e-3)
