"""The table in a terminal."""

import json
from pathlib import Path

import pytest
from report_runs import COLUMNS, report, report_here, rows_of, write_demo, write_run


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_demo(tmp_path)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_shows_every_number(demo: Path, tmp_path: Path, width: int) -> None:
    write_run(
        demo,
        "eeeeeeeeee",
        model="swin_v2_b",
        val=12.345,
        test=54.321,
        weights="imagenet1k_v1",
        resolved="IMAGENET1K_V1",
    )
    text = report(demo, cwd=tmp_path, width=width).stdout
    *lines, command = text.splitlines()
    assert command.startswith("Classify new images")  # the one line that isn't broken, so that it can be copied
    assert max(map(len, lines)) <= width and "…" not in text
    numbers = ["98.5 ± 0.7", "96.6 ± 0.6", "5.5", "98.8", "12.3", "54.3", "180", "140", "1.75", "11.18M", "3e-05"]
    words = ["resnet18", "swin_v2_b", "IMAGENET1K_V1", "exponential", "sgd", "2 done, 1 failed", "diverged"]
    flowing = " ".join(text.split())
    assert not [one for one in numbers + words if one not in flowing]
    assert "all rows: weight_decay=0.05, batch_size=64" in flowing  # and neither is a column
    assert text.count("weight_decay") == text.count("batch_size") == 1 and "scheduler=" not in text
    assert f"failed (out_of_memory): {demo}/resnet18-aaaaaaaaaa/seed=2".replace(" ", "") in flowing.replace(" ", "")
    assert "CUDA out of memory. Tried 2 GiB [/red]" in flowing
    assert "diverged: " in flowing and "the loss is no longer finite in epoch 2" in flowing


def test_the_demo_table_is_one_piece_in_120_columns(tmp_path: Path) -> None:
    for model, val in (("resnet18", 98.0), ("resnet50", 95.0)):
        write_run(tmp_path / "outputs" / "demo", f"{model[-2:]}aaaaaaaa", model=model, val=val)
    lines = report("outputs/demo", cwd=tmp_path, width=120).stdout.splitlines()
    assert lines[0].startswith("outputs/demo: 2 runs")
    head, *body = [line.split() for line in lines if line.startswith(("model", "resnet"))]
    results = ["val_acc", "test_acc", "test_95", "diff", "mark", "best_epoch", "images_per_s", "minutes", "id"]
    assert head == ["model", *results]
    interval = ["94.2", "to", "98.5"]  # Wilson's, of 262 right in 270
    assert body[0] == ["resnet18", "98.0", "97.0", *interval, "-", "reference", "5", "180", "1.25", "18aaa"]
    assert body[1][:7] == ["resnet50", "95.0", "97.0", *interval, "0.0"]
    assert body[1][-4:] == ["5", "180", "1.25", "50aaa"]
    assert "params=11.18M, status=done" in " ".join(" ".join(lines).split())


