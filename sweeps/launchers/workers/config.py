"""The settings of hydra/launcher=folder_workers and slurm_workers."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class FolderWorkersConfig:
    """hydra/launcher=folder_workers: workers as plain processes of this machine"""

    _target_: str = "sweeps.launchers.workers.launcher.FolderWorkersLauncher"
    engine: str = "subprocess"  # what starts workers
    workers: int = 1
    slots: Any = "auto"  # of each worker: how many runs at once, as of hydra/launcher=local
    slots_per_gpu: Any = "auto"
    mps: str = "auto"
    devices: str = "auto"
    retries: int = 3  # of a run whose process or worker was killed, since its last saved epoch
    timeout_minutes: float | None = None  # of one run
    grace_s: float = 30.0  # from SIGTERM to the end of all, of the controller and of a worker
    lost_s: float = 120.0  # a worker or controller is lost when nobody has seen its beat for so long
    idle_s: float = 300.0  # a worker ends when it has found nothing to do for so long


ConfigStore.instance().store(
    group="hydra/launcher", name="folder_workers", node=FolderWorkersConfig, provider="finegrid"
)
