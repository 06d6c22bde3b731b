"""sweep.keep_weights: of how many finished runs the weights stay, in grids, searches and single runs."""

from pathlib import Path

import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY, record_of
from PIL import Image
from sweeping import Starter, small, start, tree

from training.run_folder import BEST, lock

__all__ = ["start"]
SEARCH = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"]
RATES = "optimizer.lr=1e-4,3e-2,1e-2,1e-3"


def by_val(folder: Path) -> tuple[float, float, str]:
    """Sorts from the best by val."""
    val = record_of(folder)["val"]
    return -val["acc"], val["loss"], f"{folder.parent.name}/{folder.name}"


def with_weights(sweep: Path) -> set[Path]:
    return {folder for folder in run_folders(sweep) if (folder / BEST).exists()}


def best_of(sweep: Path, count: int) -> set[Path]:
    return set(sorted(run_folders(sweep), key=by_val)[:count])


def test_a_grid_keeps_the_best(train: Door, tmp_path: Path) -> None:
    command, sweep = [*small(tmp_path, 2), RATES, "seed=0,1"], tmp_path / "outputs" / "grid"
    done = train(*command, "sweep.keep_weights=3")
    assert done.code == 0 and "removed the weights of 5 runs" in done.out, done.err
    assert with_weights(sweep) == best_of(sweep, 3)
    for folder in run_folders(sweep):
        kept = folder in with_weights(sweep)
        assert record_of(folder).get("weights_removed") == (None if kept else "3")
        assert (folder / "predictions_test.npz").exists() and record_of(folder)["status"] == "done"
    before = tree(sweep)
    again = train(*command, "sweep.keep_weights=3")
    assert again.code == 0 and "plan: 8 runs: 8 done" in again.out
    changed = {name for name, when in tree(sweep).items() if before.get(name) != when and "seed=" in name}
    assert not changed, "nothing was done again"
    lowered = train(*command, "sweep.keep_weights=best")
    assert lowered.code == 0 and with_weights(sweep) == best_of(sweep, 1), "applies on the next command"
    assert len(list(sweep.glob(f"*/*/{BEST}"))) == 1


@pytest.mark.slow
def test_who_wants_removed_weights_hears_why(train: Door, shell: Door, tmp_path: Path) -> None:
    sweep = tmp_path / "outputs" / "grid"
    assert train("-m", *QUICK, TINY, RATES, "tracking=none", "sweep.keep_weights=best").code == 0
    (best,) = best_of(sweep, 1)
    run = next(folder for folder in run_folders(sweep) if folder != best)
    words = f"the weights of this run were removed by sweep.keep_weights=best; the best run is {best}"
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    for command in (
        ["-m", "training.predict", str(run), str(tmp_path / "one.png")],
        ["-m", "training.export", str(run), "--to", "onnx"],
        ["-c", f"import finegrid\ntry: finegrid.load_model({str(run)!r})\nexcept Exception as error: exit(str(error))"],
    ):
        result = shell(*command)
        assert result.code != 0 and words in result.err and "Traceback" not in result.err, result.err
        assert len(result.err.strip().splitlines()) == 1
    for path in (run, run / BEST):
        started = train(*QUICK, TINY, "weights=checkpoint", f"weights.path={path}")
        assert started.code == 2 and words in started.err and len(started.err.splitlines()) == 1, started.err
    together = shell("-m", "training.ensemble", str(sweep))
    assert together.code == 0, f"it takes predictions: {together.err}"


def test_a_soup_says_how_many_it_needs(train: Door, shell: Door, tmp_path: Path) -> None:
    assert train(*QUICK, TINY, "tracking=none", "sweep.name=first").code == 0
    (first,) = run_folders(tmp_path / "outputs" / "first")
    start_from = ["weights=checkpoint", f"weights.path={first}"]
    assert train("-m", *QUICK, TINY, *start_from, "tracking=none", "seed=0,1,2", "sweep.keep_weights=best").code == 0
    soup = shell("-m", "training.soup", str(tmp_path / "outputs" / "grid"))
    assert soup.code == 2 and "sweep.keep_weights=best" in soup.err and "sweep.keep_weights=K keeps" in soup.err


