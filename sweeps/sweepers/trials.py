"""The trials of a study as jobs: asked for when a slot is free, told what came of them."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from sweeps.channel import Answer
from sweeps.controller.sweep_file import add_aliases
from sweeps.plan.jobs import Job, Planner
from sweeps.sweepers import objective as objectives
from sweeps.sweepers.samplers import Samplers
from sweeps.sweepers.space import SearchSpace
from sweeps.sweepers.study import Membership
from training.console.progress import EpochReport
from training.errors import ConfigError
from training.record import Record, read_record
from training.run_folder import read_history

PRUNED_AT = "pruned_at"  # attribute of a trial: the epoch after which the study gave it up
UNWRITTEN = (OSError, StorageInternalError)  # what is raised where a study can't be written, on a full disk say


@dataclass(frozen=True)
class Ending:
    """What a study has to be told of a trial that is over."""

    trial: Trial
    state: TrialState
    values: list[float] | None


@dataclass
class Trials:
    """The source of jobs for `drive`. `n_trials`: how many the study shall have. `prunes`: whether it may end one."""

    study: Study
    member: Membership
    planner: Planner
    space: SearchSpace
    samplers: Samplers
    suggest: Callable[[Trial], None]  # draws a trial's parameters
    objective: list[str]
    n_trials: int
    max_failure_rate: float
    prunes: bool
    folder: Path
    say: Callable[[str], None]
    running: dict[int, Trial] = field(default_factory=dict)
    active: dict[str, int] = field(default_factory=dict)  # run folder: the trial that has it
    followers: dict[int, list[Trial]] = field(default_factory=dict)  # of a configuration that is running already
    failed: int = 0
    ended: int = 0
    untold: list[Ending] = field(default_factory=list)  # trials that are over, of which the study could not be told
    unwritten: str = ""  # why the study could not be written; from then on no trial is asked for

    def next_job(self) -> Job | None:
        """A trial that has to be run: one that a dead controller left, or a new one, unless its result is known. None
        too where the study can't be written: what runs goes on, and the next start tells the study."""
        self._tell_all()
        if self.unwritten:
            return None
        try:
            return self._next_job()
        except UNWRITTEN as error:
            self._can_not_write(error)
            return None

    def _can_not_write(self, error: Exception) -> None:
        if not self.unwritten:
            self.unwritten = " ".join(str(error).split())
            self.say(f"the study can't be written, no new trials: {self.unwritten}; the same command again goes on")

    def _next_job(self) -> Job | None:
        while True:
            trial = self.member.adopt(self.samplers.after)
            if trial is None and not self._too_many_failures():
                trial = self.member.ask(self.n_trials, self.samplers.after)
            if trial is None:
                return None
            job = self._compose(trial)
            if job is not None and self._has_to_run(job, trial):
                return job

    def _compose(self, trial: Trial) -> Job | None:
        """The trial as a job, or None where it is impossible. Raises ConfigError for an impossible one, and Hydra's
        errors, and then the study is told that it failed."""
        try:
            self.suggest(trial)
            job = self.planner.job(trial.number, self.space.overrides(trial.params))
            refuse_impossible(job)
        except UNWRITTEN:  # nothing is wrong with the trial: it is left to the next controller
            self.member.drop(trial)
            raise
        except Exception:
            self._tell(trial, TrialState.FAIL)
            raise
        if job.prepared is None:
            trial.set_user_attr("status", "impossible")
            self._tell(trial, TrialState.FAIL)
            return None
        return job

    def _has_to_run(self, job: Job, trial: Trial) -> bool:
        """False where its result is known, or will be when another trial ends."""
        assert job.prepared is not None
        folder = job.prepared.subfolder
        trial.set_user_attr("run_folder", folder)
        if (failed := trial.user_attrs.get("retries")) is not None:
            self.say(f"#{job.number} tries the configuration of #{failed}, which failed, once more")
        self.running[trial.number] = trial
        record = self._known(job, trial)
        if record is None and folder not in self.active:
            self.active[folder] = trial.number
            return True
        add_aliases(self.folder, [job])  # it may have been asked for under another name
        if record is None:
            self.say(f"#{job.number} is the same as #{self.active[folder]}, which is under way")
            self.followers.setdefault(self.active[folder], []).append(trial)
        else:
            self.say(f"#{job.number} is known already: {folder}")
            self._complete(job, trial)
            self._conclude(trial, record)
        return False

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
        trial = self.running[job.number]
        try:
            self._report(job, trial, report.epoch, value)
            return "prune" if self.prunes and report.epoch < report.epochs and self._gives_up(trial, report) else "go"
        except UNWRITTEN as error:
            self._can_not_write(error)
            return "go"

    def _report(self, job: Job, trial: Trial, epoch: int, value: float) -> None:
        """Tell the study of an epoch, and of those before it that it lacks: a controller may have died, or the disk
        have been full, between an epoch and its report. (A run that goes on tells of its last epoch once more.)"""
        known = self._frozen(trial).intermediate_values
        if any(before not in known for before in range(1, epoch)):
            self._catch_up(job, trial, epoch - 1)
        if epoch not in known:
            trial.report(value, epoch)

    def _gives_up(self, trial: Trial, report: EpochReport) -> bool:
        """Whether the study gives the trial up now. What it decided once it decides again: a run that goes on may
        come by epochs that were judged already, and Optuna judges by the last that it knows of, some pruners with
        notes of what they have judged."""
        frozen = self._frozen(trial)
        decided = frozen.user_attrs.get(PRUNED_AT)
        if decided is not None or report.epoch < (frozen.last_step or 0):
            return decided == report.epoch
        if not trial.should_prune():
            return False
        trial.set_user_attr(PRUNED_AT, report.epoch)
        return True

    def _complete(self, job: Job, trial: Trial) -> None:
        """A trial that was under way, whose run has come to its end without this study: it gets what it lacks."""
        if len(self.objective) == 1 and self._frozen(trial).intermediate_values:
            self._catch_up(job, trial, job.run.trainer.epochs)

    def _catch_up(self, job: Job, trial: Trial, last: int) -> None:
        """Tell the study of the epochs up to `last` that it lacks."""
        known = self._frozen(trial).intermediate_values
        for epoch, row in enumerate(read_history(job.folder)[:last], 1):
            if epoch not in known and self.objective[0] in row:
                trial.report(row[self.objective[0]], epoch)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.number]

    def on_end(self, job: Job, record: Record) -> None:
        """Tell the study, also for trials that waited for the same configuration."""
        for trial in self._leave(job):
            self._conclude(trial, record)

    def on_stop(self, job: Job) -> None:
        """Leave the trial to the next controller."""
        for trial in self._leave(job):
            with contextlib.suppress(*UNWRITTEN):  # then it is found by the lock of this controller, which goes too
                self.member.release(trial)

    def planned(self) -> list[Job]:
        """A search knows none before it asks the study."""
        return []

    def on_cancel(self, job: Job) -> None:
        """Leave the trial to the next command."""
        for trial in self._leave(job):
            with contextlib.suppress(*UNWRITTEN):
                self.member.release(trial, cancelled=True)

    def _leave(self, job: Job) -> list[Trial]:
        assert job.prepared is not None
        self.active.pop(job.prepared.subfolder, None)
        return [self.running.pop(job.number), *self.followers.pop(job.number, [])]

    def _conclude(self, trial: Trial, record: Record) -> None:
        status = record.status
        self.ended += 1
        values = objectives.values(record, self.objective) if status == "done" else None
        if values is not None:
            self._tell(trial, TrialState.COMPLETE, values)
        elif status == "pruned":
            self._tell(trial, TrialState.PRUNED)
        else:
            with contextlib.suppress(*UNWRITTEN):
                trial.set_user_attr("status", status)
            self.failed += status == "failed"
            self._tell(trial, TrialState.FAIL)
            if self._too_many_failures():
                self.say(f"{self.failed} of {self.ended} trials failed, above max_failure_rate: no new ones")

    def _tell(self, trial: Trial, state: TrialState, values: list[float] | None = None) -> None:
        self.member.drop(trial)
        self.untold.append(Ending(trial, state, values))
        self._tell_all()

    def _tell_all(self) -> None:
        """Tell the study of the trials that are over; those of which it can't be told stay for another try."""
        while self.untold:
            one = self.untold[0]
            try:
                self.study.tell(one.trial, state=one.state, values=one.values, skip_if_finished=True)
            except UNWRITTEN as error:
                return self._can_not_write(error)
            except RuntimeError as error:  # GridSampler stops a study that has nothing left; outside of optimize not
                if "Study.stop" not in str(error):
                    raise
            self.untold.pop(0)

    def _too_many_failures(self) -> bool:
        return self.failed > self.max_failure_rate * max(1, self.ended)


def refuse_impossible(job: Job) -> None:
    """Raise ConfigError for an impossible job, unless sweep.impossible=skip."""
    if job.state == "impossible" and job.run.sweep.impossible == "error":
        raise ConfigError(f"{job.why} (sweep.impossible=skip leaves such trials out)")
