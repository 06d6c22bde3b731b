"""Which images an epoch draws where classes are of unequal size: data.sampling=balanced."""

import numpy as np

STREAM = 3  # so that these random numbers are not those of transforms.py (streams 0 to 2)


def balanced_draws(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """As many rows of `labels` [N] as there are, int64 [N], drawn with replacement so that each class is equally
    likely (class-balanced sampling, see Kang et al. 2020, arXiv 1910.09217); from (seed, epoch) alone."""
    present, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    chances = 1 / (len(present) * counts[inverse])
    generator = np.random.Generator(np.random.Philox(key=[seed + (STREAM << 32), epoch]))
    return generator.choice(len(labels), len(labels), p=chances)
