"""What a plan says of runs that read the same images in another way, and what becomes of those runs.

data/outputs_ff784ea.tar.xz was made by version ff784ea, which sorted classes as text and knew few names of splits:
class folders 0, 1, 2, 10, 11 (four runs), a CSV with 0.0, 1.0, ... (one), and Training/ and Testing/ (one).
"""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Door, run_folders
from in_process import register
from outcome import TINY, record_of
from pictures import forget, tree, write
from sweeping import without

from training.engine.identity import identity
from training.engine.prepare import prepare
from training.finished.evaluation import set_up_evaluation
from training.finished.finished_runs import finished_run, read_predictions

QUICK = ["data.resize=stretch", "trainer.precision=fp32", "trainer.threads=1", "data.size=8", "debug.max_steps=2"]
QUICK += ["data=folder", TINY, "trainer.batch_size=8", "trainer.epochs=1", "tracking=none"]


@pytest.fixture(autouse=True)
def in_process() -> None:
    register()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    with tarfile.open(ROOT / "tests" / "data" / "outputs_ff784ea.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def notices(out: str) -> list[str]:
    return [line for line in out.splitlines() if "finished run" in line]


@pytest.mark.parametrize(
    "sweep, source, why",
    [
        ("numbers", "data.root={}/images", "classes sorted as text (0, 1, 10, 11, 2)"),
        ("table", "data.root={0}/images data.csv={0}/table.csv", "classes sorted as text (0.0, 1.0, 10.0, 11.0, 2.0)"),
        ("renamed", "data.root={}/renamed", "the folders Testing/, Training/ as classes"),
    ],
)
def test_the_first_plan_says_which_runs_it_leaves_behind(
    train: Door, there: Path, sweep: str, source: str, why: str
) -> None:
    before = {file: file.read_bytes() for file in (there / "outputs").rglob("*") if file.is_file()}
    command = ["-m", *QUICK, *source.format(there).split(), f"sweep.name={sweep}"]
    if sweep == "numbers":
        command += ["seed=0,1", "optimizer.lr=1e-3,2e-3"]
    folder = there / "outputs" / sweep
    count = len(run_folders(folder))
    planned = train(*command, "sweep.plan=true")
    assert planned.code == 0, planned.err
    (line,) = notices(planned.out)
    assert line.startswith(f"{count} finished run") and f" in {folder} " in line and why in line
    assert "anew under" in line
    done = train(*command)
    assert done.code == 0 and notices(done.out) == [line], done.err
    assert len(run_folders(folder)) == 2 * count
    assert all(file.read_bytes() == content for file, content in before.items())
    again = train(*command)
    assert f"plan: {count} run" in again.out and f"{count} done" in again.out and not notices(again.out)


def test_a_single_run_says_which_runs_it_leaves_behind(train: Door, there: Path) -> None:
    command = [*QUICK, f"data.root={there}/images", f"data.csv={there}/table.csv", "sweep.name=table"]
    done = train(*command)
    (line,) = notices(done.out + done.err)
    assert done.code == 0 and "1 finished run in" in line and "(0.0, 1.0, 10.0, 11.0, 2.0)" in line, done
    again = train(*command)
    assert again.code == 0 and not notices(again.out + again.err)


def test_a_study_of_images_read_in_another_way_is_refused_with_the_reason(train: Door, there: Path) -> None:
    command = ["-m", "hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=1", "optimizer.lr=interval(1e-4,1e-2)"]
    command += [*QUICK, f"data.root={there}/images", "sweep.name=study", "hydra/launcher=in_process"]
    assert train(*command).code == 0
    journal = there / "outputs/study/study.journal"
    (now,) = {record_of(folder)["data"]["fingerprint"] for folder in run_folders(there / "outputs/study")}
    (before,) = {record_of(folder)["data"]["fingerprint"] for folder in run_folders(there / "outputs/numbers")}
    journal.write_text(journal.read_text().replace(now, before))  # as an earlier version made it
    refused = train(*command)
    assert refused.code == 2 and "made with classes sorted as text (0, 1, 10, 11, 2)" in refused.err, refused
    assert f"was {before}, now {now}" in refused.err and refused.err.count("\n") == 1


def test_nothing_is_said_where_nothing_is_left_behind(train: Door, there: Path) -> None:
    command = ["-m", *QUICK, f"data.root={there}/images", "seed=5", "sweep.plan=true"]
    assert not notices(train(*command, "sweep.name=numbers").out)
    assert not notices(train(*command, "sweep.name=other").out)


def test_the_runs_left_behind_are_evaluated_as_they_were_trained(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens their images again sees them in their own order of classes, and gets the same scores."""
    monkeypatch.setenv("FINEGRID_CACHE", str(there / "cache"))
    for folder in run_folders(there / "outputs"):
        record = record_of(folder)
        for key in ("root", "csv"):
            if place := record["config"]["data"][key]:
                record["config"]["data"][key] = str(there / Path(place).name)
        (folder / "record.json").write_text(json.dumps(record))
        run = finished_run(folder)
        assert run is not None
        evaluation = set_up_evaluation(run, "cpu")
        for split in ("val", "test"):
            kept = read_predictions(folder, split)
            scores = evaluation.predictions(evaluation.trained.model.state_dict(), split)
            assert np.array_equal(scores.labels, kept.labels)
            assert np.allclose(scores.logits, kept.logits, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "which"),
    [
        ([], "images of less than 48 px"),
        (
            ["model=torchvision", "model.name=mobilenet_v3_small", "data.size=48"],
            "networks of depthwise convolutions",
        ),
    ],
)
def test_runs_in_the_precision_that_auto_was(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: list[str], which: str
) -> None:
    """On a CPU with bf16 `auto` was that for all images and networks; what was made so stays, evaluates as it was
    trained, and is found under its precision."""
    monkeypatch.setattr("training.device.cpu_has_bf16", lambda: True)
    command = [*without(QUICK, "data", "trainer.precision", *["model"] * bool(network)), "sweep.name=digits", *network]
    assert train("-m", *command, "seed=0,1", "trainer.precision=bf16").code == 0
    before = run_folders(tmp_path / "outputs")
    for folder in before:  # as an earlier version wrote it
        for file in (folder / "config.json", folder / "record.json"):
            content = json.loads(file.read_text())
            content["config"]["trainer"]["precision"] = "auto"
            file.write_text(json.dumps(content))
    told = train("-m", *command, "seed=0,1", "sweep.plan=true")
    (line,) = notices(told.out)
    assert (
        line.startswith("2 finished runs in ") and f"trainer.precision=auto is no longer for {which} on a CPU" in line
    )
    assert "(trainer.precision=bf16 finds them)" in line
    assert not notices(train("-m", *command, "seed=0,1", "trainer.precision=bf16", "sweep.plan=true").out)
    (run, _) = before
    found = finished_run(run)
    assert found.config.trainer.precision == "auto"
    evaluation = set_up_evaluation(found)
    assert evaluation.compute.precision == "bf16"
    single = train(*command)
    assert single.code == 0 and len(notices(single.out + single.err)) == 1
    assert len(run_folders(tmp_path / "outputs")) == 3
    assert not notices(train("-m", *command, "seed=0", "trainer.precision=fp32", "sweep.plan=true").out)


def test_runs_of_the_former_finetune(train: Door) -> None:
    command = [*without(QUICK, "data", "trainer.batch_size"), "sweep.name=recipe", "seed=0,1"]
    assert train("-m", *command, "experiment=finetune_v1").code == 0
    (line,) = notices(train("-m", *command, "experiment=finetune", "sweep.plan=true").out)
    assert line.startswith("2 finished runs in ") and "(experiment=finetune_v1 finds them)" in line
    assert "2 done" in train("-m", *command, "experiment=finetune_v1", "sweep.plan=true").out


def test_runs_whose_head_was_drawn_too_large(train: Door, tmp_path: Path) -> None:
    """An EfficientNet's of an earlier version are told, and stay."""
    command = [*without(QUICK, "data", "model"), "model=torchvision", "model.name=efficientnet_b0", "data.size=32"]
    command = ["-m", *command, "sweep.name=heads"]
    assert train(*command).code == 0
    (folder,) = run_folders(tmp_path / "outputs")
    prepared = prepare(finished_run(folder).config)
    former = identity(prepared.config, replace(prepared.resolved, new_head=False))
    assert prepared.resolved.new_head and former != prepared.identity
    old = folder.parent.with_name(folder.parent.name.replace(prepared.identity, former))
    folder.parent.rename(old)
    record = old / "seed=0" / "record.json"
    record.write_text(record.read_text().replace(prepared.identity, former))
    told = train(*command, "sweep.plan=true")
    (line,) = notices(told.out)
    assert line.startswith("1 finished run in ") and "too large for few classes" in line and "1 new" in told.out
    assert train(*command).code == 0 and len(run_folders(tmp_path / "outputs")) == 2


def test_images_that_changed_since_are_told_of(train: Door, tmp_path: Path) -> None:
    """An image more makes another data set, so that all runs are new; so does one less, or another one."""
    images = tmp_path / "images"
    tree(images, {"a": 12, "b": 12})
    command = ["-m", *QUICK, f"data.root={images}", "sweep.name=grown", "seed=0,1"]
    assert train(*command).code == 0
    write(images / "a" / "more.png")
    forget()
    planned = train(*command, "sweep.plan=true")
    (line,) = notices(planned.out)
    assert (
        "2 new" in planned.out
        and line.startswith("2 finished runs in ")
        and " then, " in line
        and "/grown were" in line
    )
    assert "before the images changed" in line and "they stay as they are and are run anew" in line
    alone = train(*QUICK, f"data.root={images}", "sweep.name=grown", "seed=1")
    assert "1 finished run in" in alone.out + alone.err, "a single run says it too"
    assert len(notices(train(*command, "sweep.plan=true").out)) == 1 and "1 finished run" in train(*command).out
    assert not notices(train(*command, "sweep.plan=true").out), "it was said when the new runs began"
    for other in ("data.val_fraction=0.4", "data.split_seed=3"):
        assert not notices(train(*command, other, "sweep.plan=true").out), "other settings are no surprise"
