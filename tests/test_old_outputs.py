"""What earlier versions left behind lives on: run folders, resume states, studies, and the names of configurations.

data/outputs_47bee83.tar.xz was made by version 47bee83 with the commands below (fp32, one thread): a done grid, a done
run of one of torchvision's networks, a run that was killed after its second epoch, and a study of which the controller
was killed in the fourth of six trials. data/identities_47bee83.json holds override lines, and the run folders that it
gave them.
"""

import csv
import json
import re
import tarfile
from pathlib import Path

import pytest
from conftest import ROOT, Door
from outcome import TINY, history_of, record_of

DATA = ROOT / "tests" / "data"
COMMON = ["trainer.precision=fp32", "trainer.threads=1", "data.size=8"]
SHORT = ["debug.max_steps=2", "trainer.batch_size=32"]
GRID = ["-m", *COMMON, TINY, *SHORT, "trainer.epochs=2", "optimizer.lr=1e-3,2e-3", "seed=0,1", "scheduler=cosine"]
BROKEN = [*COMMON, TINY, "trainer.epochs=6", "tracking=none", "sweep.name=broken"]
STUDY = ["-m", "hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=6", "hydra.sweeper.sampler.seed=0", *COMMON, TINY]
STUDY += ["trainer.epochs=4", "optimizer.lr=tag(log,interval(1e-4,1e-2))", "tracking=none", "hydra.launcher.slots=1"]
# EfficientNets have other names since their heads are drawn anew; the plan tells which finished runs stay behind
MOVED = {
    "efficientnet_b0-none-adamw-lr0.001-onecycle-b8f72b59c9": "efficientnet_b0-none-adamw-lr0.001-onecycle-7d0faec6ce"
}
LARGE = "model=(resnet34|resnet50|resnet1..|swin_s|swin_b|swin_v2_s|swin_v2_b)"
OTHER = "another version of training/"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    with tarfile.open(DATA / "outputs_47bee83.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "outputs"


def test_a_grid_is_reported_and_found_done(train: Door, shell: Door, outputs: Path) -> None:
    reported = shell("-m", "analysis.report", str(outputs / "grid"), "--format", "json")
    assert reported.code == 0, reported.err
    rows = {row["lr"]: row for row in json.loads(reported.out)}
    assert {lr: row["seeds"] for lr, row in rows.items()} == {0.001: 2, 0.002: 2}
    before = {file: file.read_bytes() for file in outputs.glob("grid/*/*/record.json")}
    again = train(*GRID, "sweep.name=grid")
    assert again.code == 0, again.err
    assert "plan: 4 runs: 4 done" in again.out and OTHER not in again.out
    assert {file: file.read_bytes() for file in outputs.glob("grid/*/*/record.json")} == before
    assert "versions of the training code" not in again.out


def test_a_run_broken_in_mid_training_goes_on(train: Door, outputs: Path) -> None:
    (folder,) = outputs.glob("broken/*/seed=0")
    before = history_of(folder)
    resumed = train(*BROKEN)
    assert resumed.code == 0, resumed.err
    assert "going on after epoch 2 of 6" in resumed.out and OTHER not in resumed.out
    assert history_of(folder)[:2] == before[:2] and len(history_of(folder)) == 6
    assert record_of(folder)["status"] == "done" and list(outputs.glob("broken/*/")) == [folder.parent]


def test_a_study_half_done_goes_on(train: Door, outputs: Path) -> None:
    there = {folder.name for folder in outputs.glob("study/tiny*")}
    resumed = train(*STUDY, "sweep.name=study")
    assert resumed.code == 0, resumed.err
    assert "6 trials, of which 4 are there" in resumed.out and OTHER not in resumed.out
    folders = {folder.name for folder in outputs.glob("study/tiny*")}
    assert there < folders and len(folders) == 6
    assert all(record_of(folder / "seed=0")["status"] == "done" for folder in outputs.glob("study/tiny*"))


def test_a_trained_network_predicts(shell: Door, outputs: Path, tmp_path: Path) -> None:
    from digit_images import write_digits

    write_digits(tmp_path / "photos", range(2), 3, 1, 1)
    (folder,) = outputs.glob("torchvision/*/seed=0")
    out = tmp_path / "out.csv"
    done = shell("-m", "training.predict", str(folder), str(tmp_path / "photos"), "--out", str(out))
    assert done.code == 0, done.err
    with out.open() as file:
        assert len(list(csv.DictReader(file))) == 10


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of the table: class folders, class folders in train/ and test/, a CSV."""
    root = tmp_path_factory.mktemp("pictures")
    number = 0
    for split in ("plain", "split/train", "split/test"):
        for label in ("cat", "dog"):
            for index in range(8):
                number += 1
                file = root / split / label / f"{index}.ppm"
                file.parent.mkdir(parents=True, exist_ok=True)
                pixels = bytes((number * 7 + place * 3) % 256 for place in range(48))
                file.write_bytes(b"P6 4 4 255\n" + pixels)
    rows = [
        f"{label}/{index}.ppm,{label},{'train' if index < 4 else 'val' if index < 6 else 'test'}"
        for label in ("cat", "dog")
        for index in range(8)
    ]
    (root / "plain" / "table.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    return root


def moved(folder: str) -> str:
    name, _, replicate = folder.partition("/")
    return f"{MOVED.get(name, name)}/{replicate}"


@pytest.mark.parametrize("models", ["small", pytest.param("all", marks=pytest.mark.slow)])
def test_the_same_commands_find_the_same_folders(train: Door, pictures: Path, models: str) -> None:
    known = json.loads((DATA / "identities_47bee83.json").read_text())
    if models == "small":  # large ones take a second each to look at
        known = {line: folder for line, folder in known.items() if not re.search(LARGE, line)}
    known = {line: moved(folder) for line, folder in known.items()}
    # experiment=finetune has other settings since; those are experiment=finetune_v1 now, which the plan says
    lines = [
        re.sub("experiment=finetune$|experiment=finetune ", lambda _: "experiment=finetune_v1 ", line).strip()
        for line in known
    ]
    lines = [line.replace("{pictures}", str(pictures)) for line in lines]
    planned = train("-m", f"hydra.sweeper.runs={lines}", "sweep.plan=true")
    assert planned.code == 0, planned.err
    found = [line.rpartition(" -> ")[2] for line in planned.out.splitlines() if line.startswith("  #")]
    assert dict(zip(known, found, strict=True)) == known
