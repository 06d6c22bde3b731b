"""What a reader is warned of."""

import json
from pathlib import Path

from report_runs import report_here, write_run

from training.code_version import SAME_RESULTS


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
    text = " ".join(report_here(sweep).stdout.split())
    for words in (
        "2 versions of the training code are mixed here: v0 (2 runs), v1 (1 runs)",
        "not in the means: 1 pruned",
        "7 of the test images are in train too",
        "the best row has the largest lr that was tried (0.01): try larger ones",
        "class cat carries the average of the reference: 80.0 % of its test images are right, but 50.0 %",
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
