"""Settings that don't go together: a key that is for one choice is left out of the others and told, what one choice
refuses is an impossible pair, which can be skipped."""

from pathlib import Path

import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY, record_of

SMALL = [*QUICK, TINY, "trainer.epochs=1", "tracking=none"]
PLAN = [*SMALL, "sweep.plan=true"]
PAIRS = [  # a grid of four runs, of which two are possible; what the refusal names
    (["optimizer=sgd,adamw", "optimizer.kwargs.momentum=0.9,0.8"], "AdamW refuses these settings"),
    (["scheduler=step,cosine", "scheduler.kwargs.gamma=0.5,0.1"], "CosineAnnealingLR refuses these settings"),
    (["loss=focal,cross_entropy", "loss.kwargs.gamma=1,2"], "cross_entropy refuses these settings"),
    (["loss=bce,focal", "loss.kwargs.threshold=0.1,0.2"], "focal refuses these settings"),
    (["optimizer=sgd", "optimizer.kwargs.momentum=0,0.9", "seed=0,1"], "Nesterov momentum requires"),
    (["optimizer._target_=torch.optim.Rprop,torch.optim.AdamW", "seed=0,1"], "Rprop has no weight_decay"),
]


@pytest.mark.parametrize("grid, word", PAIRS, ids=lambda value: str(value)[:40])
def test_what_a_choice_refuses_is_an_impossible_pair(train: Door, tmp_path: Path, grid: list[str], word: str) -> None:
    refused = train("-m", *PLAN, *grid)
    assert refused.code == 2 and refused.err.count("\n") == 1 and word in refused.err, refused
    assert "sweep.impossible=skip" in refused.err and "hydra.sweeper.runs" in refused.err
    skipped = train("-m", *PLAN, *grid, "sweep.impossible=skip")
    assert skipped.code == 0 and "plan: 4 runs: 2 new, 2 impossible" in skipped.out, skipped
    assert word in skipped.out and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("typo", ["optimizer.kwargs.momentumm=0.9,0.8", "scheduler.kwargs.gama=0.5,0.1"])
def test_what_all_refuse_is_a_mistake(train: Door, tmp_path: Path, typo: str) -> None:
    result = train("-m", *SMALL, typo, "sweep.impossible=skip")
    assert result.code == 2 and "no run of this grid is possible" in result.err and "unexpected keyword" in result.err
    assert not (tmp_path / "outputs").exists()


def test_a_skipping_grid_runs_what_is_possible(train: Door, tmp_path: Path) -> None:
    grid = ["optimizer=sgd,adamw", "optimizer.kwargs.momentum=0.9"]
    result = train("-m", *SMALL, *grid, "sweep.impossible=skip")
    assert result.code == 0, result.err
    (folder,) = run_folders(tmp_path / "outputs")
    assert record_of(folder)["config"]["optimizer"]["_target_"] == "torch.optim.SGD"


SEARCH = ["hydra/sweeper=optuna_async", "optimizer.lr=interval(1e-4,1e-2)"]


@pytest.mark.parametrize("ways", [["seed=0,1"], SEARCH], ids=["grid", "search"])
@pytest.mark.parametrize(
    "key, condition", [("weights.path=a.pt", "weights=checkpoint"), ("data.fold=0", "data.folds=K")]
)
def test_a_key_that_no_run_can_use_is_a_mistake(
    train: Door, tmp_path: Path, ways: list[str], key: str, condition: str
) -> None:
    result = train("-m", *SMALL, *ways, key)
    whose = "trial of this search" if ways is SEARCH else "run of this grid"
    name = key.partition("=")[0]
    assert (result.code, result.err) == (2, f"error: {name} is only for {condition}, which no {whose} has\n")
    assert not (tmp_path / "outputs").exists()


def test_a_search_tells_what_some_choices_leave_out(train: Door) -> None:
    planned = train("-m", *PLAN, *SEARCH, "data.folds=null,3", "data.fold=0", "model.drop_path=0.1")
    assert planned.code == 0, planned.err
    assert "data.fold doesn't apply to some of the choices, and is left out there" in planned.out
    assert "model.drop_path doesn't apply to any trial, and is left out there" in planned.out


def test_a_single_run_tells_what_it_leaves_out(train: Door) -> None:
    result = train(*SMALL, "model.drop_path=0.1")
    assert result.code == 0 and "model.drop_path doesn't apply to this run, and is left out" in result.out, result


def test_none_and_a_checkpoint_in_one_grid(train: Door, tmp_path: Path) -> None:
    """The path is for the run with the checkpoint; the others are those of a grid without it."""
    assert train(*SMALL, "sweep.name=first").code == 0
    (first,) = run_folders(tmp_path / "outputs" / "first")
    path = f"weights.path={first / 'best.safetensors'}"
    for grid in (["weights=none,checkpoint", path], [f"hydra.sweeper.runs=['weights=none,checkpoint \"{path}\"']"]):
        planned = train("-m", *PLAN, *grid)
        assert planned.code == 0, planned.err
        assert "plan: 2 runs: 2 new" in planned.out and "new, without weights.path" in planned.out
        assert "weights.path doesn't apply to 1 of these runs, and is left out there" in planned.out
    result = train("-m", *SMALL, "weights=none,checkpoint", path)
    assert result.code == 0, result.err
    folders = {folder.parent.name for folder in run_folders(tmp_path / "outputs" / "grid")}
    assert first.parent.name in folders and any("-checkpoint-" in name for name in folders) and len(folders) == 2
    again = train("-m", *SMALL, "weights=none,checkpoint", path)
    assert again.code == 0 and "plan: 2 runs: 2 done" in again.out


def test_a_path_that_no_run_takes_is_refused(train: Door, tmp_path: Path) -> None:
    result = train("-m", *SMALL, "weights=none", "weights.path=x", "seed=0,1")
    assert result.code == 2 and "weights.path is only for weights=checkpoint" in result.err
    alone = train(*SMALL, "weights=none", "weights.path=x")
    assert alone.code == 2 and "weights.path is only for weights=checkpoint" in alone.err
    assert not (tmp_path / "outputs").exists()


def test_folds_and_none(train: Door, tmp_path: Path) -> None:
    planned = train("-m", *PLAN, "data.folds=null,3", "data.fold=0,1,2")
    assert planned.code == 0, planned.err
    assert "plan: 6 runs: 4 new, 2 the same as another" in planned.out
    assert "data.fold doesn't apply to 3 of these runs" in planned.out


@pytest.mark.parametrize(
    "grid, said",
    [
        (["model.drop_path=0.1"], "model.drop_path doesn't apply to 2 of these runs"),
        (["scheduler=none", "scheduler.kwargs.gamma=0.5"], "scheduler.kwargs doesn't apply to 2 of these runs"),
    ],
)
def test_what_is_ignored_is_told(train: Door, grid: list[str], said: str) -> None:
    planned = train("-m", *PLAN, "seed=0,1", *grid)
    assert planned.code == 0 and said in planned.out, planned
