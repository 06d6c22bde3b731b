"""Rows judged by another metric than accuracy, and calibration, from predictions whose answers are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_runs import near, report_here, rows_of, write_run
from scipy.special import log_softmax, softmax
from sklearn.metrics import balanced_accuracy_score, f1_score

CLASSES = ["ant", "bee", "cow"]
LABELS = np.repeat([0, 1, 2], [200, 60, 40])
EVERY = {"accuracy", "weighted-accuracy", "log-loss", "brier", "macro-f1", "balanced-accuracy"}


def draw_logits(seed: int, strength: float, bias: float = 0.0) -> np.ndarray:
    """Logits [300, 3] from true probabilities: the labels follow softmax(logits) but for `strength` times as sure."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1, (len(LABELS), 3)) + strength * np.eye(3)[LABELS]
    logits[:, 0] += bias
    return logits.astype(np.float32)


def run_of(sweep: Path, identity: str, seed: int, logits: dict[str, np.ndarray], **changes: Any) -> Path:
    """A run with these predictions for val and test (of the same labels), and a record that fits them."""
    n = len(LABELS)
    right = {split: 100 * float((one.argmax(1) == LABELS).mean()) for split, one in logits.items()}
    data = {"fingerprint": "f00d", "n": {"train": 900, "val": n, "test": n}, "classes": CLASSES}
    folder = write_run(sweep, identity, seed, val=right["val"], test=right["test"], data=data, **changes)
    for split, scores in logits.items():
        names = np.array([f"{split}/{number}.png" for number in range(n)])
        np.savez(folder / f"predictions_{split}.npz", id=names, label=LABELS, logits=scores)
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a`: right more often, by guessing the large class. `b`: better on the small classes, and truer probabilities."""
    root = tmp_path_factory.mktemp("metrics") / "sweep"
    for seed in range(3):
        a = {split: 8 * draw_logits(10 * seed + number, 2.0, 2.3) for number, split in enumerate(("val", "test"))}
        b = {split: draw_logits(10 * seed + number, 1.55) for number, split in enumerate(("val", "test"))}
        run_of(root, "aaaaaaaaaa", seed, a, lr=1e-2)
        run_of(root, "bbbbbbbbbb", seed, b, lr=1e-3)
    return root


def by_metric(sweep: Path, *options: str) -> dict[str, dict[str, str]]:
    rows = rows_of(report_here(sweep, "--format", "csv", *options))
    return {"a" if row["lr"] == "0.01" else "b": row for row in rows}


def expected(sweep: Path, metric: str, row: str) -> float:
    """The mean over the seeds, by sklearn and by hand."""
    values = []
    for folder in sorted(sweep.glob(f"*-{row * 10}/*")):
        with np.load(folder / "predictions_test.npz") as content:
            labels, logits = content["label"], content["logits"].astype(float)
        p = softmax(logits, axis=1)
        values.append(
            {
                "macro-f1": 100 * f1_score(labels, p.argmax(1), average="macro"),
                "balanced-accuracy": 100 * balanced_accuracy_score(labels, p.argmax(1)),
                "weighted-accuracy": 100 * balanced_accuracy_score(labels, p.argmax(1)),
                "log-loss": -log_softmax(logits, axis=1)[np.arange(300), labels].mean(),
                "brier": ((p - np.eye(3)[labels]) ** 2).sum(1).mean(),
            }[metric]
        )
    return float(np.mean(values))


@pytest.mark.parametrize("metric", sorted(EVERY - {"accuracy"}))
def test_each_metric_is_what_it_is_called_and_tells_the_better_row(sweep: Path, metric: str) -> None:
    assert by_metric(sweep)["a"]["mark"] == "reference", "by accuracy"
    column = {"balanced-accuracy": "balanced_acc", "weighted-accuracy": "weighted_acc"}.get(metric)
    column = "test_" + (column or metric.replace("-", "_"))
    found = by_metric(sweep, "--metric", metric)
    for row in ("a", "b"):
        value = float(found[row][column])
        assert value == near(expected(sweep, metric, row), 1e-3)
        assert float(found[row]["test_low"]) < value < float(found[row]["test_high"])
        assert found[row]["test_acc"] == by_metric(sweep)[row]["test_acc"]
    assert (found["a"]["mark"], found["b"]["mark"]) == ("worse", "reference")
    diff, low, high = (float(found["a"][name]) for name in ("diff", "diff_low", "diff_high"))
    assert diff == near(float(found["a"][column]) - float(found["b"][column]), 2e-4) and low < diff < high
    assert (low > 0) if metric in ("log-loss", "brier") else (high < 0)
    text = " ".join(report_here(sweep, "--metric", metric).stdout.split())
    lower = metric in ("log-loss", "brier")
    assert "Judged by" in text and f"({'lower' if lower else 'higher'} is better)" in text
    assert "runs chose their epoch by val_acc" in text or "trainer.monitor" not in text


def test_accuracy_is_the_default(sweep: Path) -> None:
    assert report_here(sweep, "--metric", "accuracy").stdout == report_here(sweep).stdout


def test_the_bootstrap_has_the_width_that_strata_leave(sweep: Path, tmp_path: Path) -> None:
    """Two trained models: the standard error of a difference of balanced accuracies is known by hand."""
    right = {}
    for number, row in enumerate("ab"):
        for folder in sweep.glob(f"*-{row * 10}/seed=0"):
            with np.load(folder / "predictions_test.npz") as content:
                logits = content["logits"]
            run_of(tmp_path / "one", row * 10, 0, {"val": logits, "test": logits}, lr=10.0 ** (number - 2))
            right[row] = logits.argmax(1) == LABELS
    found = rows_of(report_here(tmp_path / "one", "--format", "csv", "--metric", "balanced-accuracy"))
    other = next(row for row in found if row["mark"] != "reference")
    difference = right["a"].astype(float) - right["b"]
    error = 100 / 3 * np.sqrt(sum(difference[one == LABELS].var(ddof=1) / (one == LABELS).sum() for one in range(3)))
    half = (float(other["diff_high"]) - float(other["diff_low"])) / 2
    assert half == pytest.approx(1.968 * error, rel=0.08)


def test_weights_of_classes(sweep: Path) -> None:
    found = by_metric(sweep, "--metric", "weighted-accuracy", "--class-weights", "bee=0,cow=0")
    values = []
    for folder in sorted(sweep.glob("*-aaaaaaaaaa/*")):
        with np.load(folder / "predictions_test.npz") as content:
            values.append(100 * float((content["logits"].argmax(1) == 0)[LABELS == 0].mean()))
    assert float(found["a"]["test_weighted_acc"]) == near(float(np.mean(values)), 1e-3), "the recall of ants"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metric", "f1"], ["f1", "macro-f1"]),
        (["--class-weights", "ant=2"], ["--metric weighted-accuracy"]),
        (["--metric", "weighted-accuracy", "--class-weights", "ants=2"], ["ants", "did you mean ant?"]),
        (["--metric", "weighted-accuracy", "--class-weights", "ant=-1"], ["ant=-1", "CLASS=WEIGHT"]),
        (["--metric", "weighted-accuracy", "--class-weights", "ant=0,bee=0,cow=0"], ["--class-weights", "no class"]),
        (["--matters", "nan"], ["--matters: nan", "above 0 and below 100"]),
        (["--metric", "brier", "--interaction", "lr", "lrs"], ["--interaction lrs", "did you mean lr?"]),
    ],
)
def test_a_mistake_is_one_line(sweep: Path, options: list[str], words: list[str]) -> None:
    result = report_here(sweep, *options)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
    assert not [word for word in words if word not in result.stderr], result.stderr


def test_what_matters_is_by_the_metric_too(tmp_path: Path) -> None:
    """Weight decay of 0.1 makes the probabilities of three learning rates better, and accuracy hardly."""
    score: dict[float, list[float]] = {0.0: [], 0.1: []}
    for number, lr in enumerate((1e-3, 1e-2, 1e-1)):
        for decay, factor in ((0.0, 6.0), (0.1, 1.0)):
            logits = factor * draw_logits(number, 1.5)
            identity = f"{number}{int(10 * decay)}aaaaaaaa"
            run_of(tmp_path / "s", identity, 0, {"val": logits, "test": logits}, lr=lr, weight_decay=decay)
            score[decay].append(float(((softmax(logits, axis=1) - np.eye(3)[LABELS]) ** 2).sum(1).mean()))
    effect = np.mean(score[0.1]) - np.mean(score[0.0])
    result = report_here(tmp_path / "s", "--metric", "brier", "--interaction", "weight_decay", "lr")
    text = " ".join(result.stdout.split())
    assert "What matters (test Brier score, lower is better; all other settings matched" in text
    assert effect < -0.05 and f"weight_decay: 0.1 against 0 {effect:.3f} [-" in text
    assert "2 levels of" not in text and "weight_decay x lr: can't tell" in text, "nothing was run twice"
    points = " ".join(report_here(tmp_path / "s", "--metric", "macro-f1").stdout.split())
    assert "What matters (points of test macro-F1; all" in points and "(3 matched pairs)" in points
    page = tmp_path / "page.html"
    assert report_here(tmp_path / "s", "--metric", "brier", "--html", page).returncode == 0
    assert "In test Brier score, lower is better" in page.read_text()


@pytest.mark.parametrize("metric", ["brier", "macro-f1"])
def test_splits_are_pairs_by_other_metrics_too(tmp_path: Path, metric: str) -> None:
    """Two rows on the same three splits, whose luck moves both: read in another order by one of them."""
    for row, shift, order in (("a", 0.0, (0, 1, 2)), ("b", 0.2, (2, 1, 0))):
        for number, split in enumerate(order):
            strength = (1.0, 3.0, 2.0)[split] + shift
            logits = {name: draw_logits(20 * split + place, strength) for place, name in enumerate(("val", "test"))}
            folder = run_of(tmp_path / "s", f"{row}{number}aaaaaaaa", 0, logits, lr=1.0 + shift)
            for name in ("config.json", "record.json"):
                text = (folder / name).read_text()
                (folder / name).write_text(text.replace('"size": 32', f'"size": 32, "split_seed": {split}'))
    rows = rows_of(report_here(tmp_path / "s", "--format", "csv", "--over", "split", "--metric", metric))
    assert [row["seeds"] for row in rows] == ["3", "3"]
    other = next(row for row in rows if row["mark"] != "reference")
    width = float(other["diff_high"]) - float(other["diff_low"])
    alone = [float(row["test_high"]) - float(row["test_low"]) for row in rows]
    assert width < 0.7 * min(alone), "the luck of a split is in both rows"


def test_other_monitors_and_missing_predictions_are_said(sweep: Path, tmp_path: Path) -> None:
    logits = {split: draw_logits(5, 2.0) for split in ("val", "test")}
    folders = [run_of(tmp_path / "s", "aaaaaaaaaa", seed, logits) for seed in range(2)]
    for folder in folders:
        record = json.loads((folder / "record.json").read_text())
        record["config"]["trainer"]["monitor"] = "val_macro_f1"
        (folder / "record.json").write_text(json.dumps(record))
    told = report_here(tmp_path / "s", "--format", "csv")
    assert "2 runs chose their epoch by val_macro_f1 (--metric macro-f1 judges by it)" in told.stderr
    assert "chose their epoch" not in report_here(tmp_path / "s", "--metric", "macro-f1").stdout
    (folders[0] / "predictions_val.npz").unlink()
    told = report_here(tmp_path / "s", "--format", "csv", "--metric", "macro-f1")
    assert f"{folders[0]}: predictions_val.npz can't be read" in told.stderr and told.stderr.count("seed=1") == 0


def test_calibration(tmp_path: Path) -> None:
    """`a` draws its labels from its own probabilities; `b` has those at a quarter of the temperature."""
    generator = np.random.default_rng(0)
    for split_seed in range(2):
        pairs = {}
        for split in ("val", "test"):
            logits = generator.normal(0, 1.5, (4000, 3))
            p = softmax(logits, axis=1)
            labels = (generator.random((4000, 1)) > p.cumsum(1)).sum(1)
            pairs[split] = labels, logits
        for row, factor in (("a", 1.0), ("b", 4.0)):
            right = {name: 100 * float((one.argmax(1) == labels).mean()) for name, (labels, one) in pairs.items()}
            data = {"fingerprint": "f00d", "n": {"val": 4000, "test": 4000}, "classes": CLASSES}
            folder = write_run(
                tmp_path / "s", row * 10, split_seed, val=right["val"], test=right["test"], data=data, lr=factor
            )
            for name, (labels, logits) in pairs.items():
                ids = np.array([f"{split_seed}-{number}" for number in range(4000)])
                np.savez(folder / f"predictions_{name}.npz", id=ids, label=labels, logits=factor * logits)
    rows = rows_of(report_here(tmp_path / "s", "--format", "csv", "--columns", "calibration"))
    by_lr = {(row["test_set"], row["lr"]): {key: float(row[key]) for key in COLUMNS} for row in rows}
    for one in ("1", "2"):
        true, sure = by_lr[(one, "1.0")], by_lr[(one, "4.0")]
        assert true["test_ece"] < true["ece_by_chance_95"] * 1.2 and 0.9 < true["temperature"] < 1.1
        assert sure["test_ece"] > 3 * sure["ece_by_chance_95"] and 3.6 < sure["temperature"] < 4.4
        assert sure["ece_scaled"] == near(true["ece_scaled"], 1e-3) and sure["brier"] > true["brier"]
    page = tmp_path / "page.html"
    assert report_here(tmp_path / "s", "--html", page).returncode == 0
    assert "95 % by chance if the probabilities are true" in page.read_text()


COLUMNS = ("test_ece", "ece_by_chance", "ece_by_chance_95", "temperature", "ece_scaled", "brier", "log_loss")