def test_a_search_goes_by_its_objective(train: Door, tmp_path: Path) -> None:
    search = [*SEARCH, "optimizer.lr=tag(log,interval(1e-4,1e-1))", "hydra.sweeper.objective=val_loss"]
    result = train(*small(tmp_path, 2), *search, "hydra.sweeper.n_trials=5", "sweep.keep_weights=2")
    assert result.code == 0, result.err
    sweep = tmp_path / "outputs" / "grid"
    best = sorted(run_folders(sweep), key=lambda folder: record_of(folder)["val"]["loss"])[:2]
    assert with_weights(sweep) == set(best)
    again = train(*small(tmp_path, 2), *search, "hydra.sweeper.n_trials=5", "sweep.keep_weights=2")
    assert again.code == 0 and "started" not in again.out


def test_single_runs_share_a_budget(train: Door, tmp_path: Path) -> None:
    sweep = tmp_path / "outputs" / "runs"
    for seed in range(3):  # the first without a limit: it counts all the same
        limit = ["sweep.keep_weights=best"] if seed else []
        assert train(*QUICK, TINY, "tracking=none", f"seed={seed}", *limit).code == 0
    assert with_weights(sweep) == best_of(sweep, 1)


def test_weights_that_a_run_starts_from_stay(train: Door, tmp_path: Path) -> None:
    sweep = tmp_path / "outputs" / "grid"
    assert train("-m", *QUICK, TINY, "tracking=none", "optimizer.lr=1e-7").code == 0
    (first,) = run_folders(sweep)
    command = ["-m", *QUICK, TINY, "tracking=none", "weights=checkpoint", f"weights.path={first}", RATES]
    for _ in range(2):
        assert train(*command, "sweep.keep_weights=best").code == 0
        assert with_weights(sweep) == best_of(sweep, 1) | {first}
    assert train("-m", *QUICK, TINY, "tracking=none", "optimizer.lr=1e-7", "sweep.keep_weights=best").code == 0
    assert with_weights(sweep) == best_of(sweep, 1) | {first}, "other commands know of it, too"


def test_a_run_in_use_keeps_its_weights_until_the_next_command(train: Door, tmp_path: Path) -> None:
    sweep, command = tmp_path / "outputs" / "grid", ["-m", *QUICK, TINY, "tracking=none", RATES]
    assert train(*command).code == 0
    (worst,) = best_of(sweep, 4) - best_of(sweep, 3)
    with lock(worst):
        assert train(*command, "sweep.keep_weights=best").code == 0
        assert with_weights(sweep) == best_of(sweep, 1) | {worst}
    assert train(*command, "sweep.keep_weights=best").code == 0
    assert with_weights(sweep) == best_of(sweep, 1)


@pytest.mark.slow
def test_two_sweeps_at_once_on_one_folder(start: Starter, tmp_path: Path) -> None:
    sweep = tmp_path / "outputs" / "grid"
    command = [*small(tmp_path, 2), "sweep.keep_weights=2"]
    both = [start(*command, "seed=range(5)"), start(*command, "seed=range(3,8)")]
    assert [running.end() for running in both] == [0, 0], [running.out for running in both]
    assert len(run_folders(sweep)) == 8 and with_weights(sweep) == best_of(sweep, 2)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "worst", "true", "null"])
def test_a_budget_that_is_none_is_one_line(train: Door, tmp_path: Path, value: str) -> None:
    result = train("-m", *QUICK, TINY, f"sweep.keep_weights={value}", "seed=0,1")
    assert result.code == 2 and len(result.err.strip().splitlines()) == 1, result.err
    assert "sweep.keep_weights" in result.err and not (tmp_path / "outputs").exists()
