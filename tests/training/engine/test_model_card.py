"""The model card that a finished run leaves: its figures are those of the record and of the predictions."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY, only_run, outcome, record_of

from analysis.statistics.inference import wilson as textbook
from training.engine.model_card import wilson


def test_the_card_of_a_finished_run(train: Door, tmp_path: Path) -> None:
    assert train(*QUICK, TINY, "tracking=none", "seed=3").code == 0
    folder = only_run(tmp_path / "outputs")
    text, record = (folder / "README.md").read_text(), record_of(folder)
    assert text.startswith("# tiny: 10 classes, ")
    low, high = (100 * end for end in textbook(record["test"]["acc"] / 100, record["test"]["n"]))
    assert text.count(f"{record['test']['acc']:.1f} % ({low:.1f} to {high:.1f}, 269 images)") == 2
    for name, accuracy in record["test"]["per_class_acc"].items():
        assert f"- {name}: {accuracy:.1f} % of its test images right" in text
    with np.load(folder / "predictions_test.npz") as content:
        labels, guesses = content["label"], content["logits"].argmax(1)
    counts = {(a, b): int(((labels == a) & (guesses == b)).sum()) for a in range(10) for b in range(10) if a != b}
    label, guess = max(counts, key=lambda pair: counts[pair])
    assert f"- {label} taken for {guess}: {counts[label, guess]} of {(labels == label).sum()}" in text
    assert "| licence of the initial weights | none: random weights |" in text
    (command,) = [line for line in text.splitlines() if line.startswith("python train.py ")]
    assert "seed=3" in shlex.split(command) and record["identity"] in text and record["versions"]["torch"] in text
    again = train(*shlex.split(command)[2:], "sweep.name=again")
    assert again.code == 0
    first, second = sorted(run_folders(tmp_path / "outputs"), key=lambda one: one.parts[-3] != "again")
    assert outcome(first) == outcome(second), "the command on the card repeats the run"


def test_no_card_without_a_result(train: Door, tmp_path: Path) -> None:
    command = [*QUICK, TINY, "tracking=none", "optimizer=sgd", "optimizer.lr=1e30", "trainer.clip_norm=null"]
    assert train(*command).code in (0, 1)
    folder = only_run(tmp_path / "outputs")
    assert record_of(folder)["status"] == "diverged" and not (folder / "README.md").exists()


def test_a_card_that_cannot_be_written_costs_no_result(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.engine.model_card

    monkeypatch.setattr(training.engine.model_card, "CARD", "no/../README.md/\0")
    done = train(*QUICK, TINY, "tracking=none")
    assert done.code == 0 and "can't be written" in done.out
    assert record_of(only_run(tmp_path / "outputs"))["status"] == "done"


@pytest.mark.parametrize(("right", "n"), [(0.0, 10), (1.0, 1), (0.97, 269), (0.5, 10000)])
def test_interval_is_the_textbook_one(right: float, n: int) -> None:
    assert wilson(right, n) == pytest.approx(textbook(right, n))
