"""What the reader asks for: points that matter, looks, replicates over splits; and what choosing costs."""

import re
from pathlib import Path

import numpy as np
import pytest
from report_runs import near, predict, report_here, rows_of, run_with, write_run

from analysis.statistics.best import interquartile_mean

MODELS = {"resnet18": 97.0, "resnet50": 96.8, "swin_t": 90.0}
LUCK = (0.0, 0.3, -0.3, 0.2, -0.2)
MANY = {"fingerprint": "f00d", "n": {"train": 9000, "val": 10000, "test": 100000}}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seeds each of two models that are alike and one that is worse, on many images."""
    sweep = tmp_path_factory.mktemp("criteria") / "sweep"
    for number, (model, test) in enumerate(MODELS.items()):
        for seed, luck in enumerate(LUCK):
            identity = f"{number}aaaaaaaaa"
            write_run(sweep, identity, seed, model=model, val=test + luck, test=test - luck, data=MANY)
    return sweep


def marks(sweep: Path, *arguments: str) -> dict[str, str]:
    return {row["model"]: row["mark"] for row in rows_of(report_here(sweep, "--format", "csv", *arguments))}


def test_points_that_matter(sweep: Path) -> None:
    assert marks(sweep) == {"resnet18": "reference", "resnet50": "not separated", "swin_t": "worse"}
    assert marks(sweep, "--matters", "2")["resnet50"] == "equivalent"
    assert marks(sweep, "--matters", "0.2")["resnet50"] == "not separated", "the interval is wider than that"
    assert marks(sweep, "--matters", "20") == {
        "resnet18": "reference",
        "resnet50": "equivalent",
        "swin_t": "equivalent",
    }
    assert report_here(sweep, "--matters", "2").stdout.count("2 rows are within 2 points of the best with 95 %") == 1
    assert report_here(sweep, "--matters", "-1").returncode == 2


def test_later_looks_are_judged_at_lower_levels(sweep: Path) -> None:
    def p(*arguments: str) -> float:
        rows = rows_of(report_here(sweep, "--format", "csv", *arguments))
        return float(next(row["p"] for row in rows if row["model"] == "resnet50"))

    assert p("--looks", "2", "--reference", "0aaa") == near(min(1.0, p("--reference", "0aaa") * 2**1.5), 0.01)
    text = " ".join(report_here(sweep, "--looks", "4").stdout.split())
    assert re.search(r"this is look 4, so marks are judged at 0.6\d % instead of 5 %", text)


def test_what_choosing_costs(sweep: Path) -> None:
    rows = {row["model"]: row for row in rows_of(report_here(sweep, "--format", "csv", "--matters", "1"))}
    best = {model: float(row["p_best"]) for model, row in rows.items()}
    assert sum(best.values()) == near(1.0, 1e-3) and best["resnet18"] > best["resnet50"] > 0.05 > best["swin_t"]
    assert float(rows["swin_t"]["regret"]) == near(7.0, 0.5) and float(rows["resnet18"]["regret"]) < 0.2
    assert float(rows["resnet18"]["p_near"]) > 0.95 and float(rows["swin_t"]["p_near"]) == 0.0
    assert float(rows["resnet50"]["iqm"]) == near(interquartile_mean(96.8 - np.array(LUCK)), 1e-3)
    assert float(rows["swin_t"]["p_improvement"]) == 0.0 and 0.1 < float(rows["resnet50"]["p_improvement"]) < 0.5
    text = " ".join(report_here(sweep).stdout.split())
    assert (
        "2 of 3 rows can still be the best: resnet18 (" in text and "Choosing resnet18 is expected to cost 0." in text
    )


def test_too_few_images_are_not_judged(tmp_path: Path) -> None:
    few = {"fingerprint": "f00d", "n": {"train": 90, "val": 20, "test": 10}}
    for identity, test in (("aaaaaaaaaa", 100.0), ("bbbbbbbbbb", 0.0)):
        for seed in range(2):
            write_run(tmp_path / "sweep", identity, seed, val=test, test=test, data=few, lr=test + 1)
    assert [row["mark"] for row in rows_of(report_here(tmp_path / "sweep", "--format", "csv"))] == ["reference", ""]
    assert "10 test images are too few to tell rows apart" in report_here(tmp_path / "sweep").stdout


def split_runs(sweep: Path) -> None:
    """Two models on the same three splits, which differ by more than the models do."""
    for split, luck in enumerate((0.0, 5.0, -4.0)):
        for number, (model, test) in enumerate({"resnet18": 90.0, "resnet50": 88.0}.items()):
            folder = write_run(
                sweep,
                f"{number}{split}aaaaaaaa",
                0,
                model=model,
                val=test + luck,
                test=test + luck + 0.1 * split * number,
            )
            for name in ("config.json", "record.json"):
                text = (folder / name).read_text()
                (folder / name).write_text(text.replace('"size": 32', f'"size": 32, "split_seed": {split}'))


def test_splits_are_replicates_where_asked(tmp_path: Path) -> None:
    split_runs(tmp_path / "sweep")
    arguments = ("--format", "csv", "--over", "split", "--reference", "model == 'resnet18'")
    rows = rows_of(report_here(tmp_path / "sweep", *arguments))
    assert [(row["model"], row["seeds"]) for row in rows] == [("resnet18", "3"), ("resnet50", "3")]
    low, high = float(rows[1]["diff_low"]), float(rows[1]["diff_high"])
    assert float(rows[1]["diff"]) == near(-1.9, 1e-3)
    assert high - low < 5, "the luck of a split is in both rows"
    assert float(rows[1]["test_high"]) - float(rows[1]["test_low"]) > 8, "and in each"
    assert "folds or splits" in report_here(tmp_path / "sweep", "--over", "split").stdout


def test_one_split_is_no_replicate(sweep: Path) -> None:
    result = report_here(sweep, "--over", "split")
    assert result.returncode == 2 and "--over split: these runs have one split" in result.stderr


def test_hidden_rows_do_not_sharpen_verdicts(sweep: Path) -> None:
    reference = ("--reference", "0aaa", "--format", "csv")
    two = {row["model"]: row for row in rows_of(report_here(sweep, "--where", "model != 'swin_t'", *reference))}
    three = {row["model"]: row for row in rows_of(report_here(sweep, *reference))}
    assert two.keys() == three.keys() - {"swin_t"}
    assert float(two["resnet50"]["p"]) >= 0.9 * float(three["resnet50"]["p"])
    text = " ".join(report_here(sweep, "--where", "model != 'swin_t'").stdout.split())
    reason = "1 row hidden by --where counts as compared with the reference too"
    assert f"{reason}, so marks are judged at 2.5 % instead of 5 %" in text, "of two comparisons one is shown"


@pytest.mark.parametrize("options", [(), ("--where", "seed == 0"), ("--metric", "brier")])
def test_the_level_that_was_used_is_told_with_all_its_reasons(
    sweep: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Of configurations, of trained models, and by another metric."""
    if "brier" in options:
        sweep = tmp_path / "sweep"
        for number in range(3):
            for seed in range(2):
                folder = run_with(sweep, f"{number}aaaaaaaaa", seed, 90.0, np.arange(60) > number + seed, lr=number + 1)
                predict(folder, np.arange(200) >= 20, "val")
    where = "(model != 'swin_t' and lr < 3)" + (f" and {options[1]}" if "--where" in options else "")
    more = () if "--where" in options else options
    text = " ".join(report_here(sweep, "--looks", "2", "--where", where, *more).stdout.split())
    level = 100 * 0.05 / 2**1.5 / 2
    assert "look 2 and 1 row hidden by --where counts as compared with the reference too" in text
    assert f"marks are judged at {level:.2g} % instead of 5 %" in text


