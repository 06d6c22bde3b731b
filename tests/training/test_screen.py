"""`python -m training.screen`: which candidates are worth training, from train and val images alone."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Door
from digit_images import write_digits
from outcome import TINY, only_run

from training import screen
from training.data.dataset import _open, open_dataset, open_without_test
from training.schema.data_config import DataConfig
from training.screening.probe import judge, probe

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
        {name: cell for name, cell in row.items() if name not in ("features_s", "cached", "probe_s")} for row in rows
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
    """Features that hold the class are read, ones that don't are at chance; and the verdicts are McNemar's."""
    draws = np.random.default_rng(0)
    labels, val_labels = draws.integers(0, 3, 300), draws.integers(0, 3, 150)
    centres = 6 * draws.normal(size=(3, 16))
    near = [(centres[some] + draws.normal(size=(len(some), 16))).astype(np.float32) for some in (labels, val_labels)]
    far = [draws.normal(size=(len(some), 16)).astype(np.float32) for some in (labels, val_labels)]
    good, bad = (probe(one[0], labels, one[1], val_labels) for one in (near, far))
    assert good.linear.mean() > 0.98 and good.knn.mean() > 0.98
    assert bad.linear.mean() < 0.5 and bad.knn.mean() < 0.5
    right = np.arange(100) < 90
    eight, two = right.copy(), right.copy()
    eight[:8], two[:2] = False, False
    best, worse, like = judge([right, eight, two])
    assert (
        best.p == 1 and worse.p == pytest.approx(2 * 2**-7) and like.p == pytest.approx(0.5)
    )  # Holm doubles the first
    assert (best.low, best.high) == pytest.approx((0.8256, 0.9448), abs=1e-4)  # Wilson, 90 of 100
