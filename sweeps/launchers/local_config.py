"""The settings of hydra/launcher=local."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

OFF = ("off", "False", "false")  # the others: what YAML makes of the first


@dataclass
class LocalConfig:
    """hydra/launcher=local"""

    _target_: str = "sweeps.launchers.local.LocalLauncher"
    slots: Any = "auto"  # how many runs at once; auto: as many as the GPUs take, or one for the whole CPU
    slots_per_gpu: Any = "auto"  # auto: up to four, as many as fit into its memory
    mps: str = "auto"  # auto, off: whether runs that share a GPU do so under NVIDIA's Multi-Process Service
    devices: str = "auto"  # auto, cpu or gpu
    wait: bool = True  # for slots that other sweeps on this machine use; false: exit code 2 where none is free at first
    retries: int = 3  # of a run that was killed; it goes on from its last saved epoch, and counts anew after a further
    timeout_minutes: float | None = None  # of one run
    grace_s: float = 30.0  # from SIGTERM to the end of all


ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalConfig, provider="finegrid")
