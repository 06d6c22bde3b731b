"""A launcher from outside: one slot, which is this process. No file of finegrid knows of it.

Hydra learns of it as of any plugin (here by `register`, in an installed package by the entry point group
`hydra.plugins`), its settings are a node of Hydra's ConfigStore, and `hydra/launcher=in_process` chooses it. A run that
has begun can be neither stopped nor pruned, which its capabilities say.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeps.channel import Answer
from sweeps.hydra_glue.composer import Composer
from sweeps.hydra_glue.private import current_job
from sweeps.launchers.batch import run_batch
from sweeps.launchers.launcher import Capabilities, Event, Handle, RunnableJob


@dataclass
class InProcessConfig:
    """hydra/launcher=in_process"""

    _target_: str = "in_process.InProcessLauncher"


@dataclass(frozen=True)
class ThisProcess:
    """The one slot."""

    number: int = 0
    name: str = "this process"


class InProcessLauncher(Launcher):
    """Runs a job to its end when it is waited for."""

    capabilities = Capabilities(channel=False, prune=False, cancel=False, this_machine=True)
    grace_s = 0.0

    def __init__(self) -> None:
        self.slots = [ThisProcess()]
        self.running: list[Handle] = []
        self.config: DictConfig | None = None  # of the job that was submitted

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.composer = hydra_context, task_function, Composer(hydra_context, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        return run_batch(self, self.composer.batch(initial_job_idx, job_overrides))

    def warm_up(self) -> None:
        pass

    def free_slot(self) -> ThisProcess | None:
        return None if self.running else self.slots[0]

    def submit(self, job: RunnableJob) -> Handle:
        handle = Handle(job.number, job.folder, self.slots[0])
        self.running, self.config = [handle], job.config
        return handle

    def wait_any(self, timeout_s: float, retry: bool = True) -> list[Event]:
        if not self.running:
            time.sleep(timeout_s)
            return []
        (handle,) = self.running
        if not handle.begun:
            handle.begun = True
            return [Event("begun", handle)]
        result = self._run()
        self.running = []
        return [Event("ended", handle, result=result)]

    def _run(self) -> JobReturn:
        assert self.config is not None
        with current_job(self.config):
            return run_job(
                hydra_context=self.context,
                task_function=self.task,
                config=self.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )

    def answer(self, handle: Handle, answer: Answer) -> None:
        raise AssertionError("no run of this launcher reports an epoch")

    def cancel(self, handle: Handle) -> None:
        assert not handle.begun, "a run that has begun can't be cancelled here"
        self.running = []

    def close(self) -> None:
        self.running = []


def register() -> None:
    """Make it known to Hydra, which forgets what it has not found itself when a test restores its state."""
    Plugins.instance().register(InProcessLauncher)
    ConfigStore.instance().store(group="hydra/launcher", name="in_process", node=InProcessConfig, replace=True)
