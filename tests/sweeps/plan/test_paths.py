"""One place for a sweep: sweep.root/sweep.name. Whatever names a second one is refused, and nothing is left."""

import shutil
from pathlib import Path

import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY

SMALL = [*QUICK, TINY, "trainer.epochs=1", "tracking=none"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-m", "seed=0,1", "hydra.sweep.dir=elsewhere"], ["hydra.sweep.dir=elsewhere", "sweep.root=FOLDER"]),
        (["-m", "seed=0,1", "hydra.sweep.subdir=${hydra.job.num}"], ["hydra.sweep.subdir=", "sweep.name=NAME"]),
        (["hydra.run.dir=elsewhere"], ["hydra.run.dir=elsewhere", "sweep.root=FOLDER"]),
        (["hydra.job.chdir=true"], ["hydra.job.chdir=true: relative paths"]),
        (["-m", "sweep.name=a,b"], ["sweep.name is a for one run of this grid and b for another"]),
        (["-m", "sweep.root=a,b"], ["sweep.root is a for one run of this grid and b for another"]),
        (["-m", "sweep.plan=true,false"], ["sweep.plan is True for one run of this grid and False for another"]),
        (["-m", "sweep.max_hours=1,2"], ["sweep.max_hours is 1.0 for one run"]),
        (["-m", "seed=0,1", "sweep.name=s${seed}"], ["sweep.name is s0 for one run of this grid and s1 for another"]),
        (["-m", "hydra.sweeper.runs=['sweep.name=b seed=0,1']"], ["(sweep.root/sweep.name)", "not in hydra.sweeper"]),
    ],
)
def test_two_places_are_refused(
    train: Door, tmp_path: Path, arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in (arguments, [*arguments, "sweep.plan=true"]) if arguments[0] == "-m" else (arguments,):
        if "sweep.plan=true,false" in line and line is not arguments:
            continue
        result = train(*SMALL, *line)
        assert result.code == 2 and result.err.count("\n") == 1, result
        assert all(word in result.err for word in words), result.err
        assert not (tmp_path / "outputs").exists() and not Path("elsewhere").exists()


def test_a_grid_whose_folder_moved_goes_on(train: Door, tmp_path: Path) -> None:
    assert train("-m", *SMALL, "seed=0", "sweep.name=before").code == 0
    outputs = tmp_path / "outputs"
    shutil.copytree(outputs / "before", outputs / "copied")
    (outputs / "before").rename(outputs / "moved")
    for name in ("copied", "moved"):
        again = train("-m", *SMALL, "seed=0,1", f"sweep.name={name}")
        assert again.code == 0 and "plan: 2 runs: 1 new, 1 done" in again.out, again
        assert len(run_folders(outputs / name)) == 2
