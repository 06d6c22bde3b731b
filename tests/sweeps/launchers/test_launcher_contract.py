"""What holds for every launcher behind the protocol, and what each does of what it says that it can."""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import in_process
import pytest
from conftest import Door, run_folders
from hydra import initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig
from sweeping import records, results, small, without

from sweeps import channel
from sweeps.hydra_glue.composer import Composer
from sweeps.hydra_glue.private import context_without_callbacks, returned
from sweeps.launchers.batch import BatchJob
from sweeps.launchers.launcher import Event, Handle, Launcher, as_launcher
from training.console.progress import EpochReport

LAUNCHERS = {  # all of them: a new one is one line here
    "local": ["hydra.launcher.slots=2"],
    "folder_workers": ["hydra.launcher.workers=1", "hydra.launcher.slots=2"],
    "ray_workers": ["hydra.launcher.workers=1", "hydra.launcher.slots=2", "hydra.launcher.devices=cpu"],
    "in_process": [],
}
EPOCHS = 3
NO_RAY = "needs a Ray cluster: tests/cluster/test_ray.py runs it in one"


def params() -> list[Any]:
    """All launchers; Ray where there is one, as a cluster opens ports: it takes a network of its own."""
    has_ray = importlib.util.find_spec("ray") is not None and "RAY_ADDRESS" in os.environ
    marks = {"ray_workers": [pytest.mark.skipif(not has_ray, reason=NO_RAY)]}
    return [pytest.param(name, marks=marks.get(name, ())) for name in LAUNCHERS]


@pytest.fixture(autouse=True)
def known_to_hydra() -> None:
    in_process.register()
    ConfigStore.instance().store(name="contract", node={"task": "value", "value": 0}, replace=True)


def work(config: DictConfig) -> float:
    """What the jobs of this suite do."""
    if config.task == "raise":
        raise ValueError("broken on purpose")
    for epoch in range(1, EPOCHS + 1 if config.task == "epochs" else 1):
        channel.on_epoch(EpochReport(epoch, EPOCHS, 50.0, 0.5, 100.0, 1.0))
    return float(config.value)


class Bench:
    """A launcher that Hydra has set up, and jobs for it."""

    def __init__(self, name: str, tmp_path: Path) -> None:
        loader = GlobalHydra.instance().config_loader()
        settings = ["hydra/sweeper=basic", f"hydra/launcher={name}", f"hydra.sweep.dir={tmp_path}", *LAUNCHERS[name]]
        config = loader.load_configuration("contract", settings, run_mode=RunMode.MULTIRUN)
        context = context_without_callbacks(loader)
        self.composer = Composer(context, config)
        self.hydra_launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=work, config=config
        )
        launcher = as_launcher(self.hydra_launcher)
        assert launcher is not None
        self.launcher: Launcher = launcher

    def job(self, number: int, *overrides: str) -> BatchJob:
        return BatchJob(number, self.composer.compose(number, overrides))

    def events(self, handles: Sequence[Handle], answer: channel.Answer = "go") -> list[Event]:
        """All that happens until these jobs have ended. Every epoch is given this answer."""
        found: list[Event] = []
        while any(handle in self.launcher.running for handle in handles):
            for event in self.launcher.wait_any(0.5):
                found.append(event)
                if event.kind == "epoch":
                    self.launcher.answer(event.handle, answer)
        return found

    def until_begun(self, handle: Handle) -> None:
        while not handle.begun:
            self.launcher.wait_any(0.5)


@pytest.fixture(params=params())
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with initialize(config_path=None):
        bench = Bench(request.param, tmp_path)
        with contextlib.closing(bench.launcher):
            yield bench


def kinds(events: Sequence[Event]) -> list[str]:
    return [event.kind for event in events]


def result_of(event: Event) -> JobReturn:
    assert event.result is not None
    return event.result


def test_after_setup_all_slots_are_free(bench: Bench) -> None:
    launcher = bench.launcher
    assert [slot.number for slot in launcher.slots] == list(range(len(launcher.slots))) and launcher.slots
    assert len({slot.name for slot in launcher.slots}) == len(launcher.slots)
    assert launcher.free_slot() in launcher.slots and not launcher.running and launcher.grace_s >= 0
    launcher.warm_up()


def test_a_job_from_submit_to_its_end(bench: Bench) -> None:
    job = bench.job(4, "value=7")
    handle = bench.launcher.submit(job)
    assert (handle.number, handle.folder, handle.slot) == (4, job.folder, bench.launcher.slots[0])
    assert list(bench.launcher.running) == [handle] and bench.launcher.free_slot() is not handle.slot
    events = bench.events([handle])
    assert kinds(events) == ["begun", "ended"] and all(event.handle is handle for event in events)
    assert result_of(events[-1]).return_value == 7.0 and result_of(events[-1]).cfg.value == 7
    assert not bench.launcher.running and bench.launcher.free_slot() is handle.slot
    assert (job.folder / ".hydra" / "config.yaml").is_file(), "Hydra has run it in its folder"


def test_a_failed_job_is_a_result_and_the_next_one_runs(bench: Bench) -> None:
    events = bench.events([bench.launcher.submit(bench.job(0, "task=raise"))])
    assert result_of(events[-1]).status is JobStatus.FAILED
    with pytest.raises(ValueError, match="broken on purpose"):
        _ = result_of(events[-1]).return_value
    events = bench.events([bench.launcher.submit(bench.job(1))])
    assert result_of(events[-1]).status is JobStatus.COMPLETED


