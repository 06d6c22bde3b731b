"""hydra/launcher=folder_workers, slurm_workers, ray_workers: runs lie in the sweep's folder, workers take them."""

import importlib.util
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from sweeps.channel import Answer
from sweeps.hydra_glue.composer import Composer
from sweeps.hydra_glue.private import failed, singletons
from sweeps.launchers.batch import run_batch
from sweeps.launchers.launcher import Capabilities, Died, Event, Handle, RunnableJob
from sweeps.launchers.local_config import OFF
from sweeps.launchers.slots import check_slots
from sweeps.launchers.worker import Program
from sweeps.launchers.workers import board
from sweeps.launchers.workers.assignment import WorkerProgram
from sweeps.launchers.workers.config import FolderWorkersConfig, RayWorkersConfig, SlurmWorkersConfig
from sweeps.launchers.workers.crew import Crew
from sweeps.launchers.workers.engine import Engine, SubprocessEngine
from sweeps.launchers.workers.estimates import Estimates
from sweeps.launchers.workers.kinds import from_json, named_kind
from sweeps.launchers.workers.queue import Entry, Queue
from sweeps.launchers.workers.ray import RayEngine
from sweeps.launchers.workers.ray_place import KEYS as RAY_KEYS
from sweeps.launchers.workers.ray_place import Place, check_ray, plan_lack
from sweeps.launchers.workers.slurm import KEYS, Block, SlurmEngine, blocks_of
from sweeps.launchers.workers.slurm_controller import submit_controller
from training.device import Kind
from training.schema.checks import need

__all__ = ["FolderWorkersConfig", "FolderWorkersLauncher", "RayWorkersConfig", "SlurmWorkersConfig"]
POLL_S = 0.02


@dataclass(eq=False)
class WorkerSlot:
    """A place in the queue, for as many runs as all workers together can have at once. `name`: of the slot in which its
    run is, once a worker has it."""

    number: int
    name: str