def test_rows_that_would_look_alike_show_what_tells_them_apart(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    write_run(sweep, "aaaaaaaaaa", flip=0.0, val=91.0)
    write_run(sweep, "bbbbbbbbbb", flip=0.5, val=92.0)
    write_run(sweep, "cccccccccc", flip=0.25, val=93.0, data={"fingerprint": "f00d"})
    text = report(sweep, cwd=tmp_path, width=160).stdout
    head, *body = [line.split() for line in text.splitlines() if line.startswith(("model", "resnet"))]
    assert [cells[head.index("augment.flip")] for cells in body] == ["0.25", "0.5", "0"]
    assert "crop_ratio" not in text and "tracking" not in text and "fingerprint" not in text
    assert rows_of(report(sweep, "--format", "csv", cwd=tmp_path))[0].keys() == {*COLUMNS, "augment.flip"}


def write_search(sweep: Path) -> None:
    """Four trials of a search over rate, smoothing and augmentation, with the digits that a sampler draws."""
    choices = [("none", 0.0), ("standard", 0.5), ("none", 0.0), ("standard", 0.5)]
    for number, (augment, flip) in enumerate(choices):
        drawn = {"lr": 0.00044312345 * (number + 1), "smoothing": 0.0312345678 * (number + 1), "flip": flip}
        groups = {"model": "resnet18", "augment": augment, "loss": "bce", "experiment": "none"}
        write_run(sweep, f"{number}5bbbbbbbb", val=95.0 - number, choices=groups, **drawn)


def test_swept_settings_stand_beside_the_accuracies_in_80_columns(tmp_path: Path) -> None:
    write_search(tmp_path / "sweep")
    lines = report("sweep", cwd=tmp_path, width=80).stdout.splitlines()
    (first,) = [number for number, line in enumerate(lines) if {"lr", "model"} <= {*line.split()}]
    rows = [line.split() for line in lines[first + 2 : first + 6]]
    assert [row[:4] for row in rows[:2]] == [
        ["1", "resnet18", "0.000443", "none"],
        ["2", "resnet18", "0.000886", "standard"],
    ]
    assert [row[4:7] for row in rows[:2]] == [["0.0312", "95.0", "97.0"], ["0.0625", "94.0", "97.0"]]
    text = " ".join(" ".join(lines).split())
    assert "augment.flip" not in text and "loss=bce" in text and "experiment" not in text
    assert "resnet18 lr=0.000443 augment=none trainer.label_smoothing=0.0312" in text, "what the row is called"


@pytest.mark.parametrize("kind", ["csv", "json", "markdown", "latex"])
def test_every_format_tells_rows_apart(tmp_path: Path, kind: str) -> None:
    write_search(tmp_path / "sweep")
    text = report_here(tmp_path / "sweep", "--format", kind).stdout
    assert "augment" in text and "standard" in text and "smoothing" in text
    if kind in ("csv", "json"):
        rows = json.loads(text) if kind == "json" else rows_of(report_here(tmp_path / "sweep", "--format", kind))
        keys = {"augment", "augment.flip", "loss", "trainer.label_smoothing", "identity", "folder"}
        assert rows[1].keys() >= keys and (rows[1]["augment"], float(rows[1]["augment.flip"])) == ("standard", 0.5)
        assert float(rows[1]["lr"]) == 2 * 0.00044312345 and rows[1]["identity"] == "15bbbbbbbb"
        assert Path(rows[1]["folder"]) == tmp_path / "sweep" / "resnet18-15bbbbbbbb"
    else:
        table, _, below = (
            text.partition("All rows: ") if kind == "markdown" else text.partition(r"\begin{tabular}")[::-1]
        )
        assert "augment.flip" not in text and "0.000886" in table and "adamw" not in table
        assert below.count("optimizer=adamw") == 1 and "0.0625" in table
    chosen = report_here(tmp_path / "sweep", "--where", "augment.flip > 0 and augment == 'standard'", "--format", "csv")
    assert [row["identity"][:2] for row in rows_of(chosen)] == ["15", "35"]


def test_the_id_in_the_table_is_what_reference_takes(tmp_path: Path) -> None:
    write_search(tmp_path / "sweep")
    write_run(tmp_path / "sweep", "15bbbbbbcc", val=50.0, lr=0.1)
    rows = report_here(tmp_path / "sweep", "--format", "markdown").stdout.splitlines()[2:]
    ids = [row.rstrip("| ").split(" ")[-1] for row in rows if row.startswith("| resnet")]
    assert ids == ["05bbbbbbb", "15bbbbbbb", "25bbbbbbb", "35bbbbbbb", "15bbbbbbc"]
    found = rows_of(report_here(tmp_path / "sweep", "--reference", ids[1], "--format", "csv"))
    assert [row["identity"] for row in found if row["mark"] == "reference"] == ["15bbbbbbbb"]
    told = report_here(tmp_path / "sweep", "--reference", "15bbb")
    assert told.returncode == 2 and "2 rows are that" in told.stderr and told.stderr.count("\n") == 1
