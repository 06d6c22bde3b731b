"""A search's folder that was renamed, or copied, goes on by what lies in it; a database has to be told."""

import shutil
from pathlib import Path

from conftest import Door
from sweeping import small

SEARCH = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "optimizer.lr=tag(log,interval(1e-4,1e-1))"]


def test_a_copy_goes_on_and_the_original_too(train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 1), *SEARCH]
    assert train(*command, "sweep.name=a", "hydra.sweeper.n_trials=1").code == 0
    outputs = tmp_path / "outputs"
    shutil.copytree(outputs / "a", outputs / "b")
    copied = train(*command, "sweep.name=b", "hydra.sweeper.n_trials=2")
    assert copied.code == 0 and "plan: study a: 2 trials, of which 1 are there" in copied.out, copied.err
    assert copied.out.count(" started: ") == 1
    assert len(list(outputs.glob("b/*/seed=0/record.json"))) == 2 and len(list(outputs.glob("a/*/seed=0"))) == 1
    original = train(*command, "sweep.name=a", "hydra.sweeper.n_trials=1", "sweep.plan=true")
    assert "plan: study a: 1 trials, of which 1 are there" in original.out


def test_a_database_has_to_be_told_the_name(train: Door, tmp_path: Path) -> None:
    url = f"hydra.sweeper.storage=sqlite:///{tmp_path / 'studies.db'}"
    command = [*small(tmp_path, 1), *SEARCH, url, "hydra.sweeper.n_trials=1"]
    assert train(*command, "sweep.name=a").code == 0
    (tmp_path / "outputs" / "a").rename(tmp_path / "outputs" / "b")
    refused = train(*command, "sweep.name=b")
    assert refused.code == 2 and refused.err.count("\n") == 1, refused.err
    assert "holds the runs of study a" in refused.err and "hydra.sweeper.study_name=a goes on with it" in refused.err
    told = train(*command, "sweep.name=b", "hydra.sweeper.study_name=a")
    assert told.code == 0 and "study a: 1 trials, of which 1 are there" in told.out, told.err
