"""The table in a terminal."""

from pathlib import Path

import pytest
from report_runs import COLUMNS, report, rows_of, write_demo, write_run


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
    numbers = ["98.50", "96.56", "5.50", "98.75", "12.35", "54.32", "180.50", "140.25", "1.75", "11.18M", "3e-05"]
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
    assert head == ["model", "val_acc", "test_acc", "test_95", "diff", "mark", "best_epoch", "images_per_s", "minutes"]
    interval = ["94.2", "to", "98.5"]  # Wilson's, of 262 right in 270
    assert body[0] == ["resnet18", "98.00", "97.00", *interval, "-", "reference", "5", "180.50", "1.25"]
    assert body[1][:7] == ["resnet50", "95.00", "97.00", *interval, "0.0"]
    assert body[1][-5:] == ["not", "separated", "5", "180.50", "1.25"]
    assert "params=11.18M, status=done" in " ".join(" ".join(lines).split())


def test_rows_that_would_look_alike_show_what_tells_them_apart(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    write_run(sweep, "aaaaaaaaaa", flip=0.0, val=91.0)
    write_run(sweep, "bbbbbbbbbb", flip=0.5, val=92.0)
    write_run(sweep, "cccccccccc", flip=0.25, val=93.0, data={"fingerprint": "f00d"})
    text = report(sweep, cwd=tmp_path, width=160).stdout
    head, *body = [line.split() for line in text.splitlines() if line.startswith(("model", "resnet"))]
    assert [cells[head.index("augment.flip") - len(head)] for cells in body] == ["0.25", "0.5", "0"]
    assert "crop_ratio" not in text and "tracking" not in text and "fingerprint" not in text
    assert rows_of(report(sweep, "--format", "csv", cwd=tmp_path))[0].keys() == set(COLUMNS)
