"""The plan: every job composed, named and counted before the first run; recipes."""

import re
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, Door
from digit_images import write_digits
from outcome import TINY

RECIPES = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))


def lines_of(out: str) -> list[str]:
    """The jobs that a plan lists."""
    return re.findall(r"^  #\d+ .*$", out, re.MULTILINE)


def folders_of(out: str) -> list[str]:
    return [line.rpartition(" -> ")[2] for line in lines_of(out) if " -> " in line]


def test_aliases_and_impossible_pairs(train: Door, tmp_path: Path) -> None:
    grid = ["-m", "model=resnet18,resnet50", "weights=default,imagenet1k_v1,imagenet1k_v2", "sweep.plan=true"]
    refused = train(*grid)
    assert refused.code == 2 and "weights=imagenet1k_v2: resnet18 has no such weights" in refused.err
    assert "sweep.impossible=skip" in refused.err
    planned = train(*grid, "sweep.impossible=skip")
    assert planned.code == 0, planned.err
    assert "plan: 6 runs: 3 new, 2 the same as another, 1 impossible" in planned.out
    same = [line for line in lines_of(planned.out) if "the same as another" in line]
    assert ["weights=imagenet1k_v1" in same[0], "weights=imagenet1k_v2" in same[1]] == [True, True]
    assert len(set(folders_of(planned.out))) == 3
    assert not (tmp_path / "outputs").exists(), "a plan writes nothing"


def test_what_lies_there_is_counted_and_timed(train: Door, tmp_path: Path) -> None:
    command = ["-m", *QUICK, TINY, "tracking=none", "optimizer.lr=1e-3,1e-2"]
    assert train(*command).code == 0
    planned = train(*command, "seed=0,1", "sweep.plan=true")
    assert planned.code == 0, planned.err
    assert re.search(r"plan: 4 runs: 2 new, 2 done; about [\d:.]+ (s|min|h)", planned.out), planned.out


def test_a_job_of_a_sweep_is_composed_as_hydra_composes_it_alone(train: Door, tmp_path: Path) -> None:
    """The sweep puts values into a composition that it keeps; a single run goes through Hydra alone."""
    command = [*QUICK, TINY, "tracking=none", "optimizer=sgd", "augment=flip", "sweep.name=same"]
    assert train("-m", *command, "optimizer.lr=0.01,0.02", "seed=1").code == 0
    folder = next((tmp_path / "outputs" / "same").glob("*lr0.02*/seed=1/.hydra"))
    files = [folder / "config.yaml", folder / "overrides.yaml"]
    swept = [file.read_text() for file in files]
    for file in files:
        file.unlink()
    assert train(*command, "optimizer.lr=0.02", "seed=1").code == 0
    assert [file.read_text() for file in files] == swept


def test_runs_times_the_command_line_which_wins(train: Door, tmp_path: Path) -> None:
    lines = ["model=resnet18 optimizer.lr=1e-3,1e-2", "model=resnet34 trainer.epochs=9"]
    planned = train("-m", f"hydra.sweeper.runs={lines}", "seed=0,1", "trainer.epochs=3", "sweep.plan=true")
    assert planned.code == 0, planned.err
    assert "plan: 6 runs: 6 new" in planned.out
    listed = lines_of(planned.out)
    assert sum("model=resnet18" in line for line in listed) == 4
    assert planned.out.count("trainer.epochs=3") == 1 and "epochs=9" not in planned.out, "of all runs, once"


def test_nothing_starts_when_the_last_job_is_wrong(train: Door, tmp_path: Path) -> None:
    result = train("-m", *QUICK, TINY, "trainer.label_smoothing=0,0.1,2")
    assert result.code == 2 and "label_smoothing" in result.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("recipe", sorted({*RECIPES} - {"lab2_table"}))  # which has a test of its own
def test_recipes_plan_on_any_images_and_say_what_they_are(train: Door, tmp_path: Path, recipe: str) -> None:
    says_what_it_is(recipe)
    data = (
        []
        if recipe == "smoke"
        else ["data=folder", f"data.root={write_digits(tmp_path / 'photos', range(3), 4, 2, 2)}"]
    )
    planned = train("-m", f"sweeps={recipe}", *data, "sweep.plan=true")
    assert planned.code == 0, planned.err
    assert "plan: " in planned.out and not (tmp_path / "outputs").exists()


def says_what_it_is(recipe: str) -> None:
    head = (ROOT / "sweeps" / f"{recipe}.yaml").read_text().partition("\ndefaults:")[0]
    assert f"python train.py -m sweeps={recipe}" in head, "its command"
    assert "?" in head and re.search(r"[Ee]xpect|runs? of|trials of", head), "its question, and what to expect"


def test_the_published_table_is_twenty_different_runs(train: Door, tmp_path: Path) -> None:
    says_what_it_is("lab2_table")
    photos = write_digits(tmp_path / "photos", range(3), 4, 2, 2)
    planned = train("-m", "sweeps=lab2_table", "data=folder", f"data.root={photos}", "sweep.plan=true")
    assert "plan: 20 runs: 20 new" in planned.out
    assert planned.code == 0 and not (tmp_path / "outputs").exists()
    folders = folders_of(planned.out)
    assert len(set(folders)) == 20
    pairs = [folder for folder in folders if folder.endswith("seed=1")]
    assert len(pairs) == 8 and all(folder.replace("seed=1", "seed=0") in folders for folder in pairs)
    assert sum(folder.startswith("swin_v2_s-imagenet1k_v1") for folder in folders) == 1
