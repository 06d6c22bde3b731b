"""Hydra's and Optuna's private parts, each tried: what fails here says by name what a new version has changed.

They are used in two modules, sweeps/hydra_glue/private.py and sweeps/sweepers/optuna_private.py, and nowhere else.
"""

import ast
import inspect
import pickle
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import optuna
import pytest
from conftest import ROOT
from hydra import compose, initialize
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileSymlinkLock

from sweeps.hydra_glue import private
from sweeps.sweepers import optuna_private
from sweeps.sweepers.space_lines import parse_space

MODULES = ("sweeps/hydra_glue/private.py", "sweeps/sweepers/optuna_private.py")


def test_hydras_get_args_parser() -> None:
    options = private.argument_parser().parse_intermixed_args(["-m", "a=1", "--cfg", "job", "b=2"])
    found = (options.overrides, options.multirun, options.cfg, options.info, options.help)
    assert found == (["a=1", "b=2"], True, "job", None, False), "hydra._internal.utils.get_args_parser"
    assert {"run", "hydra_help", "shell_completion"} <= vars(options).keys(), (
        "hydra._internal.utils.get_args_parser: options"
    )


def test_hydras_overrides_parser() -> None:
    change, add, delete, sweep = private.parse_overrides(["a.b=1", "+c=x", "~d", "e=1,2"])
    kinds = [item.type for item in (change, add, delete)]
    wanted = [private.OverrideType.CHANGE, private.OverrideType.ADD, private.OverrideType.DEL]
    assert kinds == wanted, "hydra.core.override_parser.types.OverrideType"
    assert (change.key_or_group, change.value(), change.package) == ("a.b", 1, None), "Override.key_or_group, value"
    assert [change.is_hydra_override(), sweep.is_sweep_override()] == [False, True], "Override.is_..._override"
    assert change.get_value_element_as_str() == "1", "Override.get_value_element_as_str"
    assert (change.get_key_element(), delete.input_line) == ("a.b", "~d"), "Override.get_key_element, input_line"


def test_hydras_quotes() -> None:
    (item,) = private.parse_overrides([f"data.root={private.in_quotes('it is ~/a=b, c')}"])
    assert item.value() == "it is ~/a=b, c", "hydra.core.override_parser.types.QuotedString.with_quotes"


