"""Cross-validation: data.folds parts of train and val, of which data.fold is val; test stays as it is."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, Door, run_folders
from outcome import TINY, outcome, record_of
from pictures import fresh as fresh
from pictures import names, opened, problem, table, tree
from safetensors.torch import load_file
from sweeping import tree as files

from analysis import load

pytestmark = pytest.mark.slow

DIGITS = "training.sources.digits"
RUN = [*QUICK, TINY, "tracking=none"]


def folds_of(folds: int, **values: object) -> list[object]:
    return [opened(folds=folds, fold=fold, **values) for fold in range(folds)]


def check_partition(parts: list, plain: object) -> None:
    """The vals are disjoint and cover train and val together; train is the rest; test is as without folds."""
    pool = sorted([*plain.split["train"], *plain.split["val"]])
    assert sorted(np.concatenate([part.split["val"] for part in parts])) == pool
    for part in parts:
        assert sorted([*part.split["train"], *part.split["val"]]) == pool
        assert np.array_equal(part.split["test"], plain.split["test"])
        assert part.fingerprint == plain.fingerprint
    sizes = [len(part.split["val"]) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    for label in range(len(plain.classes)):
        counts = [int((part.labels[part.split["val"]] == label).sum()) for part in parts]
        assert max(counts) - min(counts) <= 1 and min(counts) >= 1


def test_five_folds_of_images_that_come_without_splits() -> None:
    parts = folds_of(5, _target_=DIGITS)
    check_partition(parts, opened(_target_=DIGITS))
    assert len({tuple(part.split["val"]) for part in parts}) == 5
    again = opened(folds=5, fold=2, _target_=DIGITS)
    assert np.array_equal(again.split["val"], parts[2].split["val"])
    other = opened(folds=5, fold=2, _target_=DIGITS, split_seed=1)
    assert not np.array_equal(other.split["val"], parts[2].split["val"])


def test_a_given_val_is_merged_and_a_given_test_is_left_alone(tmp_path: Path) -> None:
    tree(tmp_path, {"train/a": 7, "train/b": 8, "val/a": 2, "val/b": 3, "test/a": 2, "test/b": 1})
    parts = folds_of(4, root=tmp_path)
    check_partition(parts, opened(tmp_path))
    assert any("val/" in name for name in names(parts[0], "train")), "images of the given val train too"
    assert all(name.startswith("test/") for name in names(parts[3], "test"))


@pytest.mark.parametrize("given", ["test", "val"])
def test_one_of_the_two_is_given(tmp_path: Path, given: str) -> None:
    tree(tmp_path, {"train/a": 12, "train/b": 13, f"{given}/a": 3, f"{given}/b": 3})
    check_partition(folds_of(3, root=tmp_path), opened(tmp_path))


def test_a_csv_too(tmp_path: Path) -> None:
    tree(tmp_path, {"x": 12})
    rows = [f"x/{index:03}.png,{'ab'[index % 2]}" for index in range(12)]
    file = table(tmp_path / "list.csv", *rows, header="path,label")
    check_partition(folds_of(3, csv=file), opened(csv=file))


def test_complaints(train: Door, tmp_path: Path) -> None:
    for settings, message in {
        "data.fold=1": "data.fold=1 needs data.folds=K",
        "data.folds=3": "data.folds=3 needs data.fold=0 to 2, or with -m all: data.fold=0,1,2",
        "data.folds=3 data.fold=3": "data.fold=3: expected 0 to 2",
        "data.folds=3 data.fold=-1": "data.fold=-1: expected 0 to 2",
        "data.folds=1 data.fold=0": "data.folds=1: expected 2 or more",
        "data.folds=200 data.fold=0": "data.folds=200: class 0 has 151 image(s) that aren't test",
    }.items():
        result = train(*settings.split())
        assert result.code == 2 and message in result.err, result.err
    assert not (tmp_path / "outputs").exists()
    tree(tmp_path, {"train/a": 9, "train/b": 2, "val/a": 1, "val/b": 1, "test/a": 1, "test/b": 1})
    assert "class b has 3 image(s)" in problem(tmp_path, folds=4, fold=0)


def test_three_folds_are_three_runs_of_one_row(train: Door, shell: Door, tmp_path: Path) -> None:
    command = ["-m", *RUN, "data.folds=3", "data.fold=0,1,2", "sweep.name=cv"]
    result = train(*command)
    assert result.code == 0, result.err
    assert "plan: 3 runs: 3 new" in result.out
    sweep = tmp_path / "outputs" / "cv"
    folders = run_folders(sweep)
    assert [folder.name for folder in folders] == [f"seed=0-fold={fold}" for fold in range(3)]
    assert len({folder.parent for folder in folders}) == 1
    records = [record_of(folder) for folder in folders]
    assert {record["identity"] for record in records} == {records[0]["identity"]}
    assert [record["fold"] for record in records] == [0, 1, 2]
    vals = [set(np.load(folder / "predictions_val.npz")["id"]) for folder in folders]
    tests = [np.load(folder / "predictions_test.npz")["id"].tolist() for folder in folders]
    assert not vals[0] & vals[1] and not vals[1] & vals[2] and not vals[0] & vals[2]
    assert len(set.union(*vals)) + len(tests[0]) == 1797 and tests[0] == tests[1] == tests[2]

    runs = load(sweep)
    assert runs["fold"].tolist() == [0, 1, 2] and runs["identity"].nunique() == 1
    report = shell("-m", "analysis.report", str(sweep), "--format", "csv")
    assert report.code == 0, report.err
    (row,) = csv.DictReader(report.out.splitlines())
    assert row["seeds"] == "3"
    for split in ("val", "test"):
        mean = np.mean([record[split]["acc"] for record in records])
        assert float(row[f"{split}_acc"]) == pytest.approx(mean, abs=1e-3)
    told = shell("-m", "analysis.report", str(sweep))
    assert "seeds=3" in re.sub(r"\s+", " ", told.out) and "replicates are folds" in told.out
    assert "About configurations" in told.out

    before = files(sweep)
    again = train(*command)
    assert again.code == 0 and "3 runs: 3 done" in again.out
    written = {name for name, when in files(sweep).items() if before.get(name) != when}
    assert all(Path(name).parent == sweep for name in written), "no run is repeated"


def test_identity_knows_folds_not_fold_and_old_ones_stay(train: Door) -> None:
    def folders(*arguments: str) -> list[str]:
        result = train("-m", *RUN, *arguments, "sweep.plan=true")
        assert result.code == 0, result.err
        return re.findall(r" -> (\S+)", result.out)

    plain, three, four = (
        folders(*some.split())
        for some in ("seed=0,1", "data.folds=3 data.fold=0,1,2,1 seed=0,1", "data.folds=4 data.fold=0")
    )
    assert len(set(three)) == 6, "a fold and a seed each, the repeated ones found to be the same"
    identities = [{path.partition("/")[0] for path in paths} for paths in (plain, three, four)]
    assert [len(some) for some in identities] == [1, 1, 1] and len(set.union(*identities)) == 3
    assert folders("data.folds=null", "data.fold=null") == plain[:1]
    assert folders("data.folds=3", "data.fold=0", "data.split_seed=1")[0].partition("/")[0] not in identities[1]


def test_folds_differ_in_what_is_random_and_each_is_repeatable(train: Door, tmp_path: Path) -> None:
    results, starts = [], []
    for name, fold in (("a", 1), ("b", 1), ("c", 0)):
        line = [*RUN, "data.folds=2", f"data.fold={fold}", f"sweep.name={name}", "optimizer.lr=1e-30"]
        result = train(*line)
        assert result.code == 0, result.err
        (folder,) = run_folders(tmp_path / "outputs" / name)
        results.append(outcome(folder))
        starts.append(load_file(folder / "best.safetensors"))  # a rate that moves nothing: the weights of the start
    assert results[0] == results[1]
    first, other = starts[0], starts[2]
    assert any(not torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))


def test_rows_with_and_without_folds_are_told_apart(train: Door, shell: Door, tmp_path: Path) -> None:
    assert train("-m", *RUN, "seed=0,1", "sweep.name=mixed").code == 0
    assert train("-m", *RUN, "data.folds=3", "data.fold=1,2", "sweep.name=mixed").code == 0
    told = re.sub(r"\s+", " ", shell("-m", "analysis.report", str(tmp_path / "outputs" / "mixed")).out)
    assert "rows with 3 folds and with no folds are mixed here" in told
    assert "1 row lacks some of the folds" in told
    assert "data.folds" in told and "data.fold " not in told
