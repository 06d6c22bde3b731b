"""What hydra/sweeper=optuna_async does: parse the space, open the study, search, confirm, show.

hydra-optuna-sweeper's own sweeper is a part of it: it makes the launcher, parses search spaces and draws parameters.
"""

import contextlib
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.study import Study
from rich.console import Console

from sweeps.controller import detach
from sweeps.controller.drive import Outcome, drive
from sweeps.controller.live_state import LiveState
from sweeps.controller.sweep_file import add_aliases
from sweeps.controller.view import View
from sweeps.controller.weights_budget import budget_of
from sweeps.launchers.launcher import Launcher, as_launcher
from sweeps.plan.applicable import check_used, left_out_of_search
from sweeps.plan.data_notices import data_notices
from sweeps.plan.jobs import Job, Planner
from sweeps.stopping import StopRequest
from sweeps.sweepers import objective as objectives
from sweeps.sweepers.best import ranked, show_best
from sweeps.sweepers.confirm import confirming_jobs
from sweeps.sweepers.custom_space import CustomSpace
from sweeps.sweepers.elsewhere import Elsewhere
from sweeps.sweepers.grid import build_caches, carry_out, finish, launch_batch
from sweeps.sweepers.optuna_private import directions_of, stock_sweeper, suggest
from sweeps.sweepers.points import points
from sweeps.sweepers.samplers import Samplers, build_pruner, prunes
from sweeps.sweepers.search_plan import plan_line, point_lines, to_run
from sweeps.sweepers.space import SearchSpace, choices_of, corners, describe, search_space
from sweeps.sweepers.space_lines import nested_lines
from sweeps.sweepers.study import Census, Membership, Wanted, census, existing_study, failed_trials, open_study
from sweeps.sweepers.trials import Trials, refuse_impossible
from training.config import TrainerConfig
from training.console.table import visible
from training.run_folder import MULTIRUN
from training.schema.checks import need


