"""optimizer.lr=auto and `python -m training.lr_find`, seen from what a rate does to training."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from conftest import Door, run_folders
from outcome import TINY, history_of, only_run, outcome, record_of

from analysis import load
from analysis.report import main as report
from training import lr_find

pytestmark = pytest.mark.slow

QUIET = ["tracking=none", "trainer.threads=1", "trainer.precision=fp32", "trainer.batch_size=32", "data.size=8"]
PLAIN = [*QUIET, TINY, "optimizer.weight_decay=0", "scheduler=none"]


def results(folder: Path) -> dict[str, object]:
    """What a run came to, but for what names its learning rate."""
    content = outcome(folder)
    record = content["record"]
    record["resolved"].pop("lr", None)
    for key in ("identity", "config"):
        del record[key]
    content.pop("best.safetensors")  # has the identity inside; the predictions say the same of the weights
    return content


def test_rates_far_below_and_above_train_worse(train: Door, tmp_path: Path) -> None:
    assert train(*PLAIN, "trainer.epochs=1", "optimizer.lr=auto").code == 0
    auto = only_run(tmp_path / "outputs")
    found = record_of(auto)["resolved"]["lr"]
    assert auto.parent.name.startswith("tiny-none-adamw-lrauto-none-")
    losses = {found: history_of(auto)[-1]["val_loss"]}
    for rate in (found / 100, found * 100):
        assert train(*PLAIN, "trainer.epochs=1", f"optimizer.lr={rate!r}", "sweep.name=others").code == 0
    for folder in run_folders(tmp_path / "outputs" / "others"):
        losses[record_of(folder)["config"]["optimizer"]["lr"]] = history_of(folder)[-1]["val_loss"]
    assert len(losses) == 3 and min(losses, key=losses.__getitem__) == found, losses


def test_the_run_is_the_one_with_the_found_rate(train: Door, tmp_path: Path) -> None:
    """To the bit: the search leaves no trace in network, optimizer or random numbers. And asked twice, it finds it."""
    lines = [*QUIET, TINY, "trainer.epochs=2", "debug.max_steps=4"]  # OneCycle takes its top from the rate
    assert train(*lines, "optimizer.lr=auto", "sweep.name=first").code == 0
    first = only_run(tmp_path / "outputs" / "first")
    found = record_of(first)["resolved"]["lr"]
    assert train(*lines, "optimizer.lr=auto", "sweep.name=second").code == 0
    assert train(*lines, f"optimizer.lr={found!r}", "sweep.name=by_hand").code == 0
    second, by_hand = (only_run(tmp_path / "outputs" / name) for name in ("second", "by_hand"))
    assert outcome(second) == outcome(first)
    assert results(by_hand) == results(first)
    assert record_of(by_hand)["identity"] != record_of(first)["identity"]
    assert "lr" not in record_of(by_hand)["resolved"]


def test_a_resumed_run_keeps_its_rate(train: Door, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    own = [f"+model.kwargs.stop={stop}", "+model.kwargs.at=110"]  # after the 100 steps of the search, which count alike
    lines = [*PLAIN, *own, "trainer.epochs=4", "optimizer.lr=auto"]  # epochs of 40 steps
    assert train(*lines, "sweep.name=whole").code == 0
    stop.write_text("raise")
    assert train(*lines, "sweep.name=broken").code == 1
    folder = only_run(tmp_path / "outputs" / "broken")
    assert len(history_of(folder)) == 2 and (folder / "resume.pt").exists()
    stop.unlink()
    curve = (folder / "lr_find.csv").stat().st_mtime_ns
    assert train(*lines, "sweep.name=broken").code == 0
    assert (folder / "lr_find.csv").stat().st_mtime_ns == curve  # not searched again
    assert outcome(folder) == outcome(only_run(tmp_path / "outputs" / "whole"))


def test_auto_and_a_number_in_one_grid(train: Door, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = [*PLAIN, "trainer.epochs=1", "debug.max_steps=3", "seed=0,1", "optimizer.lr=auto,1e-3,1"]
    assert train("-m", *line, "sweep.name=both", "hydra.launcher.slots=1").code == 0
    sweep = str(tmp_path / "outputs" / "both")
    capfd.readouterr()
    assert report([sweep, "--format", "csv", "--sort", "lr"]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [(row["lr"], row["seeds"]) for row in rows] == [("1.0", "2"), ("0.001", "2"), ("auto", "2")]
    runs = load(sweep)
    auto = runs[runs["lr"].isna()]
    found = [record_of(Path(folder))["resolved"]["lr"] for folder in auto["folder"]]
    assert auto["lr_resolved"].tolist() == found and len(set(found)) == 2  # a seed each
    assert set(runs.loc[runs["lr"].notna(), "lr_resolved"]) == {1e-3, 1.0}
    assert report([sweep]) == 0
    text = " ".join(capfd.readouterr().out.split())
    assert re.search(rf"lr=auto found {min(found):.2g} to {max(found):.2g} \([^)]*lr=auto\)\.", text), text


def test_a_search_over_other_settings(train: Door, tmp_path: Path) -> None:
    """Each trial finds a rate of its own; and auto may be one of the choices."""
    line = [*PLAIN, "trainer.epochs=1", "debug.max_steps=3", "hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=3"]
    line += ["hydra/sweeper/sampler=grid", "hydra.launcher.slots=1"]
    assert train("-m", *line, "optimizer.lr=auto", "trainer.label_smoothing=choice(0,0.3,0.6)").code == 0
    found = [record_of(folder)["resolved"]["lr"] for folder in run_folders(tmp_path / "outputs" / "grid")]
    assert len(found) == 3 and all(1e-7 < rate < 10 for rate in found)
    assert train("-m", *line, "optimizer.lr=choice(auto,1e-3,1e-2)", "sweep.name=choice").code == 0
    asked = [record_of(folder)["config"]["optimizer"]["lr"] for folder in run_folders(tmp_path / "outputs" / "choice")]
    assert sorted(map(str, asked)) == ["0.001", "0.01", "auto"]


def test_the_command(train: Door, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It says what auto would find, leaves the curve as files, and looks at train images alone."""
    log = tmp_path / "log"
    kwargs = f"data.kwargs={{log: '{log}', outputs: '{tmp_path / 'outputs'}'}}"
    lines = [*PLAIN, "data._target_=own_parts.watched", kwargs, "data.cache=none", "seed=3"]
    root = f"sweep.root={tmp_path / 'outputs'}"
    assert train(*lines, "trainer.epochs=1", "optimizer.lr=auto", "sweep.name=run").code == 0
    expected = record_of(only_run(tmp_path / "outputs"))["resolved"]["lr"]
    log.write_text("")
    assert lr_find.main([*lines, root, "sweep.name=look", "trainer.epochs=1"]) == 0
    out = capfd.readouterr().out
    assert re.search(rf"^optimizer\.lr={re.escape(format(expected, '.3g'))} \(steepest fall", out, re.MULTILINE), out
    assert out.startswith("smoothed loss by learning rate: first ") and "lowest" in out
    seen = [line.split()[0] for line in log.read_text().splitlines()]
    assert seen.count("val") == seen.count("test") == 0 and seen.count("train") > 12
    (folder,) = (tmp_path / "outputs" / "look").glob("*/seed=3")
    assert sorted(path.name for path in folder.iterdir()) == ["lr_find.csv", "lr_find.html"]
    assert "plotly" in (folder / "lr_find.html").read_text()
    rows = list(csv.DictReader((folder / "lr_find.csv").open()))
    rates = [float(row["rate"]) for row in rows]
    assert rates == sorted(rates) and rates[0] == 1e-7 and min(rates) < expected < max(rates)


