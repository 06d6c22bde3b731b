"""The results of one row of the table: accuracies by replicate, and which test images each got right."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class RowResults:
    """What came out of the replicates of one row: seeds of one identity, or folds and splits of the data.

    `val_percent`, `test_percent`: accuracies [seeds]. `correct`: whether each test image was put in its class, bool
    [seeds, n_test]; None where only the counts are known. `test_set_id`: equal for rows that have the same test images.
    """

    val_percent: np.ndarray
    test_percent: np.ndarray
    n_test: int
    correct: np.ndarray | None = None
    test_set_id: str = ""
    n_val: int = 0  # 0: not known
    diverged: int = 0  # runs beside these that came to nothing
    parts: tuple[int, ...] = ()  # of replicates that are folds or splits of the data: which each one is
    own_images: bool = False  # each of them was tested on images of its own
    overlap: float = 0.0  # of such: left-out by train images, see effective_seeds

    @cached_property
    def test_proportion(self) -> float:
        """Mean test accuracy as a proportion."""
        return float(self.test_percent.mean()) / 100

    @cached_property
    def mean_val_percent(self) -> float:
        """Mean val accuracy in per cent."""
        return float(self.val_percent.mean())

    @property
    def seeds(self) -> int:
        """How many runs that came to an end, whether they differ by seed, fold or split."""
        return len(self.test_percent)

    @property
    def effective_seeds(self) -> float:
        """How many independent runs would leave as much variance in the mean. Folds and splits share training images:
        their mean has S^2 (1 / k + n_out / n_train) (Nadeau and Bengio 2003, Machine Learning 52)."""
        return 1 / (1 / self.seeds + self.overlap)

    @cached_property
    def seed_variance_points2(self) -> float:
        """Variance of test accuracy between the seeds, in points squared; nan for one seed."""
        return float(self.test_percent.var(ddof=1)) if self.seeds > 1 else math.nan

    @cached_property
    def val_variance_points2(self) -> float:
        """Variance of val accuracy between the seeds, in points squared; nan for one seed."""
        return float(self.val_percent.var(ddof=1)) if self.seeds > 1 else math.nan

    @cached_property
    def proportion_correct(self) -> np.ndarray:
        """The proportion of the seeds that put each image in its class [n_test]; needs `correct`."""
        assert self.correct is not None
        mean: np.ndarray = self.correct.mean(0, dtype=np.float32)
        return mean

    @cached_property
    def seed_variance_per_image(self) -> float:
        """Variance of one image's outcome (0 or 1) between the seeds, mean over the images; needs `correct` of two
        seeds or more."""
        p = self.proportion_correct
        return float((p * (1 - p)).mean()) * self.seeds / (self.seeds - 1)


@dataclass(frozen=True)
class MeasuredResults(RowResults):
    """What came out of one identity by another metric than accuracy, times 100 and so that higher is better.

    `correct` holds numbers: a value an image [seeds, n_test], or whatever stands in for images (metrics.py), with a
    variance that divided by n_test is that of the mean. `bounded`: whether the metric lies between 0 and 100.
    """

    bounded: bool = True

    @cached_property
    def proportion_correct(self) -> np.ndarray:
        """The mean over the seeds of each value."""
        assert self.correct is not None
        mean: np.ndarray = self.correct.mean(0)
        return mean

    @cached_property
    def seed_variance_per_image(self) -> float:
        """Variance of one image's value between the seeds, mean over the images; needs two seeds or more."""
        assert self.correct is not None
        return float(self.correct.var(0, ddof=1).mean())

    @cached_property
    def variance_per_image(self) -> float:
        """Variance of one run's values over the images, mean over the runs."""
        assert self.correct is not None
        return float(self.correct.var(1, ddof=1).mean())