def test_as_many_at_once_as_there_are_slots(bench: Bench) -> None:
    handles = []
    while bench.launcher.free_slot() is not None:
        handles.append(bench.launcher.submit(bench.job(len(handles), f"value={len(handles)}")))
    assert [handle.slot for handle in handles] == list(bench.launcher.slots)
    ended = [event for event in bench.events(handles) if event.kind == "ended"]
    assert sorted(event.handle.number for event in ended) == list(range(len(handles))), "each once"
    assert all(result_of(event).return_value == event.handle.number for event in ended)


def test_epochs_are_heard_and_stopped_at_where_there_is_a_channel(bench: Bench) -> None:
    has_channel = bench.launcher.capabilities.channel
    events = bench.events([bench.launcher.submit(bench.job(0, "task=epochs"))])
    assert kinds(events) == ["begun", *["epoch"] * (EPOCHS if has_channel else 0), "ended"]
    assert [event.report.epoch for event in events if event.report] == list(range(1, EPOCHS + 1) if has_channel else [])
    stopped = bench.events([bench.launcher.submit(bench.job(1, "task=epochs"))], answer="stop")
    assert kinds(stopped) == (["begun", "epoch", "stopped"] if has_channel else ["begun", "ended"])


def test_a_run_is_pruned_where_the_launcher_can(bench: Bench) -> None:
    events = bench.events([bench.launcher.submit(bench.job(0, "task=epochs"))], answer="prune")
    if bench.launcher.capabilities.prune:
        assert kinds(events) == ["begun", "epoch", "ended"]
        assert "pruned after epoch 1" in str(returned(result_of(events[-1])))
    else:
        assert kinds(events)[-1] == "ended" and result_of(events[-1]).status is JobStatus.COMPLETED


def test_a_cancelled_job_is_not_heard_of_again(bench: Bench) -> None:
    handle = bench.launcher.submit(bench.job(0))
    bench.launcher.cancel(handle)  # before it begins: every launcher can
    assert not bench.launcher.running and bench.launcher.free_slot() is handle.slot
    if bench.launcher.capabilities.cancel:
        begun = bench.launcher.submit(bench.job(1, "task=epochs"))
        bench.until_begun(begun)
        bench.launcher.cancel(begun)
    assert all(event.handle.number == 2 for event in bench.events([bench.launcher.submit(bench.job(2))]))


def test_close_cancels_and_may_come_twice(bench: Bench) -> None:
    bench.launcher.submit(bench.job(0, "task=epochs"))
    bench.launcher.close()
    assert not bench.launcher.running and bench.launcher.free_slot() is not None
    bench.launcher.close()


def test_waiting_for_nothing_gives_nothing(bench: Bench) -> None:
    """The controller waits like this for a run folder that another process holds."""
    assert list(bench.launcher.wait_any(0.01)) == []


def test_hydras_launch_gives_results_in_order(bench: Bench) -> None:
    given = bench.hydra_launcher.launch([["value=3"], ["value=1"], ["value=2"]], initial_job_idx=5)
    assert [result.return_value for result in given] == [3.0, 1.0, 2.0]


def test_hydras_own_launchers_run_whole_batches() -> None:
    with initialize(config_path=None):
        loader = GlobalHydra.instance().config_loader()
        settings = ["hydra/sweeper=basic", "hydra/launcher=basic"]
        config = loader.load_configuration("contract", settings, run_mode=RunMode.MULTIRUN)
        context = context_without_callbacks(loader)
        basic = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=work, config=config)
    assert as_launcher(basic) is None


def sweep(tmp_path: Path, launcher: str) -> list[str]:
    arguments = without(small(tmp_path, 2), "hydra.launcher")
    return [*arguments, f"hydra/launcher={launcher}", *LAUNCHERS[launcher], f"sweep.name={launcher}"]


@pytest.fixture
def sweep_of(tmp_path: Path) -> Callable[[str], Path]:
    return lambda launcher: tmp_path / "outputs" / launcher


@pytest.mark.parametrize("launcher", [one for one in params() if one.values != ("local",)])
def test_a_grid_comes_to_the_same_under_every_launcher(
    train: Door, tmp_path: Path, launcher: str, sweep_of: Callable[[str], Path]
) -> None:
    for one in ("local", launcher):
        result = train(*sweep(tmp_path, one), "seed=0,1")
        assert result.code == 0, result.err
        assert "plan: 2 runs: 2 new" in result.out and "#1 done: " in result.out
    assert "#0 started: " in result.out and ("on this process" in result.out) == (launcher == "in_process")
    assert len(results(sweep_of("local"))) == 2
    assert results(sweep_of(launcher)) == results(sweep_of("local")), "bit for bit"


@pytest.mark.parametrize("launcher", params())
def test_a_study_prunes_where_the_launcher_can(
    train: Door, tmp_path: Path, launcher: str, sweep_of: Callable[[str], Path]
) -> None:
    study = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=grid", "hydra/sweeper/pruner=threshold"]
    bounds = ["hydra.sweeper.pruner.lower=101"]  # per cent, which no run reaches: all are pruned after an epoch
    result = train(*sweep(tmp_path, launcher), *study, *bounds, "seed=choice(0,1)")
    assert result.code == 0, result.err
    status = {record["status"] for record in records(sweep_of(launcher)).values()}
    assert len(run_folders(tmp_path)) == 2
    can = launcher != "in_process"
    assert status == {"pruned" if can else "done"}
    assert ("InProcessLauncher can't prune: every trial runs to its end" in result.out) == (not can)