class FolderWorkersLauncher(Launcher):
    """The controller's side."""

    capabilities = Capabilities(channel=True, prune=True, cancel=True, this_machine=False)

    def __init__(self, engine: str, workers: int, **settings: Any) -> None:
        need(workers >= 1, f"hydra.launcher.workers={workers}: expected 1 or more")
        for key in ("grace_s", "lost_s", "idle_s", "worker_minutes", "timeout_minutes"):
            value = settings[key]
            need(value is None or value > 0, f"hydra.launcher.{key}={value}: expected above 0")
        need(settings["retries"] >= 0, f"hydra.launcher.retries={settings['retries']}: expected 0 or more")
        need(settings["mps"] in ("auto", *OFF), f"hydra.launcher.mps={settings['mps']}: expected auto or off")
        check_slots(settings["slots"], settings["slots_per_gpu"], settings["devices"])
        self.blocks: list[Block] = []
        if engine == "slurm":
            self.blocks, own = blocks_of(settings, workers), (*KEYS, "blocks", "controller")
            self.job_settings = dict(settings)
            workers = sum(block.workers for block in self.blocks)
            settings = {key: value for key, value in settings.items() if key not in own}
        self.ray_place = Place.of(settings) if engine == "ray" else None
        if self.ray_place is not None:
            settings = {key: value for key, value in settings.items() if key not in RAY_KEYS}
        gpus = [block.gpu for block in self.blocks] or [settings["gpu"]]
        self.named_kinds = [named_kind(gpu) for gpu in dict.fromkeys(gpus) if gpu is not None] if all(gpus) else []
        self.kinds: Sequence[Kind] = ()  # by which the plan has settled trainer.precision=auto, where it has
        self.threads: int | None = None  # what trainer.threads=auto is on CPUs, where that is fixed
        self.keep_threads: Callable[[int], object] = lambda threads: None  # whoever stores that
        self.workers, self.settings = workers, settings
        self.grace_s = float(settings["grace_s"])
        width = settings["slots"] if isinstance(settings["slots"], int) else 1
        self.slots: list[WorkerSlot] = []
        self._grow(workers * width)
        self.queue: Queue | None = None
        self.crew: Crew | None = None
        self.composer: Composer | None = None
        self.estimates = Estimates(asks_gpu=settings["slots_per_gpu"] == "auto" and settings["devices"] != "cpu")

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what to run. Nothing is written or started before the first run."""
        self.composer = Composer(hydra_context, config)
        self.program = Program(hydra_context, task_function, singletons())
        self.config, self.folder = config, Path(str(config.hydra.sweep.dir))
        plans = OmegaConf.select(config, "sweep.plan", default=False)
        if self.ray_place is not None:
            if not plans:
                check_ray(self.ray_place)
            elif line := plan_lack(self.ray_place):
                print(line, flush=True)
        if self.blocks and not plans:
            need(shutil.which("sbatch") is not None, "hydra/launcher=slurm_workers: there is no sbatch here")
            ok = importlib.util.find_spec("submitit") is not None
            need(ok, "hydra/launcher=slurm_workers needs submitit: pip install 'finegrid[slurm]'")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra's interface: run a batch of jobs, give their results in order. Raises SweepEnded when stopped."""
        assert self.composer is not None, "Hydra calls setup first"
        return run_batch(self, self.composer.batch(initial_job_idx, job_overrides))

    def warm_up(self) -> None:
        """Workers may wait for hours in a queue of the cluster: none is asked for before the plan is sound."""

    def _open(self) -> tuple[Queue, Crew]:
        if self.queue is None or self.crew is None:
            self.queue = Queue.open(self.folder, WorkerProgram.of(self.program, self.config))
            lost_s = float(self.settings["lost_s"])
            self.crew = Crew(self.queue.root, self.queue.folder, self._engine(), self.workers, lost_s)
            self.crew.start(self.workers)
        return self.queue, self.crew

    def first_kind(self, goes_on: Callable[[], bool]) -> Kind | None:
        """What the first worker that starts computes on; None where `goes_on` says no. Starts the workers. Raises
        ConfigError where none can be started."""
        queue, crew = self._open()
        while goes_on():
            queue.beat.turn()
            crew.look()
            self._fix_threads()
            for name, content in sorted(crew.members.items()):
                kind = from_json(content.get("kind"))
                if kind is not None:
                    return kind
                ok = not content["slots"]
                need(ok, f"worker {name} can't tell what its GPUs are: hydra.launcher.gpu=a100 or so tells it")
            crew.keep_up(1)
            time.sleep(2 * POLL_S)
        return None

    def _fix_threads(self) -> None:
        """Runs on CPUs take as many threads as the first worker gives them, or fewer: the bits depend on it."""
        file = self._queue().folder / board.THREADS
        if self.threads is None:
            told = [content.get("threads") for _, content in sorted(self._crew().members.items())]
            self.threads = next((one for one in told if isinstance(one, int)), None)
            if self.threads is not None:
                self.keep_threads(self.threads)
        if self.threads is not None and not file.exists():
            board.put(file, str(self.threads).encode())

    def submit_controller(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path, output: Path
    ) -> str | None:
        """Have `command` be a job of the cluster (sweep.detach=true); gives its number, None where there is no cluster.
        Raises ConfigError."""
        if not self.blocks:
            return None
        return submit_controller(self.job_settings, command, variables, folder, output)

    def _engine(self) -> Engine:
        if self.blocks:
            return SlurmEngine(self.folder, self.settings, self.blocks)
        if self.ray_place is not None:
            return RayEngine(self.folder, self.settings, self.ray_place)
        return SubprocessEngine(self.folder, self.settings)

    @property
    def entries(self) -> list[Entry]:
        """Runs that have not ended."""
        return self.queue.entries if self.queue is not None else []

    @property
    def running(self) -> list[Handle]:
        """Jobs that were submitted and have not ended."""
        return [entry.handle for entry in self.entries]

    def free_slot(self) -> WorkerSlot | None:
        """A place in the queue."""
        taken = {handle.slot.number for handle in self.running}
        return next((slot for slot in self.slots if slot.number not in taken), None)

    def submit(self, job: RunnableJob) -> Handle:
        """Put a job into the queue; a worker with a free slot takes it."""
        queue, _ = self._open()
        slot = self.free_slot()
        assert slot is not None, "submit needs a free slot"
        slot.name = f"worker slot {slot.number}"
        handle = Handle(job.number, job.folder, slot)
        queue.add(handle, self.estimates.assignment(job, self.kinds))
        return handle

    def expect(self, job: RunnableJob | None) -> None:
        """Which job comes next; None: none, so that workers with nothing to do may go."""
        if self.queue is not None:
            self.queue.more = job is not None

    def wait_any(self, timeout_s: float, retry: bool = True) -> list[Event]:
        """What has happened, at the latest after `timeout_s`; often nothing. `retry`: whether runs whose workers are
        gone go on elsewhere. Raises ConfigError where no worker can be started."""
        ends = time.monotonic() + timeout_s
        while True:
            events = self._look(retry) if self.queue is not None else []
            left = ends - time.monotonic()
            if events or left <= 0:
                return events
            time.sleep(min(POLL_S, left))

    def _look(self, retry: bool) -> list[Event]:
        queue, crew = self._open()
        events: list[Event] = []
        lost = {name for name in {entry.worker for entry in queue.entries} if name and crew.is_lost(name)}
        for entry, worker, what, content in queue.messages():
            events += self._hear(entry, worker, what, content, retry)
        crew.look()
        self._fix_threads()
        self._grow(max(self.workers, len(crew.members)) * crew.width)  # workers may have been started by hand
        for entry in list(queue.entries):
            if entry.worker in lost:  # and what it told before is heard by now
                events += self._lost(entry, retry)
        if queue.entries:
            events += [Event("told", queue.entries[0].handle, note=line) for line in crew.set_weak_aside(self.kinds)]
        crew.keep_up(len(queue.waiting()))
        for entry in queue.waiting():
            if entry.avoid and not crew.others(entry.avoid):
                queue.give_out_again(entry)  # nobody else is there to take it
        return events

    def _grow(self, count: int) -> None:
        while len(self.slots) < count:
            self.slots.append(WorkerSlot(len(self.slots), f"worker slot {len(self.slots)}"))

    def _hear(self, entry: Entry, worker: str, what: str, content: Any, retry: bool) -> list[Event]:
        """One thing that a worker tells of a run."""
        handle = entry.handle
        if what == "begun":
            handle.begun = True
            assert isinstance(handle.slot, WorkerSlot)
            handle.slot.name = f"{worker.rsplit('-', 2)[0]} {content}"
            return [Event("begun", handle)]
        if what == "epoch":
            if content.epoch > entry.epoch:
                entry.epoch, entry.attempts = content.epoch, 0
            return [Event("epoch", handle, report=content)]
        if what == "retried":
            return [Event("retried", handle, note=content)]
        if what == "returned":
            return self._again(entry, f"#{handle.number} goes on elsewhere from its last saved epoch: {content}", retry)
        if what == "ended" and self._crew().blames(worker, entry, content):
            why = f"#{handle.number} failed on {worker}, which may be the device's fault: it is tried elsewhere"
            return self._again(entry, why, retry)
        self._queue().over(entry)
        return [Event("stopped", handle) if what == "stopped" else Event("ended", handle, result=content)]

    def _lost(self, entry: Entry, retry: bool) -> list[Event]:
        """A run whose worker is gone."""
        entry.attempts += 1
        if entry.attempts > self.settings["retries"]:
            self._queue().over(entry)
            died = Died("killed", f"its worker was lost {entry.attempts} times, the last was {entry.worker}")
            return [Event("ended", entry.handle, result=failed(entry.assignment.config, died))]
        return self._again(entry, f"#{entry.handle.number} goes on elsewhere: its worker {entry.worker} is lost", retry)

    def _again(self, entry: Entry, note: str, retry: bool) -> list[Event]:
        entry.handle.begun = False
        if not retry:
            self._queue().over(entry)
            return [Event("stopped", entry.handle)]
        self._queue().give_out_again(entry, entry.failed_on)
        return [Event("retried", entry.handle, note=note)]

    def _queue(self) -> Queue:
        assert self.queue is not None
        return self.queue

    def _crew(self) -> Crew:
        assert self.crew is not None
        return self.crew

    def answer(self, handle: Handle, answer: Answer) -> None:
        """Let a run that reported an epoch go on, or end it."""
        self._queue().answer(self._queue().of(handle), answer)

    def cancel(self, handle: Handle) -> None:
        """Take a job back. Its worker ends it when it sees that the lease is gone; nothing more is heard of it."""
        self._queue().over(self._queue().of(handle))

    def close(self) -> None:
        """Take everything back, and have the workers end."""
        if self.queue is None:
            return
        for entry in list(self.queue.entries):
            self.queue.over(entry)
        self.queue.close()
        if self.crew is not None:
            self.crew.end(self.grace_s)
        board.tidy(self.queue.root)
        self.queue = self.crew = None
