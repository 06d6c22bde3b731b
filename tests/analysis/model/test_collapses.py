"""Runs that came to nothing, and seeds that stand apart."""

from pathlib import Path

import pytest
from report_runs import report_here, rows_of, write_failed, write_run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """resnet18: the best by val, of which 2 of 4 seeds diverged; resnet50: 4 of 4; swin_t: one of 4 failed; vit: seed 2
    is far off."""
    sweep = tmp_path_factory.mktemp("collapses") / "sweep"
    diverged = {"kind": "diverged", "message": "the loss is no longer finite"}
    for seed in range(4):
        if seed < 2:
            write_run(sweep, "aaaaaaaaaa", seed, val=99.5, test=98 + 0.2 * seed)
        else:
            write_failed(sweep, "aaaaaaaaaa", seed, status="diverged", failure=diverged)
        write_run(sweep, "bbbbbbbbbb", seed, model="resnet50", val=98 + 0.1 * seed, test=97 + 0.2 * seed)
        if seed:
            write_run(sweep, "cccccccccc", seed, model="swin_t", val=97.0, test=96 + 0.2 * seed)
        write_run(sweep, "dddddddddd", seed, model="vit", val=96.0, test=61.0 if seed == 2 else 95 + 0.2 * seed)
    write_failed(sweep, "cccccccccc", 0, model="swin_t")
    return sweep


def test_the_share_of_collapses_is_a_column(sweep: Path) -> None:
    rows = {row["model"]: row for row in rows_of(report_here(sweep, "--format", "csv"))}
    shares = {model: row["collapsed"] for model, row in rows.items()}
    assert shares == {"resnet18": "50.0", "resnet50": "0.0", "swin_t": "25.0", "vit": "0.0"}
    assert rows["resnet50"]["mark"] == "reference", "a configuration that diverges in 2 of 4 seeds is not the best"


def test_collapses_are_said(sweep: Path) -> None:
    lines = report_here(sweep).stdout.splitlines()
    text = " ".join(" ".join(lines).split())
    for words in (
        "resnet18: 2 of 4 runs diverged, its mean is of the other 2",
        "swin_t: 1 of 4 runs failed, its mean is of the other 3",
        "resnet18 has the best val accuracy, but half of its runs or more diverged: it was not picked as the reference",
        "seed 2 of vit has 61.0 % test accuracy, 34.3 points below the mean of its 3 other seeds",
        "resnet18 [2 of 4 runs diverged] (",
    ):
        assert words in text
    assert "best run by val (of its configuration, 2 of 4 runs diverged): python" in lines[-1]
    assert text.count("other seeds (") == 1, "no other seed stands apart"


def test_without_any_there_is_no_column(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep", "aaaaaaaaaa")
    (row,) = rows_of(report_here(tmp_path / "sweep", "--format", "csv"))
    assert "collapsed" not in row
