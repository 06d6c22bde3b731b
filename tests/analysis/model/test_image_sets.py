"""Each test set is judged by itself; what can't be compared is not, and is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_runs import report_here, rows_of, run_with

N = 60


def right(wrong: int, n: int = N, shift: int = 0) -> np.ndarray:
    return np.roll(np.arange(n) >= wrong, shift)


def edit(folder: Path, **changes: Any) -> None:
    """Change the record in `folder`: `data` keys are merged."""
    record = json.loads((folder / "record.json").read_text())
    record["data"] |= changes.pop("data", {})
    record["config"]["data"] |= changes.pop("config", {})
    (folder / "record.json").write_text(json.dumps(record | changes))


def rewrite(folder: Path, names: list[str] | None = None, order: np.ndarray | None = None, swap: bool = False) -> None:
    """Other names of the test images, another order of them, or the two classes in the other order."""
    file = folder / "predictions_test.npz"
    with np.load(file) as content:
        found = dict(content)
    if names is not None:
        found["id"] = np.array(names)
    if order is not None:
        found = {key: value[order] for key, value in found.items()}
    if swap:
        found["label"], found["logits"] = 1 - found["label"], found["logits"][:, ::-1]
    np.savez(file, **found)


def sweep_of(root: Path, name: str, wrong: tuple[int, int], **data: Any) -> list[Path]:
    """Two rows of two seeds each, the first better on val."""
    folders = []
    for row, count in enumerate(wrong):
        for seed in range(2):
            found = run_with(
                root / name, f"{name[0]}{row}aaaaaaaa", seed, 95.0 - row, right(count + seed), lr=10.0 ** -(row + 1)
            )
            edit(found, data={"classes": ["cat", "dog"], **data})
            folders.append(found)
    return folders


def marks(*arguments: str | Path) -> list[tuple[str, str]]:
    rows = rows_of(report_here(*arguments, "--format", "csv"))
    return [(row.get("test_set", ""), row["mark"]) for row in rows]


def others(root: Path, kind: str) -> None:
    """A second sweep on other test images than the first."""
    folders = sweep_of(root, "second", (4, 40), fingerprint="beef" if kind != "split seed" else "f00d")
    for folder in folders:
        if kind == "other names":
            rewrite(folder, [f"b/{number}.png" for number in range(N)])
        elif kind == "split seed":
            rewrite(folder, [f"{number + 7}.png" for number in range(N)])
            edit(folder, config={"split_seed": 1})
        elif kind == "other classes":
            edit(folder, data={"classes": ["dog", "cat"]})  # the same names, each in the other class
        elif kind == "more classes":
            with np.load(folder / "predictions_test.npz") as content:
                found = dict(content)
            found["logits"] = np.pad(found["logits"], ((0, 0), (0, 1)), constant_values=-9)
            np.savez(folder / "predictions_test.npz", **found)
            edit(folder, data={"classes": ["cat", "dog", "cow"]})


@pytest.mark.parametrize("kind", ["other names", "split seed", "other classes", "more classes"])
def test_two_test_sets_are_judged_each_by_itself(tmp_path: Path, kind: str) -> None:
    sweep_of(tmp_path, "first", (4, 40))
    others(tmp_path, kind)
    alone = {name: rows_of(report_here(tmp_path / name, "--format", "csv")) for name in ("first", "second")}
    both = rows_of(report_here(tmp_path / "first", tmp_path / "second", "--format", "csv"))
    assert [row.pop("test_set") for row in both] == ["1", "1", "2", "2"]
    assert both == alone["first"] + alone["second"] and [row["mark"] for row in both] == ["reference", "worse"] * 2
    text = report_here(tmp_path / "first", tmp_path / "second").stdout
    for number, name in ((1, "first"), (2, "second")):
        assert f"test set {number} of 2 ({N} test images of {name}), judged by itself" in " ".join(text.split())
    assert report_here(tmp_path / "first", tmp_path / "second", "--format", "markdown").stdout.count("| model |") == 2
    page = tmp_path / "page.html"
    assert report_here(tmp_path / "first", tmp_path / "second", "--html", page).returncode == 0
    assert "test set 2 of 2" in (tmp_path / "page-2.html").read_text() and "test set 1 of 2" in page.read_text()
    named = report_here(tmp_path / "first", tmp_path / "second", "--reference", "f1aa", "--format", "csv")
    assert [row["mark"] for row in rows_of(named)] == ["better", "reference", "reference", "worse"]
    assert "here the reference was picked by val" in named.stderr
    assert report_here(tmp_path / "first", tmp_path / "second", "--reference", "zzzz").returncode == 2


@pytest.mark.parametrize("kind", ["order of images", "order of classes", "one without predictions"])
def test_one_test_set_stays_one_in_whatever_order(tmp_path: Path, kind: str) -> None:
    sweep_of(tmp_path, "first", (4, 40))
    before = rows_of(report_here(tmp_path / "first", "--format", "csv"))
    for folder in (tmp_path / "first").glob("*-f1aaaaaaaa/*"):
        if kind == "order of images":
            rewrite(folder, order=np.random.default_rng(0).permutation(N))
        elif kind == "order of classes":
            rewrite(folder, swap=True)
            edit(folder, data={"classes": ["dog", "cat"]})
        else:
            (folder / "predictions_test.npz").unlink()
    after = rows_of(report_here(tmp_path / "first", "--format", "csv"))
    if kind == "one without predictions":
        assert [row["mark"] for row in after] == ["reference", "worse"] and "test_set" not in after[0]
        assert "without predictions, images count as drawn anew" in " ".join(
            report_here(tmp_path / "first").stdout.split()
        )
    else:
        assert after == before


@pytest.mark.parametrize("spoil", ["nonsense", "gone"])
def test_one_unreadable_file_takes_its_own_run_out_and_no_other(tmp_path: Path, spoil: str) -> None:
    folders = sweep_of(tmp_path, "first", (4, 40))
    file = folders[0] / "predictions_test.npz"  # of the reference row, which all are compared with
    if spoil == "nonsense":
        file.write_bytes(b"nonsense")
    else:
        file.unlink()
    result = report_here(tmp_path / "first", "--format", "csv")
    assert [row["mark"] for row in rows_of(result)] == ["reference", "worse"]
    line = f"{folders[0]}: {'predictions_test.npz' if spoil == 'nonsense' else 'no predictions_test.npz'}"
    assert line in result.stderr and result.stderr.count("left out of the comparisons") == 1
    row = rows_of(result)[1]
    assert float(row["diff"]) == pytest.approx(100 * (5 - 40.5) / N, abs=1e-3), "against the other seed alone"
    other = json.loads((folders[1] / "record.json").read_text())
    reference = rows_of(result)[0]
    assert (float(reference["test_acc"]), reference["seeds"]) == (pytest.approx(other["test"]["acc"], abs=1e-3), "1")
    assert "and of the means" in result.stderr


@pytest.mark.parametrize("change", [{"split_seed": 1}, {"val_fraction": 0.2}, {"folds": 3, "fold": 1}])
def test_val_on_other_images_picks_no_reference(tmp_path: Path, change: dict[str, Any]) -> None:
    """The test images came with the data, val was drawn from train."""
    for folder in sweep_of(tmp_path, "first", (4, 40), drawn=["val"]):
        if "-f1" in folder.parent.name:
            edit(folder, config=change)
    result = report_here(tmp_path / "first", "--format", "csv")
    assert marks(tmp_path / "first") == [("", ""), ("", "")]
    assert "validated on different images" in result.stderr and "--reference" in result.stderr
    assert "validated on different images" in " ".join(report_here(tmp_path / "first").stdout.split())
    named = report_here(tmp_path / "first", "--format", "csv", "--reference", "f0aa")
    assert [row["mark"] for row in rows_of(named)] == ["reference", "worse"]
    assert "validated on different images" in named.stderr and "no row was picked" not in named.stderr
