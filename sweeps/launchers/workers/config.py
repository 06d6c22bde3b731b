"""The settings of hydra/launcher=folder_workers, slurm_workers and ray_workers."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

from sweeps.launchers.workers.slurm_controller import ControllerConfig


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
    gpu: str | None = None  # kind of device that they have, by which trainer.precision=auto goes: a100, sm_80, cpu
    worker_minutes: float | None = None  # after which a worker ends: what runs then goes on in another
    retries: int = 3  # of a run whose process or worker was killed, since its last saved epoch
    timeout_minutes: float | None = None  # of one run
    grace_s: float = 30.0  # from SIGTERM to the end of all, of the controller and of a worker
    lost_s: float = 120.0  # a worker or controller is lost when nobody has seen its beat for so long
    idle_s: float = 300.0  # a worker ends when it has found nothing to do for so long


@dataclass
class SlurmWorkersConfig(FolderWorkersConfig):
    """hydra/launcher=slurm_workers: workers as jobs of Slurm, an array of them"""

    engine: str = "slurm"
    workers: int = 8
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    timeout_min: int = 240  # of a worker, in minutes; runs go on in the next one
    gres: str | None = None  # gpu:1, gpu:a100:2, shard:1
    constraint: str | None = None
    mem_gb: float | None = None
    cpus_per_task: int | None = None
    setup: list[str] = field(default_factory=list)  # shell lines before the worker, such as 'module load cuda'
    sbatch: Any = None  # further options of sbatch, such as {nice: 100}
    controller: ControllerConfig = field(default_factory=ControllerConfig)  # the job of sweep.detach=true
    blocks: list[dict[str, Any]] = field(default_factory=list)  # unequal jobs: the keys from workers on, of each kind


@dataclass
class RayWorkersConfig(FolderWorkersConfig):
    """hydra/launcher=ray_workers: workers as actors of Ray"""

    engine: str = "ray"
    workers: int = 8  # at most; those that find no place wait for one
    address: str | None = "auto"  # the cluster of this machine; HOST:PORT, ray://HOST:PORT; local: one of its own
    num_gpus: Any = "auto"  # of a worker, such as 1, 2 or 0.5; auto: 1 where a node has any
    num_cpus: float = 1.0  # of a worker, and the threads of its runs
    mem_gb: float | None = None
    resources: Any = None  # of your own, such as {a100: 1}
    runtime_env: Any = None  # Ray's, such as {env_vars: {TORCH_HOME: /shared}}


NODES = {
    "folder_workers": FolderWorkersConfig,
    "slurm_workers": SlurmWorkersConfig,
    "ray_workers": RayWorkersConfig,
}
for name, node in NODES.items():
    ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="finegrid")
