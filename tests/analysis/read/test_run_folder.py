"""What is read from one run folder."""

from pathlib import Path

from analysis.read import run_folder


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