def test_folds_are_less_sure_than_seeds_and_are_pairs(tmp_path: Path) -> None:
    for fold, luck in enumerate((0.0, 3.0, -2.0, 2.0, -3.0)):
        for number, (model, test) in enumerate({"resnet18": 80.0, "resnet50": 79.0}.items()):
            for name in ("seeds", "folds"):
                about = {
                    "model": model,
                    "val": test + luck,
                    "test": test + luck + 0.2 * (fold % 2) * number,
                    "data": MANY,
                }
                more = {"fold": fold} if name == "folds" else {}
                folder = write_run(tmp_path / name, f"{number}aaaaaaaaa", 0 if more else fold, **about, **more)
                if more:
                    folder = folder.rename(folder.with_name(f"fold={fold}"))
                    for file in ("config.json", "record.json"):
                        text = (folder / file).read_text()
                        (folder / file).write_text(
                            text.replace('"size": 32', f'"size": 32, "folds": 5, "fold": {fold}')
                        )
    arguments = ("--format", "csv", "--reference", "0aaa")
    seeds, folds = (rows_of(report_here(tmp_path / name, *arguments)) for name in ("seeds", "folds"))
    assert [row["seeds"] for row in seeds + folds] == ["5"] * 4

    def width(row: dict[str, str], name: str) -> float:
        return float(row[f"{name}_high"]) - float(row[f"{name}_low"])

    assert width(folds[0], "test") == near(width(seeds[0], "test") * (1 + 5 / 4) ** 0.5, 0.5)
    assert width(folds[1], "diff") < width(seeds[1], "diff") / 2, "the luck of a fold is in both rows"


def test_rows_of_other_splits_are_not_hidden_where_splits_are_replicates(tmp_path: Path) -> None:
    split_runs(tmp_path / "sweep")
    arguments = ("--over", "split", "--where", "seed == 0", "--reference", "model == 'resnet18'")
    assert "hidden by --where" not in report_here(tmp_path / "sweep", *arguments).stdout, "all is shown"
    write_run(tmp_path / "sweep", "29aaaaaaaa", 0, model="swin_t", val=50.0, test=50.0)
    one = " ".join(report_here(tmp_path / "sweep", *arguments[:2], "--where", "model != 'resnet50'").stdout.split())
    assert "1 row hidden by --where" in one, "three splits of resnet50 are one row"