class Search:
    """A search, from its settings to its end. Raises ConfigError for settings out of range."""

    def __init__(
        self, objective: Any, sampler: Any, pruner: Any, enqueue: Any, confirm: tuple[int, list[int]], **stock: Any
    ) -> None:
        self.objective = [] if objective is None else objectives.check(_plain(objective))  # see _resolve_objective
        self.sampler_settings: dict[str, Any] = _plain(sampler)
        self.pruner_settings: dict[str, Any] = _plain(pruner)
        self.enqueue, self.confirm = list(enqueue), confirm
        rate, n_trials = stock["max_failure_rate"], stock["n_trials"]
        need(0 <= rate <= 1, f"hydra.sweeper.max_failure_rate={rate}: expected 0 to 1")
        need(n_trials >= 1, f"hydra.sweeper.n_trials={n_trials}: expected 1 or more")
        need(stock["n_jobs"] >= 1, f"hydra.sweeper.n_jobs={stock['n_jobs']}: expected 1 or more")
        self.n_trials: int = n_trials
        self.custom_name = str(stock["custom_search_space"] or "")
        self.stock = stock_sweeper(stock)
        self.console = Console()
        self.planner: Planner | None = None
        self.detaches = False
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher. Raises ConfigError."""
        self.stock.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.launcher = as_launcher(self.stock.launcher)
        self.detaches = detach.wanted(config)
        soon = self.launcher.warm_up if self.launcher and not self.detaches else None
        self.planner = Planner(hydra_context, config, soon)

    @property
    def folder(self) -> Path:
        """The sweep's."""
        return Path(str(self.stock.sweep_dir))

    def sweep(self, arguments: list[str]) -> Any:
        """Search until the study has n_trials, confirm the best, show the table."""
        if self.detaches and detach.attach(self.folder):
            return []
        with contextlib.closing(Elsewhere(self.launcher, self.folder)) as elsewhere:
            return self._sweep(arguments, elsewhere)

    def _sweep(self, arguments: list[str], elsewhere: Elsewhere) -> Any:
        hush_optuna()
        assert self.planner is not None, "Hydra calls setup first"
        planner = self.planner
        planner.kinds = elsewhere.kinds
        space = search_space([*nested_lines(_plain(self.stock.params)), *arguments], self.planner.composer.loader)
        space.fixed.update(objectives.measuring(self.objective, space.fixed, space.searched))
        custom = self._custom_space(space)
        jobs = self._check_corners(planner, space, custom)
        only_plans = jobs[0].run.sweep.plan or self.detaches
        if not only_plans:
            jobs = elsewhere.decide(planner, jobs, lambda: self._check_corners(planner, space, custom), of_search=True)
        first = jobs[0]
        directions = self._resolve_objective(first.run.trainer, space)
        example = "a range or choices for some key, such as 'optimizer.lr=interval(1e-4,1e-2)'"
        need(bool(space.searched) or bool(custom.function), f"hydra.sweeper: nothing to search; give it {example}")
        todo = points(self.enqueue, space.searched, custom.draw if custom.function else None)
        samplers, pruner = Samplers(self.sampler_settings, space.searched), build_pruner(self.pruner_settings)
        samplers.check_points(todo)
        samplers.try_out(directions, custom.draw)
        self.n_trials = min(self.n_trials, samplers.points or self.n_trials)
        wanted = self._wanted(first, space, custom, directions)
        if only_plans:
            found = existing_study(wanted)
            before = census(found, todo)
            self._say_plan(found.study_name if found else wanted.name, before, jobs, elsewhere)
            if first.run.sweep.plan:
                return self._say(*point_lines(space.searched, first))
            if to_run(before, self.n_trials) or self.confirm[0]:
                return detach.detach(self.launcher, self.folder)
        study = open_study(wanted)
        study.pruner = pruner
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.stock.config, self.folder / MULTIRUN)
        elsewhere.keep()
        add_aliases(self.folder, [], dict(zip(self.objective, directions, strict=True)))
        budget = budget_of(first.run, (), self.objective[0], directions[0])
        budget.named |= {str(path) for path in choices_of(space, "weights.path")}
        budget.announce()
        budget.apply()
        request = StopRequest(max_hours=first.run.sweep.max_hours)
        outcome = Outcome(request=request, budget=budget, keeps_results=False)
        build_caches(self.launcher, [first])
        member = Membership(study, self.folder, wanted.storage)
        with member.joined():
            before = census(study, todo)
            member.enqueue(todo)
            member.retry_failed()
            self._say_plan(study.study_name, before, jobs, elsewhere)
            trials = self._trials(member, space, samplers, custom)
            self._search(trials, outcome, to_run(before, self.n_trials))
            if trials.unwritten:
                outcome.request.make(f"the study could not be written ({trials.unwritten})", 1)
            if self.confirm[0] and not outcome.request.reason:
                self._confirm(member, space, outcome)
        show_best(self.console, study, self.objective, self.folder)
        self._add_failed(study, outcome)
        return finish(self.console, self.folder, outcome)

    def _custom_space(self, space: SearchSpace) -> CustomSpace:
        function = self.stock.custom_search_space_extender
        return CustomSpace(
            self.custom_name, function, lambda trial: suggest(self.stock, trial, space.searched, space.fixed)
        )

    def _wanted(self, first: Job, space: SearchSpace, custom: CustomSpace, directions: list[str]) -> Wanted:
        unchanged = describe(space.searched, self.objective, first) | {"custom": custom.described()}
        return Wanted(
            name=str(self.stock.study_name or first.run.sweep.name),
            named=bool(self.stock.study_name),
            storage=_plain(self.stock.storage),
            folder=self.folder,
            directions=directions,
            space=unchanged,
            check=custom.check,
            read_before={one.fingerprint: one.why for one in first.prepared.dataset.former} if first.prepared else {},
        )

    def _add_failed(self, study: Study, outcome: Outcome) -> None:
        """Add the runs that are still failed, whoever ran them: a sweep with one is not done."""
        known = set(outcome.failed)
        for trial in failed_trials(study):
            folder = self.folder / str(trial.user_attrs.get("run_folder"))
            if folder not in known:
                known.add(folder)
                outcome.failed.append(folder)

    def _resolve_objective(self, trainer: TrainerConfig, space: SearchSpace) -> list[str]:
        """Set the objective where none is named: what the runs go by themselves. Gives the directions. Raises
        ConfigError."""
        if not self.objective:
            ok = "trainer.monitor" not in space.searched
            need(ok, "trainer.monitor is searched over: name a hydra.sweeper.objective")
            self.objective = [trainer.monitor]
        objectives.check(self.objective, trainer)
        self.stock.direction = self.stock.direction or objectives.directions(self.objective, trainer)
        directions = directions_of(self.stock)
        ways = objectives.directions(self.objective, trainer)
        objectives.check_search(self.objective, directions, ways, prunes(self.pruner_settings), trainer.monitor)
        return directions

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def _check_corners(self, planner: Planner, space: SearchSpace, custom: CustomSpace) -> list[Job]:
        """Compose what may be asked for, as far as that can be foreseen, before anything is written; gives what is
        possible of it. Raises ConfigError."""
        jobs: list[Job] = []
        probes = (trial.params for trial in custom.probes())
        for corner in itertools.chain(corners(space.searched), probes):
            job = planner.job(0, space.overrides(corner))
            refuse_impossible(job)
            jobs.append(job)
        if not custom.function:  # whose probes are a few of many points
            check_used(jobs, "trial of this search")
        possible = [job for job in jobs if job.prepared is not None]
        need(bool(possible), "no combination in the search space is possible")
        return possible

    def _trials(self, member: Membership, space: SearchSpace, samplers: Samplers, custom: CustomSpace) -> Trials:
        assert self.planner is not None
        can_prune = self.launcher is not None and self.launcher.capabilities.prune
        return Trials(
            study=member.study,
            member=member,
            planner=self.planner,
            space=space,
            samplers=samplers,
            suggest=custom.draw,
            objective=self.objective,
            n_trials=self.n_trials,
            max_failure_rate=self.stock.max_failure_rate,
            prunes=can_prune and prunes(self.pruner_settings),
            folder=self.folder,
            say=self._say,
        )

    def _search(self, trials: Trials, outcome: Outcome, count: int) -> None:
        if self.launcher is None:
            return self._search_in_batches(trials, outcome)
        if prunes(self.pruner_settings) and not self.launcher.capabilities.prune:
            self._say(f"{type(self.launcher).__name__} can't prune: every trial runs to its end")
        with View(count, self.folder, slots=len(self.launcher.slots)) as view:
            drive(self.launcher, trials, view, outcome, self.folder)

    def _search_in_batches(self, trials: Trials, outcome: Outcome) -> None:
        size = self.stock.n_jobs
        self._say(f"{type(self.stock.launcher).__name__} runs whole batches: {size} trials at once, without pruning")
        with LiveState(self.folder, size, hears=False).joined() as live:
            while not outcome.request.is_made():
                batch = [job for job in (trials.next_job() for _ in range(size)) if job is not None]
                if not batch:
                    return
                live.plan(batch, None)
                records = launch_batch(self.stock.launcher, batch, outcome, live)
                for job, record in zip(batch, records, strict=True):
                    if record is None:
                        trials.on_cancel(job)
                    else:
                        trials.on_end(job, record)

    def _confirm(self, member: Membership, space: SearchSpace, outcome: Outcome) -> None:
        """Run the best configurations with further seeds."""
        if member.others_run():
            return self._say("another controller has trials under way: the confirmation is left to it")
        assert self.planner is not None
        top, seeds = self.confirm
        best = list(itertools.islice(ranked(member.study), top))
        jobs = confirming_jobs(self.planner, space, best, seeds, len(member.study.trials))
        self._say(f"confirming the best {len(best)} with seeds {', '.join(map(str, seeds))}")
        add_aliases(self.folder, jobs)
        carry_out(self.stock.launcher, jobs, outcome)

    def _say_plan(self, name: str, before: Census, jobs: Sequence[Job], elsewhere: Elsewhere) -> None:
        slots = len(self.launcher.slots) if self.launcher else self.stock.n_jobs
        self._say(plan_line(name, before, self.n_trials, jobs[0], slots))
        self._say(*elsewhere.notices(jobs), *left_out_of_search(jobs), *data_notices(jobs[:1]))


def hush_optuna() -> None:
    """Have Optuna tell neither what works nor what is experimental."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _plain(value: Any) -> Any:
    """An OmegaConf container as plain Python, anything else as it is."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
