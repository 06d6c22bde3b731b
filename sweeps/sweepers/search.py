"""What the asynchronous sweeper does: ask for a trial when a slot is free, tell what came of it."""

import functools
import itertools
import math
import warnings
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_params_from_overrides
from omegaconf import DictConfig, OmegaConf
from optuna.trial import Trial, TrialState
from rich.console import Console

from sweeps.channel import Answer
from sweeps.controller.drive import Outcome, drive
from sweeps.controller.sweep_file import remember
from sweeps.controller.view import View
from sweeps.launchers.local import LocalLauncher
from sweeps.plan.jobs import Job, Planner, estimate_minutes, format_minutes
from sweeps.plan.jobs import describe as describe_job
from sweeps.stopping import Stop
from sweeps.sweepers import objective as objectives
from sweeps.sweepers.best import ranked, show_best
from sweeps.sweepers.grid import carry_out, decode_ahead, end, launch_batch, warm_up_of
from sweeps.sweepers.space import Point, Space, corners, describe, point
from sweeps.sweepers.study import Membership, counted, existing_study, open_study
from training.config import need
from training.errors import ConfigError
from training.progress import EpochReport
from training.record import Record, read_record
from training.run_folder import MULTIRUN

SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
# A low-discrepancy sequence and a shuffled grid are theirs only with one seed throughout, and keep their place in the
# study by themselves; the others draw anew for each trial.
WHOLE = (optuna.samplers.QMCSampler, optuna.samplers.GridSampler)