def test_hydras_file_config_source(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a:\n  b: ???\n  c: ${elsewhere}\n")
    config = private.FileConfigSource("test", str(tmp_path)).load_config("x").config
    assert config._get_node("a")._get_node("b")._value() == "${missing_in:'x'}", "FileConfigSource.load_config"
    private.keep_missing_values()
    Plugins.instance()
    found = SourcesRegistry.instance().resolve("file")
    assert found is private.FileConfigSource, "hydra._internal.sources_registry.SourcesRegistry.types"


def test_hydras_basic_sweeper() -> None:
    lines = list(private.grid_of(private.parse_overrides(["a=1,2", "b=range(2)", "c=x"])))
    wanted = [["a=1", "b=0", "c=x"], ["a=1", "b=1", "c=x"], ["a=2", "b=0", "c=x"], ["a=2", "b=1", "c=x"]]
    assert lines == wanted, "BasicSweeper.split_arguments"
    with pytest.raises(HydraException, match="INTERVAL_SWEEP"):  # which messages.py looks for
        list(private.grid_of(private.parse_overrides(["a=interval(0,1)"])))
    sweeper = private.BasicSweeper(None, {"a": "1"})
    attributes = {"max_batch_size", "params", "hydra_context", "config", "launcher"}
    assert attributes <= vars(sweeper).keys(), "BasicSweeper.__init__: attributes that GridSweeper uses"
    assert set(inspect.signature(sweeper.setup).parameters) == {"hydra_context", "task_function", "config"}


def test_hydras_callbacks_and_context() -> None:
    with initialize(config_path=None):
        loader = GlobalHydra.instance().config_loader()
        context = private.context_without_callbacks(loader)
    assert context.config_loader is loader, "hydra._internal.callbacks.Callbacks, HydraContext"


def test_hydras_config_singleton() -> None:
    with initialize(config_path=None):
        loaded = compose(overrides=["hydra.job.name=of_a_test"], return_hydra_config=True)
    before = HydraConfig.instance().cfg
    with private.current_job(loaded):
        assert HydraConfig.get().job.name == "of_a_test", "HydraConfig.set_config"
    assert HydraConfig.instance().cfg is before, "HydraConfig.instance().cfg"


def test_hydras_singletons_travel() -> None:
    HydraConfig.instance()  # so that there is one, whatever ran before
    state = private.singletons()
    assert HydraConfig in state["instances"], "hydra.core.singleton.Singleton.get_state"
    assert hasattr(private, "set_singletons") and callable(private.Singleton.set_state), "Singleton.set_state"


def test_hydras_job_return() -> None:
    config = OmegaConf.create({"hydra": {"overrides": {"task": ["a=1"]}}})
    assert isinstance(config, DictConfig)
    error = ValueError("of a test")
    result = private.failed(config, error)
    assert (result.status, private.returned(result), result.overrides) == (JobStatus.FAILED, error, ["a=1"])
    with pytest.raises(ValueError, match="of a test"):
        _ = result.return_value
    good = JobReturn(status=JobStatus.COMPLETED)
    good.return_value = 3.0
    assert private.returned(good) == 3.0, "hydra.core.utils.JobReturn._return_value"
    private.set_failed(good, error)
    assert private.returned(pickle.loads(pickle.dumps(good))).args == ("of a test",), "JobReturn, pickled"


@pytest.fixture
def sweeper() -> optuna_private.OptunaSweeperImpl:
    """As search.py makes it."""
    return optuna_private.OptunaSweeperImpl(
        sampler=None,
        direction=["maximize", "minimize"],
        storage=None,
        study_name=None,
        n_trials=3,
        n_jobs=2,
        max_failure_rate=1.0,
        custom_search_space=None,
        params=None,
    )


def test_the_stock_sweepers_attributes(sweeper: optuna_private.OptunaSweeperImpl) -> None:
    attributes = {"direction", "storage", "study_name", "n_jobs", "max_failure_rate", "params"}
    assert {*attributes, "custom_search_space_extender"} <= vars(sweeper).keys(), "OptunaSweeperImpl: attributes"
    code = inspect.getsource(sweeper.setup)
    assert all(f"self.{name} = " in code for name in ("launcher", "sweep_dir", "config")), "OptunaSweeperImpl.setup"
    assert optuna_private.directions_of(sweeper) == ["maximize", "minimize"], "OptunaSweeperImpl._get_directions"
    sweeper.direction = "minimize"
    assert optuna_private.directions_of(sweeper) == ["minimize"], "OptunaSweeperImpl._get_directions"


def test_the_stock_sweepers_search_spaces(sweeper: optuna_private.OptunaSweeperImpl) -> None:
    lines = ["a=choice(1,x)", "b=interval(0,1.5)", "c=range(1,7,2)", "d=tag(log,interval(1e-3,1))", "e=5", "~f"]
    space, fixed, deleted = parse_space(lines)
    assert space == {
        "a": CategoricalDistribution([1, "x"]),
        "b": FloatDistribution(0, 1.5),
        "c": IntDistribution(1, 5, step=2),
        "d": FloatDistribution(1e-3, 1, log=True),
    }, "create_optuna_distribution_from_override"
    assert (fixed, deleted) == ({"e": "5"}, ["~f"]), "create_optuna_distribution_from_override"
    choices = [optuna_private.grid_choices(space[key]) for key in "ac"]
    assert choices == [[1, "x"], [1, 3, 5]], "OptunaSweeperImpl._to_grid_sampler_choices"
    with pytest.raises(ValueError, match="only supports discrete"):
        optuna_private.grid_choices(space["b"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    optuna_private.suggest(sweeper, trial, space, fixed)
    assert trial.params.keys() == space.keys(), "OptunaSweeperImpl._configure_trials, optuna.Trial._suggest"
    assert not {*trial.user_attrs} & {*fixed}, "OptunaSweeperImpl._configure_trials: what is fixed is not written"


def test_optunas_private_attributes() -> None:
    study = optuna.create_study()
    first = study.ask({"a": FloatDistribution(0, 1)})
    (running,) = study.trials
    again = optuna_private.take_up(study, running)
    assert (again.number, again.params) == (first.number, first.params), "optuna.trial.FrozenTrial._trial_id"
    again.report(1.0, 1)
    assert study.trials[0].intermediate_values == {1: 1.0}, "optuna.trial.Trial(study, trial_id)"
    found = [optuna_private.contains(FloatDistribution(0, 1), value) for value in (0.5, 2)]
    assert found == [True, False], "optuna.distributions.BaseDistribution._contains"


def test_optunas_journal_lock(tmp_path: Path) -> None:
    first, second = (JournalFileSymlinkLock(str(tmp_path / "journal")) for _ in range(2))
    assert optuna_private.try_lock(first) and not optuna_private.try_lock(second)
    first.release()
    assert second.acquire(), "JournalFileSymlinkLock._lock_file"
    assert not optuna_private.try_lock(first)


def test_no_other_file_uses_private_parts() -> None:
    rooms = [file for room in ("sweeps", "training", "analysis", "finegrid") for file in (ROOT / room).rglob("*.py")]
    found = [use for file in [ROOT / "train.py", *rooms] for use in private_uses(file)]
    assert len(rooms) > 50 and not found, "import it from " + " or ".join(MODULES)
    for name in MODULES:
        assert list(private_uses(ROOT / name, allowed=())), f"{name}: the check sees nothing"


def private_uses(file: Path, allowed: tuple[str, ...] = MODULES) -> Iterator[str]:
    """Imports of hydra._internal and hydra_plugins, and underscore attributes of anything but self and cls."""
    name = str(file.relative_to(ROOT))
    if name in allowed:
        return
    for node in ast.walk(ast.parse(file.read_text())):
        line = f"{name}:{getattr(node, 'lineno', 0)}"
        modules: list[str] = []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            if module.startswith(("hydra._internal", "hydra_plugins", "hydra.core.override_parser", "optuna._")):
                yield f"{line}: {module}"
        if isinstance(node, ast.Attribute) and node.attr in names_of_private_parts():
            yield f"{line}: {node.attr}"


@cache
def names_of_private_parts() -> set[str]:
    """Every underscore attribute that the two modules touch."""
    trees = [ast.parse((ROOT / name).read_text()) for name in MODULES]
    attributes = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in attributes if name.startswith("_") and not name.startswith("__")}
