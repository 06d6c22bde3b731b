"""Every figure of the report against a case whose answer is known: from a paper, by hand, or by construction."""

import csv
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from test_report import report, report_here, rows_of, write_run

from analysis.model import sentences
from analysis.read import run_folder
from analysis.statistics import inference
from analysis.statistics.judge import Judgement, Row, Verdict, difference_variance
from analysis.statistics.spread import pool, spread

PUBLISHED = ROOT / "tests" / "data" / "published_lab2.csv"
LAB = ["--published", PUBLISHED, "--n-val", "165", "--n-test", "350"]


def near(value: float, digits: float = 1e-4) -> Any:
    return pytest.approx(value, abs=digits)


def test_textbook_values() -> None:
    assert inference.wilson(0.5, 20) == near((0.2993, 0.7007))  # by hand
    assert inference.wilson(0.0, 10) == near((0.0, 0.2775))
    assert inference.mcnemar(1, 9) == near(2 * 11 / 1024)  # two tails of a fair coin
    assert inference.mcnemar(0, 0) == 1
    assert inference.two_proportions([3, 1], [4, 4]) == near(0.4857)  # Fisher's tea
    assert inference.unpaired_difference([56, 48], [70, 80]) == near((0.0524, 0.3339))  # Newcombe 1998, table II (a)
    assert inference.paired_difference(12, 2, 100) == near((0.0261, 0.1700))  # by hand: (10 +- 1.96 * ...) / 102
    assert inference.holm([0.01, 0.04, 0.03]) == near([0.03, 0.06, 0.06])
    assert inference.holm([]) == []
    assert inference.t_test(2.2281, 10) == near(0.05) and inference.t_test(-1.96, math.inf) == near(0.05)
    tau, ends = inference.kendall([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5]) or (0.0, (0.0, 0.0))
    assert tau == near(13 / 15) and ends == near((0.3829, 0.9775), 1e-3)
    assert inference.kendall([1, 2, 3, 4], [1, 2, 3, 4]) is None and inference.kendall([1] * 9, range(9)) is None
    assert [inference.expected_best([0, 1], n) for n in (1, 2, 3)] == [0.5, 0.75, 0.875]
    assert inference.expected_best([3.0, 1.0, 2.0], 1) == near(2.0)


def test_the_spread_is_drawn_towards_a_common_one_as_far_as_the_rows_agree() -> None:
    pairs = {"a": np.array([90.0, 92.0]), "b": np.array([88.0, 87.0]), "c": np.array([91.0])}
    pooled = pool(pairs, 0.01)
    assert pooled is not None and pooled.df == 2 and pooled.sd == near(math.sqrt((4 + 1) / 2 / 2))
    lonely = spread(math.nan, 1, pooled, 0.01)
    assert (lonely.source, lonely.variance, lonely.df) == ("borrowed", near(1.25), 2)
    own = spread(2.0, 2, pooled, 0.01)  # two rows are too few to say how far they agree
    assert (own.source, own.variance, own.df) == ("own", near(2.0), 1)
    assert pool({"a": np.array([1.0])}, 0.01) is None

    generator = np.random.default_rng(0)
    equal = {str(number): generator.normal(90, 2, 4) for number in range(4000)}
    pooled = pool(equal, 0.01)
    assert pooled is not None and pooled.prior_df > 30 and pooled.sd == near(2.0, 0.1)
    # Smyth's model itself: variances are 9 * 6 / chi2(6)
    scales = 3 * np.sqrt(6 / generator.chisquare(6, 4000))
    drawn = {str(number): generator.normal(50, scale, 4) for number, scale in enumerate(scales)}
    pooled = pool(drawn, 0.01)
    assert pooled is not None and pooled.prior_df == near(6, 1.0) and math.sqrt(pooled.prior_variance) == near(3, 0.15)


def test_luck_of_the_best() -> None:
    generator = np.random.default_rng(0)
    flattered, believed = [], []
    for _ in range(400):  # true accuracies differ by a standard deviation of 1, and noise is as large
        truth = generator.normal(90, 1, 20)
        seen = truth + generator.normal(0, 1, 20)
        rows = [np.array([value]) for value in seen]
        pooled = pool({"a": np.array([90.0, 90.0 + math.sqrt(2)])}, 0.01)  # a spread of 1
        believed.append(sentences.optimism_of_choice(rows, 300, pooled))
        flattered.append(seen.max() - truth[seen.argmax()])
    assert np.mean(believed) == near(float(np.mean(flattered)), 0.12)


