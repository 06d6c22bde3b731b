"""A Hydra program whose jobs sleep, and leave when they began and ended: for benchmarks/cluster/idle.py.

+seconds=S +run=0,1,2,...: each sleeps half of S to one and a half times S, by its number.
"""

import json
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

SPAN = "span.json"


def seconds_of(run: int, seconds: float) -> float:
    """How long a run sleeps."""
    return seconds * (0.5 + (run * 0.618034) % 1)


@hydra.main()
def main(config: DictConfig) -> None:
    """Sleep."""
    began = time.time()
    time.sleep(seconds_of(config.run, config.seconds))
    Path(HydraConfig.get().runtime.output_dir, SPAN).write_text(json.dumps([began, time.time()]))


if __name__ == "__main__":
    main()
