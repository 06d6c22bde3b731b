"""What the asynchronous sweeper does: ask for a trial when a slot is free, tell what came of it."""

import functools
import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_params_from_overrides
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console

from sweeps import objective as objectives
from sweeps.asked import remember
from sweeps.channel import Answer
from sweeps.drive import Outcome, drive, settle
from sweeps.grid import carry_out, end
from sweeps.local import LocalLauncher
from sweeps.optuna_async import SAMPLERS, plain, results_file
from sweeps.plan import Job, Planner, describe
from sweeps.study import Membership, counted, describe_space, is_surplus, open_study
from sweeps.view import View
from training.config import need
from training.errors import ConfigError
from training.progress import EpochReport
from training.record import MULTIRUN, read_record

VOLATILE = re.compile(r"sweep\.|tracking|trainer\.(threads|device)$")  # may change under a study


class Search(OptunaSweeperImpl):
    """The study's controller, and the source of jobs for `drive`."""

    def __init__(self, objective: Any, pruner: Any, enqueue: Any, confirm: tuple[int, list[int]], **stock: Any) -> None:
        self.objective = objectives.check(plain(objective))
        self.sampler_config, self.pruner_config = stock.pop("sampler"), pruner
        self.enqueue, self.confirm = list(enqueue), confirm
        direction = stock.pop("direction")
        super().__init__(sampler=None, direction=direction or objectives.directions(self.objective), **stock)
        self.directions = self._get_directions()
        ok = len(self.directions) == len(self.objective)
        need(ok, f"hydra.sweeper: {len(self.objective)} objectives, but {len(self.directions)} directions")
        self.prunes = not str(pruner._target_).endswith("NopPruner")
        need(
            not self.prunes or len(self.objective) == 1,
            "hydra/sweeper/pruner: Optuna can't prune for several objectives",
        )
        ok = not self.prunes or self.objective[0] in ("val_acc", "val_loss")
        need(ok, "hydra/sweeper/pruner: pruning needs an objective that every epoch tells: val_acc or val_loss")
        need(self.n_trials >= 1, f"hydra.sweeper.n_trials={self.n_trials}: expected 1 or more")
        self.console = Console()
        self.trials: dict[int, Trial] = {}
        self.active: dict[str, int] = {}  # run folder: the trial that has it
        self.followers: dict[int, list[Trial]] = {}  # trials of a configuration that is running already
        self.failed, self.ended = 0, 0

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.planner = Planner(hydra_context, config)
        self.folder = Path(str(self.sweep_dir))

    def sweep(self, arguments: list[str]) -> Any:
        """Search until the study has n_trials, confirm the best, show the table."""
        self._process_searchspace_config()
        space, self.fixed, self.fixed_overrides = create_params_from_overrides(
            [*self._parse_sweeper_params_config(), *arguments]
        )
        self.space: dict[str, BaseDistribution] = {key: item for key, item in space.items() if key not in self.fixed}
        first = self._dry_run()
        name = self.study_name or first.run.sweep.name
        if first.run.sweep.plan:
            return self._show_plan(name)
        self.study = self._open(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.folder / MULTIRUN)
        for line in self.enqueue:
            self.study.enqueue_trial(self._point(line), skip_if_exists=True)
        self.member = Membership(self.study, self.folder)
        with self.member.joined():
            self._say(f"study {name}: {counted(self.study)} of {self.n_trials} trials there")
            outcome = self._search(first.run.sweep.max_hours)
        if self.confirm[0] and not outcome.stop.reason:
            outcome.failed += self._confirm().failed
        self._show_best()
        return end(self.console, self.folder, outcome)

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _dry_run(self) -> Job:
        """Check the configuration at one point of the search space, before anything is written."""
        sample = {name: _some_value(distribution) for name, distribution in self.space.items()}
        overrides = [f"{name}={value}" for name, value in {**sample, **self.fixed}.items()]
        return self.planner.job(0, [*overrides, *self.fixed_overrides])

    def _open(self, name: str) -> Study:
        fixed = {key: value for key, value in self.fixed.items() if not VOLATILE.match(key)}
        fixed |= {line: "" for line in self.fixed_overrides}
        described = describe_space(self.space, fixed, self.objective)
        pruner = instantiate(self.pruner_config, _execution_whitelist_=("optuna.pruners.*",))
        study = open_study(name, plain(self.storage), self.folder, None, pruner, self.directions, described)
        study.sampler = self._make_sampler(len(study.get_trials(deepcopy=False)))
        return study

    def _make_sampler(self, trials: int) -> Any:
        """The sampler, moved on by as many trials as there are: after a restart it shall not draw the same again."""
        settings: dict[str, Any] = plain(self.sampler_config)
        if settings.get("seed") is not None:
            settings["seed"] += trials
        sampler = instantiate(settings, _execution_whitelist_=SAMPLERS)
        if isinstance(sampler, functools.partial) and sampler.func is optuna.samplers.GridSampler:
            grid = {name: list(self._to_grid_sampler_choices(item)) for name, item in self.space.items()}
            self.n_trials = min(self.n_trials, math.prod(len(choices) for choices in grid.values()))
            return sampler(grid)
        return sampler

    def _point(self, line: str) -> dict[str, Any]:
        """An override line as a point of the search space. Raises ConfigError."""
        point: dict[str, Any] = {}
        for override in OverridesParser.create().parse_overrides(shlex.split(line)):
            name, value = override.get_key_element(), override.value()
            need(
                name in self.space,
                f"hydra.sweeper.enqueue: {name} is not in the search space ({', '.join(self.space)})",
            )
            distribution = self.space[name]
            if isinstance(distribution, CategoricalDistribution):
                text = override.get_value_element_as_str()
                found = [choice for choice in distribution.choices if str(choice) == text]
                need(bool(found), f"hydra.sweeper.enqueue: {name}={text} is not among {distribution.choices}")
                value = found[0]
            else:
                ok = isinstance(value, int | float) and distribution._contains(value)
                need(ok, f"hydra.sweeper.enqueue: {name}={value} lies outside of {distribution}")
            point[name] = value
        return point

    def _search(self, max_hours: float | None) -> Outcome:
        if isinstance(self.launcher, LocalLauncher):
            with View(self.n_trials - counted(self.study)) as view:
                return drive(self.launcher, self, view, max_hours)
        self._say(f"{type(self.launcher).__name__} runs whole batches: {self.n_jobs} trials at once, without pruning")
        outcome = Outcome()
        while batch := [job for job in (self.next_job() for _ in range(self.n_jobs)) if job is not None]:
            assert self.launcher is not None
            returns = self.launcher.launch([list(job.overrides) for job in batch], initial_job_idx=batch[0].number)
            for job, result in zip(batch, returns, strict=True):
                record = settle(job, result)
                outcome.failed += [job.folder] if record["status"] == "failed" else []
                self.on_end(job, record)
        return outcome

    def next_job(self) -> Job | None:
        """A trial that has to be run: one that a dead controller left, or a new one, unless its result is known."""
        while True:
            trial = self.member.adopt()
            if trial is None and not self._too_many_failures() and counted(self.study) < self.n_trials:
                trial = self._ask()
            if trial is None:
                return None
            job = self._job(trial)
            if job is not None:
                return job

    def _ask(self) -> Trial | None:
        trial = self.study.ask()
        self.member.take(trial)
        if is_surplus(self.study, trial, self.n_trials):
            trial.set_user_attr("surplus", True)
            self._tell(trial, TrialState.FAIL)
            return None
        return trial

    def _job(self, trial: Trial) -> Job | None:
        """The trial as a job, or None where its result is known or about to be."""
        (overrides,) = self._configure_trials([trial], self.space, self.fixed, self.fixed_overrides)
        try:
            job = self.planner.job(trial.number, overrides)
            if job.state == "impossible" and job.run.sweep.impossible == "error":
                raise ConfigError(f"{job.why} (sweep.impossible=skip leaves such trials out)")
        except ConfigError:
            self._tell(trial, TrialState.FAIL)
            raise
        if job.prepared is None:
            trial.set_user_attr("status", "impossible")
            self._tell(trial, TrialState.FAIL)
            return None
        trial.set_user_attr("identity", job.prepared.identity)
        trial.set_user_attr("run_folder", job.prepared.subfolder)
        self.trials[trial.number] = trial
        remember(self.folder, [job])
        owner = self.active.get(job.prepared.subfolder)
        if owner is not None:
            self.followers.setdefault(owner, []).append(trial)
            return None
        record = read_record(job.folder) if job.state == "done" else None
        if record is not None:
            self._say(f"#{job.number} is known already: {job.prepared.subfolder}")
            self._conclude(trial, record)
            return None
        self.active[job.prepared.subfolder] = trial.number
        return job

    def beat(self) -> None:
        """Tell other controllers that this one lives."""
        self.member.beat()

    def on_epoch(self, job: Job, report: EpochReport) -> Answer:
        """Report to the study, which may give the trial up."""
        if len(self.objective) > 1 or self.objective[0] not in ("val_acc", "val_loss"):
            return "go"
        trial = self.trials[job.number]
        trial.report(report.val_acc if self.objective[0] == "val_acc" else report.val_loss, report.epoch)
        return "prune" if self.prunes and report.epoch < report.epochs and trial.should_prune() else "go"

    def on_end(self, job: Job, record: dict[str, Any]) -> None:
        """Tell the study, also for trials that waited for the same configuration."""
        assert job.prepared is not None
        self.active.pop(job.prepared.subfolder, None)
        for trial in [self.trials[job.number], *self.followers.pop(job.number, [])]:
            self._conclude(trial, record)

    def on_stop(self, job: Job) -> None:
        """Leave the trial to the next controller."""
        assert job.prepared is not None
        self.active.pop(job.prepared.subfolder, None)
        for trial in [self.trials[job.number], *self.followers.pop(job.number, [])]:
            self.member.release(trial)

    def _conclude(self, trial: Trial, record: dict[str, Any]) -> None:
        status = record["status"]
        trial.set_user_attr("status", status)
        self.ended += 1
        values = objectives.values(record, self.objective) if status == "done" else None
        if values is not None:
            self._tell(trial, TrialState.COMPLETE, values)
        elif status == "pruned":
            self._tell(trial, TrialState.PRUNED)
        else:
            self.failed += status == "failed"
            self._tell(trial, TrialState.FAIL)

    def _tell(self, trial: Trial, state: TrialState, values: list[float] | None = None) -> None:
        self.member.drop(trial)
        try:
            self.study.tell(trial, state=state, values=values)
        except RuntimeError as error:  # GridSampler stops a study that has nothing left; outside of optimize it can't
            if "Study.stop" not in str(error):
                raise

    def _too_many_failures(self) -> bool:
        return self.failed > self.max_failure_rate * max(1, self.ended)

    def _best(self) -> Iterator[FrozenTrial]:
        """Finished trials, the best first (with several objectives: the Pareto front), each configuration once."""
        if len(self.objective) > 1:
            ranked = self.study.best_trials
        else:
            done = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            sign = -1.0 if self.directions[0] == "maximize" else 1.0
            ranked = sorted(done, key=lambda trial: (sign * trial.values[0], trial.number))
        seen: set[str] = set()
        for trial in ranked:
            identity = str(trial.user_attrs.get("identity", trial.number))
            if identity not in seen:
                seen.add(identity)
                yield trial

    def _confirm(self) -> Outcome:
        """Run the best configurations with further seeds."""
        top, seeds = self.confirm
        best = [trial for trial, _ in zip(self._best(), range(top), strict=False)]
        first = len(self.study.get_trials(deepcopy=False))
        jobs: list[Job] = []
        for trial in best:
            values = {**trial.params, **self.fixed}
            for seed in seeds:
                overrides = [f"{key}={value}" for key, value in values.items() if key != "seed"]
                jobs.append(self.planner.job(first + len(jobs), [*overrides, *self.fixed_overrides, f"seed={seed}"]))
        self._say(f"confirming the best {len(best)} with seeds {', '.join(map(str, seeds))}")
        remember(self.folder, jobs)
        return carry_out(self.launcher, jobs)

    def _show_plan(self, name: str) -> None:
        there = 0
        if self.storage is not None or (self.folder / "study.journal").exists():
            there = counted(self._open(name))
        self._say(f"plan: study {name}: {self.n_trials} trials, of which {there} are there")
        for key, distribution in self.space.items():
            self._say(f"  {key}: {distribution}")
        self._say(describe(self._dry_run()).replace("#0 ", "one point of it,"))

    def _show_best(self) -> None:
        best = list(self._best()) if len(self.objective) > 1 else list(self._best())[:1]
        if not best:
            return
        self._say(f"\n{'Pareto front' if len(self.objective) > 1 else 'best trial'} of study {self.study.study_name}:")
        for trial in best:
            shown = ", ".join(f"{key} {value:g}" for key, value in zip(self.objective, trial.values, strict=True))
            params = " ".join(f"{key}={value}" for key, value in trial.params.items())
            self._say(f"  #{trial.number} {shown}: {params}")
        results_file(self.folder, [{"params": trial.params, "values": list(trial.values)} for trial in best])


def _some_value(distribution: BaseDistribution) -> Any:
    return distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low  # type: ignore[attr-defined]