def test_luck_of_the_epoch(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    for values, selected, gain in (
        ([1, 5, 2], 2, 3.5),
        ([5, 4, 3], 1, None),
        ([1, 5, 5, 4], 3, 0.5),
        ([1, 5, 2, 3, 3], 4, 0.5),  # by another monitor than val_acc
        ([1, 2], 2, None),
        ([1, 5, 2], 9, None),
        ([1, "x", 2], 2, None),
    ):
        file.write_text("epoch,val_acc\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values, 1)))
        assert run_folder.epoch_gain(file, selected) == gain
    assert run_folder.epoch_gain(tmp_path / "none.csv", 1) is None


def test_the_published_table(tmp_path: Path) -> None:
    """Its notes (tests/data): eight pairs, 1.96 points of test and 0.82 of val accuracy between replicates."""
    rows = rows_of(report_here(*LAB, "--format", "csv"))
    assert len(rows) == 11 and sum(row["seeds"] == "2" for row in rows) == 8
    assert [row["mark"] for row in rows] == ["reference"] + ["tied"] * 10
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
        (["--published", "odd.csv", "--n-val", "1", "--n-test", "1"], ["no column weights", "test_acc"]),
        (["--published", "high.csv", "--n-val", "1", "--n-test", "1"], ["test_acc", "0 to 100"]),
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


def predict(folder: Path, right: np.ndarray, split: str = "test") -> None:
    """Leave predictions of two classes, right where `right` [N] is."""
    labels = np.arange(len(right)) % 2
    logits = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    names = np.array([f"{number}.png" for number in range(len(right))])
    np.savez(folder / f"predictions_{split}.npz", id=names, label=labels, logits=logits)


def run_with(sweep: Path, identity: str, seed: int, val: float, right: np.ndarray, **changes: Any) -> Path:
    data = {"fingerprint": "f00d", "n": {"train": 900, "val": 200, "test": len(right)}}
    folder = write_run(sweep, identity, seed, val=val, test=100 * float(right.mean()), data=data, **changes)
    predict(folder, right)
    return folder


def test_trained_models_on_the_same_images(tmp_path: Path) -> None:
    """One run each: McNemar, and no claim about configurations."""
    first, second = np.ones(100, dtype=bool), np.ones(100, dtype=bool)
    first[:1] = False
    second[1:10] = False
    run_with(tmp_path / "sweep", "aaaaaaaaaa", 0, 99.0, first, model="resnet18")
    run_with(tmp_path / "sweep", "bbbbbbbbbb", 0, 98.0, second, model="resnet50")
    rows = rows_of(report_here(tmp_path / "sweep", "--format", "csv"))
    assert [row["claim"] for row in rows] == ["model", "model"] and rows[1]["spread"] == ""
    assert (rows[1]["p"], rows[1]["mark"], rows[1]["diff"]) == ("0.0215", "worse", "-8.0")
    low, high = inference.paired_difference(1, 9, 100)
    assert (float(rows[1]["diff_low"]), float(rows[1]["diff_high"])) == near((100 * low, 100 * high), 1e-3)
    assert float(rows[0]["test_low"]) == near(100 * inference.wilson(0.99, 100)[0], 1e-3)
    text = report_here(tmp_path / "sweep").stdout
    assert "About these trained models, not their configurations" in " ".join(text.split())


def test_configurations_on_the_same_images(tmp_path: Path) -> None:
    """Seeds that agree on every image: what is left is the sampling of images, and it is known by hand."""
    first, second = np.ones(400, dtype=bool), np.ones(400, dtype=bool)
    first[:20] = False
    second[10:60] = False  # 10 that only the second gets right, 40 that only the first does
    for seed in range(3):
        run_with(tmp_path / "sweep", "aaaaaaaaaa", seed, 99.0, first, model="resnet18")
        run_with(tmp_path / "sweep", "bbbbbbbbbb", seed, 98.0, second, model="resnet50")
    rows = rows_of(report_here(tmp_path / "sweep", "--format", "csv"))
    row = rows[1]
    assert (row["claim"], row["mark"], row["diff"], row["test_sd"]) == ("configuration", "worse", "-7.5", "0.0")
    error = 100 * math.sqrt(((10 + 40) / 400 - 0.075**2) / 399)
    half = (float(row["diff_high"]) - float(row["diff_low"])) / 2
    assert half == near(1.966 * error, 0.02)
    # the same spread between seeds, but the first takes all images right: other rows on other images are not compared
    other = np.ones(50, dtype=bool)
    run_with(tmp_path / "sweep", "cccccccccc", 0, 90.0, other, model="swin_t")
    rows = rows_of(report_here(tmp_path / "sweep", "--format", "csv"))
    assert (rows[2]["model"], rows[2]["mark"], rows[2]["diff"]) == ("swin_t", "", "")


def test_the_reference_is_the_best_by_val_or_the_one_that_is_named(tmp_path: Path) -> None:
    for identity, model, val, test in (("aaaaaaaaaa", "resnet18", 99, 90), ("bbbbbbbbbb", "resnet50", 98, 95)):
        write_run(tmp_path / "sweep", identity, model=model, val=val, test=test)

    def reference(*arguments: str) -> list[str]:
        rows = rows_of(report_here(tmp_path / "sweep", "--format", "csv", *arguments))
        return [row["model"] for row in rows if row["mark"] == "reference"]

    assert reference() == ["resnet18"], "its test accuracy chooses nothing"
    assert reference("--reference", "bbbb") == reference("--reference", "model == 'resnet50'") == ["resnet50"]
    assert report_here(tmp_path / "sweep", "--reference", "model == 'swin_t'").returncode == 2


def test_effects_and_an_interaction_by_construction(tmp_path: Path) -> None:
    """resnet50 is 4 points better than resnet18 throughout; exponential costs resnet18 6 points, and brings 6 to 50."""
    generator = np.random.default_rng(0)
    right = {
        ("resnet18", None): 80,
        ("resnet18", "exponential"): 74,
        ("resnet50", None): 78,
        ("resnet50", "exponential"): 84,
    }
    for number, ((model, name), share) in enumerate(right.items()):
        scheduler = "torch.optim.lr_scheduler.ExponentialLR" if name else None
        for seed in range(4):
            images = np.arange(1000) < 10 * share
            images[generator.integers(0, 1000, 3)] ^= True
            about = {
                "model": model,
                "scheduler": scheduler,
                "params": 11_000_000 if model == "resnet18" else 23_000_000,
            }
            run_with(tmp_path / "sweep", f"{number}aaaaaaaaa", seed, share, images, **about)
    command = [tmp_path / "sweep", "--interaction", "scheduler", "model"]
    text = " ".join(report(*command, cwd=tmp_path, width=200).stdout.split())
    assert "model: resnet50 against resnet18 +4.0" in text or "model: resnet50 against resnet18 +3.9" in text
    assert "model=resnet18: scheduler: exponential against none -6" in text or "none -5.9" in text
    assert "does the effect of scheduler change with model? yes, the effect grows" in text


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


def test_what_is_imported(tmp_path: Path) -> None:
    """pandas for --help, no statistics before there is something to judge."""
    code = "import sys; from analysis.report import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('scipy' in sys.modules or 'statsmodels' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_how_much_it_would_take(tmp_path: Path) -> None:
    """Two rows that differ by 1 point, with a spread of 2 points between seeds and no images to differ on."""
    pooled = pool({"a": np.array([90.0, 90.0 + 2 * math.sqrt(2)])}, 0.01)
    assert pooled is not None and pooled.sd == near(2.0)
    assert sentences.deviation_interval(replace(pooled, df=10)) == near((1.3975, 3.5099), 1e-3)  # chi-squared tables

    nothing = np.zeros((2, 1000), dtype=bool)
    first = Row(np.array([95.0, 95.0]), np.array([90.0, 92.0]), 1000, nothing)
    second = Row(np.array([94.0, 94.0]), np.array([89.0, 91.0]), 1000, nothing)
    judged = Judgement("configuration", "first", {}, replace(pooled, prior_df=math.inf, df=10**6), None, 0.0)
    variance, _ = difference_variance(first, second, judged)
    assert 1e4 * variance == near(2 * 4 / 2, 1e-6)
    # 1 = 1.96 * sqrt(2 * 4 / n) at n = 30.7
    assert sentences.seeds_needed(first, second, judged) == 31 - 2
    closer = replace(second, test=first.test - 0.1)
    assert sentences.seeds_needed(first, closer, judged) is None, "more than anybody would run"
    table = sentences.Table({"first": first, "second": second}, judged, {"first": "A", "second": "B"}, 100)
    marked = {"first": Verdict(0, 100, mark="reference"), "second": Verdict(0, 100, diff=-1.0, mark="tied")}
    table = replace(table, judged=replace(judged, verdicts=marked))
    # 1.96 + 0.8416 standard errors of sqrt(2 * 4 / n) points
    assert "as large as 5.6 with 2 seeds each, 3.5 with 5 seeds each." in sentences.detectable(table)
    assert "A and B differ by 1.0 ± 3.9 points: 29 more seeds of each" in sentences.sharpen(table)

    # images alone: 100 of 400 images on which one of them is right, balanced but for 4
    ones, others = np.zeros((2, 400), dtype=bool), np.zeros((2, 400), dtype=bool)
    ones[:, :52], others[:, 52:100] = True, True
    first, second = (Row(np.array([95.0, 95.0]), 100 * rows.mean(1), 400, rows) for rows in (ones, others))
    per_image = (100 / 400 - 0.01**2) * 400 / 399
    expected = math.ceil(per_image * (2 * 1.959964 / 0.01) ** 2 / 100) * 100
    assert sentences.images_needed(first, second, judged) == expected
    assert sentences.images_needed(first, first, judged) is None
