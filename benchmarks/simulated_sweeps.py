"""Sweeps of which the truth is known, for benchmarks.truth: a probit model of runs and images.

Whether a run puts an image in its class is a probit of the image's difficulty, the configuration's own view of the
image, the run's luck and chance.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from analysis.statistics.results import RowResults

IMAGE, VIEW, CHANCE = 1.0, 0.25, 0.5  # variances of the latent effects


@dataclass(frozen=True)
class Setting:
    """A kind of sweep. `seeds`: of each row. `accuracy`: test and val, in per cent. `seed_sd`: standard deviation of a
    run's true test accuracy between seeds, in points, at this accuracy. `spreads`: equal, lognormal (sd of its
    logarithm 0.5), or quarter (half of the rows at four times the spread). `shared_luck`: whether val has the run's
    luck of test, or its own. `collapses`: proportion of runs that come to nothing, which the report leaves out.
    `cousins`: how many rows share a view of the images. `gaps`: points below the best, for as many rows.
    `advised`: whether the best two by val get one more seed, as the report advises where nothing was run twice.
    `looks`: how often the report is read while each row gets one more seed."""

    name: str
    seeds: tuple[int, ...]
    n_val: int = 350
    n_test: int = 350
    accuracy: float = 89.2
    val_accuracy: float | None = None
    seed_sd: float = 1.0
    spreads: str = "equal"
    shared_luck: bool = True
    collapses: float = 0.0
    cousins: int = 1
    gaps: tuple[float, ...] = ()
    advised: bool = False
    looks: int = 1

    @property
    def rows(self) -> int:
        """How many configurations."""
        return len(self.seeds)


def level(accuracy: np.ndarray | float, luck: np.ndarray | float) -> np.ndarray:
    """The latent mean at which a configuration is right in `accuracy` per cent, over all images and runs."""
    return np.asarray(ndtri(np.asarray(accuracy) / 100) * np.sqrt(IMAGE + VIEW + CHANCE + luck))


def true_accuracy(mean: np.ndarray) -> np.ndarray:
    """Of trained models with these latent means, over all images (per cent)."""
    return np.asarray(100 * ndtr(mean / np.sqrt(IMAGE + VIEW + CHANCE)))


def luck_variance(accuracy: float, seed_sd: float) -> float:
    """The latent variance between runs whose true accuracies have a standard deviation of `seed_sd` points."""
    z = ndtri(accuracy / 100)
    slope = 100 * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)  # points, by the latent in its standard deviations
    share = (seed_sd / slope) ** 2  # of the latent variance; a straight line, near enough for small ones
    return float((IMAGE + VIEW + CHANCE) * share / (1 - min(share, 0.9)))


class World:
    """The configurations of one simulated sweep and its images; draws as many runs of each as are asked for."""

    def __init__(self, setting: Setting, generator: np.random.Generator) -> None:
        self.setting, self.generator = setting, generator
        rows = setting.rows
        luck = np.full(rows, luck_variance(setting.accuracy, setting.seed_sd))
        if setting.spreads == "lognormal":
            luck *= np.exp(generator.normal(0, 1.0, rows))  # of the variance: 0.5 of the standard deviation
        elif setting.spreads == "quarter":
            luck[: rows // 2] *= 16
            luck = generator.permutation(luck)
        self.luck = np.minimum(luck, 4.0)
        gaps = np.zeros(rows)
        gaps[rows - len(setting.gaps) :] = setting.gaps
        self.truth = setting.accuracy - generator.permutation(gaps)  # per cent
        val = setting.accuracy if setting.val_accuracy is None else setting.val_accuracy
        drop = (100 - val) / (100 - setting.accuracy)
        self.val_truth = val - (setting.accuracy - self.truth) * drop
        self.trained: dict[tuple[int, str], list[float]] = {}  # by row and split: true accuracies of its runs, per cent
        self.images = {}
        for split, n in (("val", setting.n_val), ("test", setting.n_test)):
            groups = -(-rows // setting.cousins)
            shared = generator.normal(0, np.sqrt(VIEW * 0.8), (groups, n)) if setting.cousins > 1 else None
            own = generator.normal(0, np.sqrt(VIEW * 0.2 if setting.cousins > 1 else VIEW), (rows, n))
            view = own if shared is None else own + np.repeat(shared, setting.cousins, axis=0)[:rows]
            self.images[split] = (view + generator.normal(0, np.sqrt(IMAGE), n)).astype(np.float32)

    def runs(self, row: int, count: int) -> RowResults:
        """New runs of a configuration."""
        setting, generator = self.setting, self.generator
        asked = count
        if setting.collapses:  # at least one is left, else the row isn't in the report
            count = max(1, int((generator.random(count) > setting.collapses).sum()))
        luck = generator.normal(0, np.sqrt(self.luck[row]), (count, 1))
        val_luck = luck if setting.shared_luck else generator.normal(0, np.sqrt(self.luck[row]), (count, 1))
        right = {}
        for split, accuracy, lucks in (("val", self.val_truth[row], val_luck), ("test", self.truth[row], luck)):
            n = self.images[split].shape[1]
            chance = np.float32(np.sqrt(CHANCE)) * generator.standard_normal((count, n), dtype=np.float32)
            mean = (level(accuracy, self.luck[row]) + lucks).astype(np.float32)
            right[split] = chance + self.images[split][row] > -mean
            self.trained.setdefault((row, split), []).extend(true_accuracy(mean[:, 0]).tolist())
        val, test = (100 * right[split].mean(1) for split in ("val", "test"))
        return RowResults(val, test, setting.n_test, right["test"], "", setting.n_val, asked - count)


def more(first: RowResults, second: RowResults) -> RowResults:
    """The runs of both."""
    assert first.correct is not None and second.correct is not None
    return RowResults(
        np.concatenate([first.val_percent, second.val_percent]),
        np.concatenate([first.test_percent, second.test_percent]),
        first.n_test,
        np.concatenate([first.correct, second.correct]),
        n_val=first.n_val,
        diverged=first.diverged + second.diverged,
    )
