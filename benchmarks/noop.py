"""A Hydra program whose jobs do nothing, for benchmarks/launch.py."""

import hydra
from omegaconf import DictConfig


@hydra.main()
def main(config: DictConfig) -> int:
    """Nothing."""
    return 0


if __name__ == "__main__":
    main()
