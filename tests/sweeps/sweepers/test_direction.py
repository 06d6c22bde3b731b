"""The direction of a search follows from its objective, and one that contradicts it is refused."""

from pathlib import Path

import pytest
from conftest import Door
from sweeping import small

SEARCH = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "optimizer.lr=interval(1e-4,1e-1)"]
REFUSED = {
    "hydra.sweeper.direction=minimize": "contradicts the objective val_acc",
    "hydra.sweeper.direction=maximize hydra.sweeper.objective=val_loss": "hydra.sweeper.objective=val_acc",
    "hydra.sweeper.direction=maximize trainer.monitor=val_loss": "contradicts the objective val_loss",
    "hydra.sweeper.directions=[maximize,maximize] hydra.sweeper.objective=[val_acc,params]": "the objective params",
    "hydra.sweeper.directions=[maximize] hydra.sweeper.direction=maximize": "direction or directions, not both",
}
TAKEN = (
    "hydra.sweeper.direction=maximize",
    "hydra.sweeper.direction=minimize hydra.sweeper.objective=val_loss",
    "hydra.sweeper.objective=val_loss",
    "hydra.sweeper.directions=[maximize,minimize] hydra.sweeper.objective=[val_acc,params]",
    "hydra.sweeper.direction=[maximize,minimize] hydra.sweeper.objective=[val_acc,params]",
)


@pytest.mark.parametrize("arguments", REFUSED)
def test_a_contradiction_is_refused(train: Door, tmp_path: Path, arguments: str) -> None:
    result = train(*small(tmp_path, 1), *SEARCH, *arguments.split(" "))
    assert result.code == 2 and REFUSED[arguments] in result.err and result.err.count("\n") == 1, result.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("arguments", TAKEN)
def test_what_agrees_is_taken(train: Door, tmp_path: Path, arguments: str) -> None:
    result = train(*small(tmp_path, 1), *SEARCH, *arguments.split(" "), "sweep.plan=true")
    assert result.code == 0, result.err
