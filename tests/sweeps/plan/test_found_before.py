"""What a run would fail of is found before any is started, by the plan as by the sweep, in one line."""

from pathlib import Path

import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY

from training.engine.prepare import _check_weights
from training.models.torchvision import answer_of

SMALL = [*QUICK, TINY, "tracking=none"]
LR = "torch.optim.lr_scheduler"


@pytest.mark.parametrize(
    "line, words",
    [
        ("scheduler=step scheduler.kwargs.step_size=0", ["scheduler.kwargs.step_size=0: expected 1 or more"]),
        ("scheduler=cosine scheduler.kwargs.T_max=0", ["scheduler.kwargs.T_max=0: expected 1 or more"]),
        ("scheduler=step scheduler.kwargs.gamma=-1", ["scheduler.kwargs.gamma=-1: expected a factor"]),
        ("scheduler=exponential scheduler.kwargs.gamma=a", ["scheduler.kwargs.gamma=a: expected a factor"]),
        (f"scheduler._target_={LR}.MultiStepLR scheduler.kwargs.milestones=[a]", ["milestones: a is no whole number"]),
        (f"scheduler._target_={LR}.MultiStepLR scheduler.kwargs.milestones=1", ["scheduler: 'int' object"]),
        ("scheduler=onecycle scheduler.kwargs.total_steps=1", ["total_steps=1, but training has 4 steps"]),
        (f"scheduler._target_={LR}.LinearLR scheduler.kwargs.end_factor=2", ["Ending multiplicative factor"]),
        (f"scheduler._target_={LR}.CosineAnnealingLR scheduler.kwargs.eta_min=a", ["scheduler", "TypeError"]),
        ("trainer.threads=999", ["trainer.threads=999: this machine has", "auto"]),
        ("model.kwargs.num_classes=3", ["model.kwargs.num_classes: is the number of classes of the images"]),
        ("optimizer.kwargs.betas=[2,0.9]", ["optimizer: Invalid beta parameter at index 0: 2"]),
        ("optimizer.kwargs.eps=-1", ["optimizer: Invalid epsilon value: -1"]),
        ("optimizer=sgd optimizer.kwargs.momentum=-1", ["optimizer: Invalid momentum value: -1"]),
        ("optimizer.kwargs.amsgrad=maybe", ["optimizer: its first step raises TypeError"]),
        ("optimizer._target_=torch.optim.SparseAdam optimizer.weight_decay=0", ["SparseAdam does not support dense"]),
    ],
)
def test_settings_that_fail_late(train: Door, tmp_path: Path, line: str, words: list[str]) -> None:
    """`sweep.plan=true`, the sweep, and the single run say the same."""
    said = []
    for command in (["-m", "sweep.plan=true"], ["-m"], []):
        result = train(*command, *SMALL, *line.split())
        assert result.code == 2 and result.err.count("\n") == 1, result
        assert all(word in result.err for word in words), result.err
        said.append(result.err.partition(" (in `")[0].strip())
    assert len(set(said)) == 1 and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "line, words",
    [
        ("hydra/launcher=ray", ["hydra/launcher=ray: its package is not installed", "pip install -e '.[ray]'"]),
        ("hydra/launcher=nope", ["hydra/launcher=nope: no such choice", "local"]),
        ("hydra/sweeper=ax", ["hydra/sweeper=ax: no such choice", "optuna_async"]),
        ("tracking=neptune", ["tracking=neptune: no such choice", "mlflow", "TensorBoard"]),
    ],
)
def test_packages_that_are_missing(train: Door, tmp_path: Path, line: str, words: list[str]) -> None:
    import importlib.util

    if line.endswith("ray") and importlib.util.find_spec("hydra_plugins.hydra_ray_launcher"):
        pytest.skip("it is installed")
    result = train("-m", *SMALL, "seed=0,1", line, "sweep.plan=true")
    assert result.code == 2 and result.err.count("\n") == 1, result
    assert all(word in result.err for word in words) and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from training.engine.tracking.needed import PACKAGES

    monkeypatch.setitem(PACKAGES, name, "no_such_package_here")
    result = train("-m", *SMALL, "seed=0,1", f"tracking={name}", "sweep.plan=true")
    assert result.code == 2 and result.err.count("\n") == 1, result
    assert f"pip install 'finegrid[{name}]'" in result.err and not (tmp_path / "outputs").exists()


def test_slurm_without_slurm(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = train("-m", *SMALL, "seed=0,1", "hydra/launcher=submitit_slurm", "sweep.plan=true")
    assert result.code == 2 and "hydra/launcher=submitit_slurm: there is no srun here" in result.err


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights come from an empty cache folder, and nowhere else."""
    _check_weights.cache_clear()
    answer_of.cache_clear()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr("urllib.request._opener", None)


RESNET = [*QUICK, "model=resnet18", "trainer.epochs=1", "tracking=none"]


@pytest.mark.usefixtures("no_network")
def test_weights_without_network_are_told_and_skipped(train: Door, tmp_path: Path) -> None:
    grid = ["-m", *RESNET, "weights=none,default"]
    planned = train(*grid, "sweep.plan=true")
    assert planned.code == 0, planned.err
    assert "plan: 2 runs: 2 new" in planned.out and "imagenet1k_v1 not checked: " in planned.out
    assert planned.out.count("not checked") == 1, "random weights need nothing"
    several = train(*grid, "seed=0,1", "sweep.plan=true").out
    assert several.count("(imagenet1k_v1 not checked)") == 2 and several.count("#2, #3: imagenet1k_v1 not checked") == 1
    refused = train(*grid)
    assert refused.code == 2 and "can't download them for resnet18" in refused.err
    assert "sweep.impossible=skip" in refused.err and not (tmp_path / "outputs").exists()
    skipped = train(*grid, "sweep.impossible=skip")
    assert skipped.code == 0, skipped
    assert "plan: 2 runs: 1 new, 1 impossible" in skipped.out
    assert [folder.parent.name[:13] for folder in run_folders(tmp_path / "outputs")] == ["resnet18-none"]


@pytest.mark.usefixtures("no_network")
def test_a_wrong_file_of_weights_is_found_by_the_plan(train: Door, tmp_path: Path) -> None:
    from torchvision.models import ResNet18_Weights

    file = tmp_path / "torch" / "hub" / "checkpoints" / Path(ResNet18_Weights.IMAGENET1K_V1.url).name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not it")
    planned = train("-m", *RESNET, "weights=none,default", "sweep.plan=true")
    assert planned.code == 2 and "its hash differs" in planned.err, planned
