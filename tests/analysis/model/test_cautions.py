"""What a reader is warned of."""

import json
from pathlib import Path

import numpy as np
from report_runs import report_here, write_run

from training.provenance.code_version import SAME_RESULTS


def test_cautions(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    test = {"acc": 80.0, "loss": 1.0, "per_class_acc": {"cat": 100.0, "dog": 40.0, "cow": 60.0}}
    data = {"fingerprint": "f00d", "n": {"train": 900, "val": 100, "test": 100}, "shared": {"val": 0, "test": 7}}
    for number, lr in enumerate((1e-4, 1e-3, 1e-2)):
        folder = write_run(
            sweep, f"{number}aaaaaaaaa", lr=lr, val=90 + number, data=data, code_version=f"v{number % 2}"
        )
        record = json.loads((folder / "record.json").read_text())
        (folder / "record.json").write_text(json.dumps(record | {"test": test}))
    write_run(sweep, "9aaaaaaaaa", status="pruned", lr=1e-1)
    (write_run(sweep, "8aaaaaaaaa", lr=1e-1) / "record.json").write_text("{")
    write_run(sweep, "7aaaaaaaaa", lr=1e-2, test=None, code_version="v1")
    text = " ".join(report_here(sweep).stdout.split())
    for words in (
        "2 versions of the training code are mixed here: v0 (2 runs), v1 (2 runs)",
        "not in the means: 1 pruned, 1 unreadable, 1 done without a val or test accuracy",
        "7 of the test images are in train too",
        "the reference row has the largest lr that was tried (0.01): try larger ones",
        "large classes carry the average: 80.0 % of the reference's test images are right, but 66.7 % on average",
    ):
        assert words in text
    assert "of the val images" not in text


def test_versions_of_the_code_that_give_the_same_results_are_one(tmp_path: Path) -> None:
    older, newer = SAME_RESULTS[0][0], SAME_RESULTS[0][-1]
    assert older != newer
    for number, version in enumerate((older, newer)):
        write_run(tmp_path / "sweep", f"{number}aaaaaaaaa", lr=10.0**-number, code_version=version)
    assert "versions of the training code" not in " ".join(report_here(tmp_path / "sweep").stdout.split())
    write_run(tmp_path / "sweep", "9aaaaaaaaa", lr=5.0, code_version="another")
    text = " ".join(report_here(tmp_path / "sweep").stdout.split())
    assert f"2 versions of the training code are mixed here: {older} (2 runs), another (1 runs)" in text


def test_the_class_that_moves_the_average_is_named(tmp_path: Path) -> None:
    """80 of 100 images are of cats: dogs are more often right, but are few."""
    labels = np.repeat([0, 1, 2], [80, 10, 10])
    right = np.concatenate([np.arange(80) < 72, np.arange(10) < 10, np.arange(10) < 1])
    folder = write_run(tmp_path / "sweep", "aaaaaaaaaa", test=83.0, data={"fingerprint": "f", "n": {"test": 100}})
    scores = {"acc": 83.0, "loss": 1.0, "per_class_acc": {"cat": 90.0, "dog": 100.0, "cow": 10.0}}
    record = json.loads((folder / "record.json").read_text()) | {"test": scores}
    (folder / "record.json").write_text(json.dumps(record))
    logits = np.eye(3)[np.where(right, labels, (labels + 1) % 3)]
    np.savez(folder / "predictions_test.npz", id=np.arange(100).astype(str), label=labels, logits=logits)
    text = " ".join(report_here(tmp_path / "sweep").stdout.split())
    assert "class cat carries the average: 83.0 % of the reference's test images are right, but 55.0 % without" in text
    assert "worst: cow, 10.0 %" in text


def test_the_class_that_moves_the_average_is_that_of_all_seeds(tmp_path: Path) -> None:
    """Two of three seeds are much better on cats, the third is not: 74 % of all are right, and 70 % without cats."""
    labels = np.repeat([0, 1, 2], [60, 20, 20])
    for seed, cats in enumerate((50.0, 90.0, 90.0)):
        dogs, cows = (100.0, 100.0) if seed == 0 else (60.0, 50.0)
        accuracy = (60 * cats + 20 * dogs + 20 * cows) / 100
        folder = write_run(
            tmp_path / "s", "aaaaaaaaaa", seed, test=accuracy, data={"fingerprint": "f", "n": {"test": 100}}
        )
        right = np.concatenate([np.arange(60) < 0.6 * cats, np.arange(20) < dogs / 5, np.arange(20) < cows / 5])
        scores = {"acc": accuracy, "loss": 1.0, "per_class_acc": {"cat": cats, "dog": dogs, "cow": cows}}
        record = json.loads((folder / "record.json").read_text()) | {"test": scores}
        (folder / "record.json").write_text(json.dumps(record))
        logits = np.eye(3)[np.where(right, labels, (labels + 1) % 3)]
        np.savez(folder / "predictions_test.npz", id=np.arange(100).astype(str), label=labels, logits=logits)
    text = " ".join(report_here(tmp_path / "s").stdout.split())
    assert "carries the average" not in text, "in the second seed alone cats do: 76 %, and 55 % without them"
