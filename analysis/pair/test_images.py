"""On which test images two trained models disagree, and what that says of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from analysis.read.image_sets import image_set, order_of
from analysis.read.run_folder import read_test_predictions
from analysis.statistics.inference import mcnemar, paired_difference
from training.record import Record

ONLY_A, ONLY_B, BOTH_WRONG = "only A is right", "only B is right", "both are wrong, with different guesses"


@dataclass(frozen=True)
class Disagreement:
    """A test image that two models put in different classes: names of classes, and probabilities from 0 to 1."""

    name: str
    kind: str  # ONLY_A, ONLY_B or BOTH_WRONG
    label: str
    guesses: tuple[str, str]
    confidences: tuple[float, float]


@dataclass(frozen=True)
class TestImages:
    """Counts of the `n` images; where they disagree, the most confident first; McNemar's exact p; and the difference of
    the accuracies, A - B, in points with its 95 % interval."""

    __test__ = False  # pytest would collect it

    n: int
    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    disagreements: list[Disagreement]
    p: float
    points: float
    interval: tuple[float, float]

    def of_kind(self, kind: str) -> list[Disagreement]:
        """The disagreements of a kind."""
        return [one for one in self.disagreements if one.kind == kind]


def compare_images(first: tuple[Any, Record], second: tuple[Any, Record]) -> TestImages:
    """`first`, `second`: folder and record of each run. Raises ValueError with the reason where they can't be compared:
    no readable predictions, or other test images."""
    sides = []
    for letter, (folder, record) in zip("AB", (first, second), strict=True):
        try:
            names, labels, logits = read_test_predictions(folder, record)
        except ValueError as error:
            raise ValueError(f"{letter}: {error}") from None
        classes = [str(one) for one in record.data.classes or range(logits.shape[1])]
        sides.append((names, labels, logits, classes))
    known = [image_set(names, labels, classes) for names, labels, _, classes in sides]
    if known[0] != known[1]:
        shared = len(np.intersect1d(sides[0][0], sides[1][0]))
        raise ValueError(
            f"the test images are not the same: A has {len(sides[0][0])}, B {len(sides[1][0])}, and {shared} names are "
            "in both; accuracies on different images say little about the models"
        )
    return _on_the_same(*map(_aligned, sides))


def _aligned(side: tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]) -> dict[str, Any]:
    """In the order of the images' names: labels and guesses as names of classes, and confidences."""
    names, labels, logits, classes = side
    order = order_of(names)
    words = np.array(classes, dtype=object)
    scores = softmax(logits[order].astype(np.float64), axis=1)
    guesses = logits[order].argmax(1)
    return {
        "names": names[order].tolist(),
        "labels": words[labels[order]],
        "guesses": words[guesses],
        "confidences": scores[np.arange(len(guesses)), guesses],
        "right": guesses == labels[order],
    }


def _on_the_same(a: dict[str, Any], b: dict[str, Any]) -> TestImages:
    right_a, right_b = a["right"], b["right"]
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    n = len(right_a)
    low, high = paired_difference(only_a, only_b, n)
    found = []
    for index in np.flatnonzero(a["guesses"] != b["guesses"]).tolist():
        kind = ONLY_A if right_a[index] else ONLY_B if right_b[index] else BOTH_WRONG
        guesses = (str(a["guesses"][index]), str(b["guesses"][index]))
        confidences = (float(a["confidences"][index]), float(b["confidences"][index]))
        found.append(Disagreement(a["names"][index], kind, str(a["labels"][index]), guesses, confidences))
    kinds = (ONLY_A, ONLY_B, BOTH_WRONG)
    found.sort(key=lambda one: (kinds.index(one.kind), -sum(one.confidences), one.name))
    return TestImages(
        n=n,
        both_right=int((right_a & right_b).sum()),
        only_a=only_a,
        only_b=only_b,
        both_wrong=int((~right_a & ~right_b).sum()),
        disagreements=found,
        p=mcnemar(only_a, only_b),
        points=100 * (only_a - only_b) / n,
        interval=(100 * low, 100 * high),
    )