class Search(OptunaSweeperImpl):
    """The study's controller, and the source of jobs for `drive`."""

    def __init__(self, objective: Any, pruner: Any, enqueue: Any, confirm: tuple[int, list[int]], **stock: Any) -> None:
        self.objective = [] if objective is None else objectives.check(_plain(objective))  # see _settle_objective
        self.sampler_settings: dict[str, Any] = _plain(stock.pop("sampler"))
        self.pruner_settings: dict[str, Any] = _plain(pruner)
        self.enqueue, self.confirm = list(enqueue), confirm
        rate = stock["max_failure_rate"]
        need(0 <= rate <= 1, f"hydra.sweeper.max_failure_rate={rate}: expected 0 to 1")
        super().__init__(sampler=None, **stock)
        self.prunes = not self.pruner_settings["_target_"].endswith("NopPruner")
        need(self.n_trials >= 1, f"hydra.sweeper.n_trials={self.n_trials}: expected 1 or more")
        self.console = Console()
        self.trials: dict[int, Trial] = {}
        self.active: dict[str, int] = {}  # run folder: the trial that has it
        self.followers: dict[int, list[Trial]] = {}  # trials of a configuration that is running already
        self.failed, self.ended = 0, 0
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.planner = Planner(hydra_context, config, warm_up_of(self.launcher))
        self.folder = Path(str(self.sweep_dir))

    def sweep(self, arguments: list[str]) -> Any:
        """Search until the study has n_trials, confirm the best, show the table."""
        self._process_searchspace_config()
        found = create_params_from_overrides([*self._parse_sweeper_params_config(), *arguments])
        self.fixed, self.fixed_overrides = found[1], found[2]
        self.space: Space = {key: item for key, item in found[0].items() if key not in self.fixed}
        self.fixed |= objectives.measuring(self.objective, self.fixed, self.space)
        first = self._check_corners()
        self._settle_objective(first.run.trainer.monitor)
        points = [point(line, self.space) for line in self.enqueue]
        self.sampler = self._make_sampler(0)
        name = str(self.study_name or first.run.sweep.name)
        wanted = (name, _plain(self.storage), self.folder, self.directions, describe(self.space, self.objective, first))
        if first.run.sweep.plan:
            study = existing_study(*wanted)
            self._say_plan(name, counted(study) if study else 0, first)
            return self._say_space(first)
        pruner = instantiate(self.pruner_settings, _execution_whitelist_=("optuna.pruners.*",))
        self.study = open_study(*wanted)
        self.study.pruner = pruner
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.folder / MULTIRUN)
        remember(self.folder, [], dict(zip(self.objective, self.directions, strict=True)))
        outcome = Outcome(stop=Stop(max_hours=first.run.sweep.max_hours))
        decode_ahead(self.launcher, [first])
        self.member = Membership(self.study, self.folder)
        with self.member.joined():
            self.member.enqueue(points)
            self._say_plan(name, counted(self.study), first)
            self._search(outcome)
            if self.confirm[0] and not outcome.stop.reason:
                self._confirm(outcome)
        show_best(self.console, self.study, self.objective, self.folder)
        return end(self.console, self.folder, outcome)

    def _settle_objective(self, monitor: str) -> None:
        """Objectives and directions, by default what the runs go by themselves. Raises ConfigError."""
        if not self.objective:
            need(
                "trainer.monitor" not in self.space, "trainer.monitor is searched over: name a hydra.sweeper.objective"
            )
            self.objective = [monitor]
        self.direction = self.direction or objectives.directions(self.objective)
        self.directions = self._get_directions()
        objectives.check_search(self.objective, self.directions, self.prunes, monitor)

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _check_corners(self) -> Job:
        """Compose what may be asked for, as far as that can be foreseen, before anything is written; gives the first
        that is possible. Raises ConfigError."""
        first: Job | None = None
        for corner in corners(self.space):
            job = self.planner.job(0, self._overrides(corner))
            self._refuse_impossible(job)
            if first is None and job.prepared is not None:
                first = job
        if first is None:
            raise ConfigError("no combination in the search space is possible")
        return first

    def _refuse_impossible(self, job: Job) -> None:
        if job.state == "impossible" and job.run.sweep.impossible == "error":
            raise ConfigError(f"{job.why} (sweep.impossible=skip leaves such trials out)")

    def _overrides(self, values: Point) -> list[str]:
        texts = {name: "null" if value is None else value for name, value in {**values, **self.fixed}.items()}
        return [*(f"{name}={text}" for name, text in texts.items()), *self.fixed_overrides]

    def _make_sampler(self, shift: int) -> Any:
        settings = dict(self.sampler_settings)
        if shift:
            settings["seed"] += shift
        sampler = instantiate(settings, _execution_whitelist_=SAMPLERS)
        if not (isinstance(sampler, functools.partial) and sampler.func is optuna.samplers.GridSampler):
            return sampler
        try:
            grid = {name: list(self._to_grid_sampler_choices(item)) for name, item in self.space.items()}
        except ValueError as error:
            raise ConfigError(f"hydra/sweeper/sampler=grid: {error} Write choice(...) or range(...)") from error
        self.n_trials = min(self.n_trials, math.prod(len(choices) for choices in grid.values()))
        return sampler(grid)

    def _next_sampler(self, count: int) -> Any:
        """The sampler for the trial after `count` others. Each trial has a seed of its own, so that neither a restart
        nor another controller draws the same again."""
        if self.sampler_settings.get("seed") is None or isinstance(self.sampler, WHOLE):
            return self.sampler
        return self._make_sampler(count)

    def _search(self, outcome: Outcome) -> None:
        if isinstance(self.launcher, LocalLauncher):
            with View(self.n_trials - counted(self.study)) as view:
                return drive(self.launcher, self, view, outcome)
        self._say(f"{type(self.launcher).__name__} runs whole batches: {self.n_jobs} trials at once, without pruning")
        while not outcome.stop.over():
            batch = [job for job in (self.next_job() for _ in range(self.n_jobs)) if job is not None]
            if not batch:
                return None
            for job, record in zip(batch, launch_batch(self.launcher, batch, outcome), strict=True):
                self.on_end(job, record)

    def next_job(self) -> Job | None:
        """A trial that has to be run: one that a dead controller left, or a new one, unless its result is known."""
        while True:
            trial = self.member.adopt()
            if trial is None and not self._too_many_failures():
                trial = self.member.ask(self.n_trials, self._next_sampler)
            if trial is None:
                return None
            job = self._job(trial)
            if job is not None:
                return job

    def _job(self, trial: Trial) -> Job | None:
        """The trial as a job, or None where its result is known or about to be."""
        try:
            told = self.fixed if self.custom_search_space_extender else {}  # each costs a write to the storage
            self._configure_trials([trial], self.space, told, self.fixed_overrides)
            job = self.planner.job(trial.number, self._overrides(trial.params))
            self._refuse_impossible(job)
        except Exception:
            self._tell(trial, TrialState.FAIL)
            raise
        if job.prepared is None:
            trial.set_user_attr("status", "impossible")
            self._tell(trial, TrialState.FAIL)
            return None
        folder = job.prepared.subfolder
        trial.set_user_attr("run_folder", folder)
        self.trials[trial.number] = trial
        record = self._known(job, trial)
        if record is None and folder not in self.active:
            self.active[folder] = trial.number
            return job
        remember(self.folder, [job])  # it may have been asked for under another name
        if record is None:
            self._say(f"#{job.number} is the same as #{self.active[folder]}, which is under way")
            self.followers.setdefault(self.active[folder], []).append(trial)
        else:
            self._say(f"#{job.number} is known already: {folder}")
            self._conclude(trial, record)
        return None

    def _known(self, job: Job, trial: Trial) -> Record | None:
        """The record of a run that is done already, or that a controller pruned and died before it told the study."""
        record = read_record(job.folder) or Record()
        pruned = record.status == "pruned" and bool(self.study.trials[trial.number].intermediate_values)
        return record if job.state == "done" or pruned else None

    def on_epoch(self, job: Job, report: EpochReport) -> Answer:
        """Report to the study, which may give the trial up."""
        value = report.figure(self.objective[0])
        if len(self.objective) > 1 or value is None:
            return "go"
        trial = self.trials[job.number]
        trial.report(value, report.epoch)
        return "prune" if self.prunes and report.epoch < report.epochs and trial.should_prune() else "go"

    def on_end(self, job: Job, record: Record) -> None:
        """Tell the study, also for trials that waited for the same configuration."""
        for trial in self._leave(job):
            self._conclude(trial, record)

    def on_stop(self, job: Job) -> None:
        """Leave the trial to the next controller."""
        for trial in self._leave(job):
            self.member.release(trial)

    def _leave(self, job: Job) -> list[Trial]:
        assert job.prepared is not None
        self.active.pop(job.prepared.subfolder, None)
        return [self.trials.pop(job.number), *self.followers.pop(job.number, [])]

    def _conclude(self, trial: Trial, record: Record) -> None:
        status = record.status
        self.ended += 1
        values = objectives.values(record, self.objective) if status == "done" else None
        if values is not None:
            self._tell(trial, TrialState.COMPLETE, values)
        elif status == "pruned":
            self._tell(trial, TrialState.PRUNED)
        else:
            trial.set_user_attr("status", status)
            self.failed += status == "failed"
            self._tell(trial, TrialState.FAIL)
            if self._too_many_failures():
                self._say(f"{self.failed} of {self.ended} trials failed, above max_failure_rate: no new ones")

    def _tell(self, trial: Trial, state: TrialState, values: list[float] | None = None) -> None:
        self.member.drop(trial)
        try:
            self.study.tell(trial, state=state, values=values, skip_if_finished=True)
        except RuntimeError as error:  # GridSampler stops a study that has nothing left; outside of optimize it can't
            if "Study.stop" not in str(error):
                raise

    def _too_many_failures(self) -> bool:
        return self.failed > self.max_failure_rate * max(1, self.ended)

    def _confirm(self, outcome: Outcome) -> None:
        """Run the best configurations with further seeds."""
        if self.member.others_run():
            return self._say("another controller has trials under way: the confirmation is left to it")
        top, seeds = self.confirm
        best = list(itertools.islice(ranked(self.study), top))
        jobs: list[Job] = []
        for trial in best:
            values = {key: value for key, value in trial.params.items() if key != "seed"}
            lines = [line for line in self._overrides(values) if not line.startswith("seed=")]
            for seed in seeds:
                jobs.append(self.planner.job(len(self.study.trials) + len(jobs), [*lines, f"seed={seed}"]))
        self._say(f"confirming the best {len(best)} with seeds {', '.join(map(str, seeds))}")
        remember(self.folder, jobs)
        carry_out(self.launcher, jobs, outcome)

    def _say_plan(self, name: str, there: int, first: Job) -> None:
        slots = len(self.launcher.slots) if isinstance(self.launcher, LocalLauncher) else self.n_jobs
        left = max(0, self.n_trials - there)
        minutes = estimate_minutes([first] * left, slots)
        about = f"; about {format_minutes(minutes)}, if none is pruned" if minutes is not None else ""
        self._say(f"plan: study {name}: {self.n_trials} trials, of which {there} are there{about}")

    def _say_space(self, first: Job) -> None:
        for key, distribution in self.space.items():
            self._say(f"  {key}: {distribution}")
        self._say(describe_job(first).replace("#0  ", "one point of it,"))


def _plain(value: Any) -> Any:
    """An OmegaConf container as plain Python, anything else as it is."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