def test_the_loss_is_the_one_of_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The digits' classes are not quite of one size."""
    curves = []
    for weights in ("none", "balanced"):
        lines = [*PLAIN, f"trainer.class_weights={weights}", f"sweep.root={tmp_path}", f"sweep.name={weights}"]
        assert lr_find.main([*lines, "--steps", "20"]) == 0
        (file,) = (tmp_path / weights).glob("*/*/lr_find.csv")
        curves.append([row["loss"] for row in csv.DictReader(file.open())])
    assert curves[0] != curves[1]


def test_it_stops_when_the_loss_diverges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [*QUIET, "model._target_=own_parts.smooth", "optimizer=sgd", f"sweep.root={tmp_path}"]
    assert lr_find.main([*lines, "--low", "1e-3", "--high", "1e6", "--steps", "60"]) == 0
    out = capsys.readouterr().out
    found = re.search(r"optimizer\.lr=(\S+) .* (\d+) steps", out)
    assert found and int(found[2]) < 50 and 1e-3 <= float(found[1]) < 10, out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["optimizer.lr=1e-3,1e-4"], "one value at a time"),
        (["--low", "1", "--high", "0.1"], "expected 0 < low < high"),
        (["--steps", "3"], "expected 10 or more"),
        (["optimizer.lr=automatic"], "expected a number above 0, or auto"),
        (["model=resnet19"], "no such choice"),
    ],
)
def test_mistakes(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lr_find.main(arguments) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_numbers_mean_what_they_meant(train: Door, tmp_path: Path) -> None:
    """Whole ones and ones in quotes are the same configuration."""
    for text in ("1", "1.0", "'1.0'"):
        assert train(*PLAIN, "debug.max_steps=1", "trainer.epochs=1", f"optimizer.lr={text}").code == 0
    record = record_of(only_run(tmp_path / "outputs"))
    assert json.dumps(record["config"]["optimizer"]["lr"]) == "1.0"
