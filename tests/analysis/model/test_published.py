"""A table of which only the numbers exist, by itself and beside our own runs."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_runs import (
    LAB,
    PUBLISHED,
    near,
    report,
    report_here,
    rows_of,
    write_run,
)


def test_the_published_table(tmp_path: Path) -> None:
    """Its notes (tests/data): eight pairs, 1.96 points of test and 0.82 of val accuracy between replicates."""
    rows = rows_of(report_here(*LAB, "--format", "csv"))
    assert len(rows) == 11 and sum(row["seeds"] == "2" for row in rows) == 8
    assert [row["mark"] for row in rows] == ["reference"] + ["not separated"] * 10
    assert {row["spread"] for row in rows if row["seeds"] == "1"} == {"borrowed"}
    best = rows[0]
    assert (best["model"], best["weights"], best["test_acc"]) == ("resnet50", "default+imagenet1k_v2", "91.0")
    assert all(float(row["test_low"]) < float(row["test_acc"]) < float(row["test_high"]) for row in rows)
    text = " ".join(report(*LAB, "--interaction", "scheduler", "model", cwd=tmp_path, width=150).stdout.split())
    for words in (
        "8 configurations stand here more than once (8 under two names of the same weights)",
        "differ by up to 6.3 points",
        "standard deviation of 1.96 points of test accuracy",
        "and 0.82 of val accuracy",
        "3 rows with one seed borrow",
        "weights: default against the name it stands for +1.3",
        "scheduler: exponential against none -0.2",
        "model: resnet50 against resnet18 +1.9",
        "does the effect of scheduler change with model? can't tell",
    ):
        assert words in text
    with PUBLISHED.open() as file:
        table = list(csv.DictReader(file))
    with_, without = (
        [float(row["test_acc"]) for row in table if row["scheduler"] == name and row["lr"] == "0.00005"]
        for name in ("exponential", "none")
    )
    assert np.mean(with_) - np.mean(without) == near(-0.21, 0.02), "which the line above says of eight runs each"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--published", PUBLISHED], ["--n-val", "--n-test"]),
        (["--published", "nowhere.csv", "--n-val", "1", "--n-test", "1"], ["nowhere.csv"]),
        (["--published", "odd.csv", "--n-val", "1", "--n-test", "1"], ["no column weights, test_acc"]),
        (["--published", "high.csv", "--n-val", "1", "--n-test", "1"], ["line 2", "test_acc is 101", "0 to 100"]),
        ([*LAB, "--over", "split"], ["--over", "no data.split_seed"]),
        ([*LAB, "outputs", "--looks", "2", "--html", "page.html"], ["--looks, --html", "of no use"]),
        ([*LAB, "outputs", "--sort", "test_acc", "--matters", "1"], ["--sort, --matters", "paired, not ranked"]),
        ([*LAB, "outputs", "--interaction", "lr", "model", "--reference", "abc"], ["--reference, --interaction"]),
        ([*LAB, "--interaction", "schedler", "model"], ["schedler", "did you mean scheduler?"]),
        ([*LAB, "--reference", "model == 'resnet18'"], ["3 rows", "expected one"]),
        ([*LAB, "--reference", "nonsense("], ["nonsense("]),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str | Path], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.csv").write_text("model,val_acc\na,1\n")
    Path("high.csv").write_text("model,weights,val_acc,test_acc\na,none,1,101\n")
    result = report_here(*arguments)
    assert result.returncode == 2 and result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert not [word for word in words if word not in result.stderr]


GOOD = "model,weights,lr,epochs,val_acc,test_acc\nresnet18,none,0.001,5,90,91\nresnet50,default,0.001,5,92,93\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("resnet50,default", "resnet50,default,IMAGENET"), ["line 3 has 7 cells, but the header 6"]),
        (("0.001,5,92,93", "0.001,5,92"), ["line 3 has 5 cell(s)", "no test_acc"]),
        (("resnet50,default", "resnet50,"), ["line 3: weights is empty", "none, default or a name"]),
        (("resnet50,default", ",default"), ["line 3: model is empty"]),
        (("0.001,5,92", "fast,5,92"), ["line 3: lr is fast, expected a number above 0"]),
        (("0.001,5,92", "0.001,5.5,92"), ["line 3: epochs is 5.5, expected a whole number"]),
        (("92,93", "92,93%"), ["line 3: test_acc is 93%, expected a number from 0 to 100"]),
        (("92,93", '92,"93,5"'), ["line 3: test_acc is 93,5, expected a number"]),
        (("92,93", "92,"), ["line 3: test_acc is empty"]),
        (("92,93", "92,nan"), ["line 3: test_acc is nan"]),
        (("92,93", "92,93.52"), ["line 3: test_acc is 93.52, which is no number of 100 images", "--n-test?"]),
        (("val_acc,test_acc", "val_acc,val_acc"), ["no column test_acc"]),
        (("lr,epochs", "lr,lr"), ["the column lr twice"]),
    ],
)
def test_a_published_table_is_read_rightly_or_refused_with_the_line(
    tmp_path: Path, change: tuple[str, str], words: list[str]
) -> None:
    file = tmp_path / "table.csv"
    options = ["--published", file, "--n-val", "100", "--n-test", "100"]
    file.write_text(GOOD)
    assert report_here(*options).returncode == 0
    file.write_text(GOOD.replace(*change))
    result = report_here(*options)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
    assert not [word for word in words if word not in result.stderr], result.stderr


def test_proportions_are_no_per_cents(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("model,weights,val_acc,test_acc\nresnet18,none,0.5,1\nresnet50,none,0.75,1\n")
    for images in ("400", "7"):
        result = report_here("--published", file, "--n-val", images, "--n-test", images)
        assert result.returncode == 2 and "line 3: val_acc is 0.75, expected per cent: 75 say" in result.stderr


def test_the_number_of_images_has_to_fit_the_accuracies() -> None:
    for n_test in ("349", "1000"):
        result = report_here(*LAB[:-1], n_test)
        assert result.returncode == 2 and f"no number of {n_test} images" in result.stderr


def test_published_and_own_numbers_side_by_side(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"weights": "default", "resolved": "IMAGENET1K_V2", "lr": 5e-5, "weight_decay": 1e-5}
    for seed, test in enumerate((92.0, 93.0)):
        write_run(tmp_path / "own", "aaaaaaaaaa", seed, model="resnet50", test=test, **settings)
    write_run(tmp_path / "own", "bbbbbbbbbb", model="resnet50", test=50.0, **settings | {"lr": 1.0})
    rows = rows_of(report_here(*LAB, tmp_path / "own", "--format", "csv"))
    assert len(rows) == 11
    (row,) = [row for row in rows if row["own"]]
    assert (row["model"], row["lr"], row["scheduler"], row["runs"], row["seeds"]) == (
        "resnet50",
        "5e-05",
        "none",
        "2",
        "2.0",
    )
    assert float(row["diff"]) == near(92.5 - 91.142)
    assert float(row["diff_low"]) < float(row["diff"]) < float(row["diff_high"])
    assert "own - published" in report_here(*LAB, tmp_path / "own").stdout
    assert "Difference own - published with" in report_here(*LAB, tmp_path / "own", "--format", "latex").stdout


def test_a_published_row_that_several_own_ones_fit_is_beside_none(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("model,weights,lr,val_acc,test_acc\nresnet18,none,0.001,95,95\nresnet18,none,0.1,90,90\n")
    options = ["--published", file, "--n-val", "100", "--n-test", "100", tmp_path / "own", "--format", "csv"]
    write_run(tmp_path / "own", "aaaaaaaaaa", test=71.0, epochs=1)
    write_run(tmp_path / "own", "bbbbbbbbbb", test=95.0, epochs=2)
    write_run(tmp_path / "own", "cccccccccc", test=80.0, lr=0.1)
    result = report_here(*options)
    assert [row["own"] for row in rows_of(result)] == ["", "80.0"]
    assert "1 published row beside none" in result.stderr and "2 of the first, which differ in epochs" in result.stderr
    file.write_text("model,weights,lr,epochs,val_acc,test_acc\nresnet18,none,0.001,1,95,95\n")
    one = report_here(*options)
    assert [row["own"] for row in rows_of(one)] == ["71.0"] and not one.stderr


def test_columns_that_are_passed_over_are_told_where_rows_differ_in_them_alone(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    lines = ["model,weights,val_acc,test_acc,seed,augment,note", "a,none,95,91,0,flip,x", "a,none,96,92,1,,x"]
    file.write_text("\n".join([*lines, "b,none,90,91,0,flip,y", ""]))
    options = ["--published", file, "--n-val", "100", "--n-test", "100"]
    text = " ".join(report_here(*options).stdout.split())
    assert "passed over here: augment. Rows" in text and "such as lines 2, 3:" in text
    file.write_text(file.read_text().replace("flip", ""))
    assert "passed over" not in report_here(*options).stdout, "seeds are replicates"


def test_accuracies_may_be_rounded_as_their_digits_say(tmp_path: Path) -> None:
    file, options = tmp_path / "table.csv", ["--n-val", "165", "--n-test", "350"]
    file.write_text("model,weights,val_acc,test_acc\na,none,95,90.0\nb,none,95,90.3\n")
    assert "no whole number" not in report_here("--published", file, *options).stdout
    file.write_text("model,weights,val_acc,test_acc\na,none,93.4,90.0\nb,none,95.2,90.3\n")
    assert "1 of the val accuracies are no whole number" in report_here("--published", file, *options).stdout


def test_options_act_on_a_published_table_alone(tmp_path: Path) -> None:
    plain = report_here(*LAB).stdout
    assert "this is look 3" in report_here(*LAB, "--looks", "3").stdout
    assert "are within 3 points of the best" in " ".join(report_here(*LAB, "--matters", "3").stdout.split())
    best = rows_of(report_here(*LAB, "--format", "csv"))
    named = rows_of(report_here(*LAB, "--format", "csv", "--reference", best[3]["identity"]))
    assert [row["mark"] == "reference" for row in named] == [number == 3 for number in range(11)]
    by_test = [float(row["test_acc"]) for row in rows_of(report_here(*LAB, "--format", "csv", "--sort", "test_acc"))]
    assert by_test == sorted(by_test, reverse=True)
    assert report_here(*LAB, "--html", tmp_path / "page.html").stdout == plain
    assert "resnet50" in (tmp_path / "page.html").read_text()
    nothing = report_here(*LAB, "--where", "model == 'vit_b_16'", "--html", tmp_path / "none.html")
    assert (nothing.returncode, nothing.stdout) == (0, "") and "none of the 19 rows matches" in nothing.stderr
    assert "no page was written" in nothing.stderr and not (tmp_path / "none.html").exists()
    beside = report_here(*LAB, tmp_path, "--where", "model == 'vit_b_16'")
    assert (beside.returncode, beside.stdout) == (0, "") and "none of the 19 rows matches" in beside.stderr
