"""Linear probing, then fine-tuning: the head begins as the best linear classifier on the initial network's features."""

import logging
import time
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn
from torch.nn import functional

from training.config import RunConfig
from training.engine.techniques.beginning import Beginning
from training.engine.techniques.technique import Technique
from training.models.build import head_prefix
from training.models.head_inputs import check_linear, check_scores, head_inputs
from training.schema.checks import need

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of C, an inverse weight of the penalty
FOLDS = 3
MOST_FOR_CHOICE = 5000  # train images on which C is chosen
ITERATIONS = 300
log = logging.getLogger(__name__)


class Probe(Technique):
    """trainer.probe: LP-FT of Kumar et al. 2022 (arXiv 2202.10054). A head that begins at random sends noise through
    pretrained layers; one that has converged on their features changes them less.

    The features of the train images are computed once, in evaluation mode and without augmentation; on them, each
    standardized, a multinomial logistic regression with an L2 penalty is fitted by L-BFGS, its C chosen by the log loss
    of a stratified cross-validation on train images (val and test are not looked at). Then training begins as ever.
    """

    capturable = True

    def __init__(self, balanced: bool) -> None:
        self.balanced = balanced
        self.strength: float | None = None

    def check(self, model: nn.Module) -> None:
        """Only a linear layer can be such a classifier."""
        check_linear(model, "trainer.probe")

    def initialize(self, model: nn.Module, beginning: Beginning) -> None:
        """Fit the head."""
        started = time.perf_counter()
        features = head_inputs(model, beginning.plain(), beginning.autocast)
        check_scores(model, features, beginning.plain(), beginning.autocast, "trainer.probe")
        head = model.get_submodule(head_prefix(model))
        assert isinstance(head, nn.Linear)
        need(bool(features.isfinite().all()), "trainer.probe: the features are not finite numbers")
        mean, std = features.double().mean(0), features.double().std(0, correction=0).clamp_min(1e-6)
        inputs, labels = (features.double() - mean) / std, torch.from_numpy(beginning.labels)
        self.strength = choose_strength(inputs, labels, beginning.classes, self.balanced)
        weight, bias = fit(inputs, labels, beginning.classes, self.strength, self.balanced)
        right = functional.linear(inputs, weight, bias).argmax(1) == labels
        weight = weight / std  # the same on features that are not standardized
        with torch.no_grad():
            head.weight.copy_(weight)
            head.bias.copy_(bias - weight @ mean)
        words = "linear probe: C %g, %.2f %% of %d train images right, %.1f s"
        log.info(words, self.strength, 100 * right.double().mean(), len(labels), time.perf_counter() - started)

    def state_dict(self) -> dict[str, Any]:
        """What the record says of it."""
        return {"strength": self.strength}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of the run's beginning."""
        self.strength = state["strength"]

    def resolved(self) -> dict[str, Any]:
        """The chosen C."""
        return {"probe_c": self.strength}


def fit(
    inputs: Tensor, labels: Tensor, classes: int, strength: float, balanced: bool, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Weight float64 [classes, D] and bias [classes] that minimize the mean cross-entropy of `inputs` float64 [N, D]
    plus |weight|^2 / (2 C N); with `balanced` each class counts as much. It depends on the data and the number of
    threads alone. A class without images gets the least score."""
    weights = None
    if balanced:
        counts = torch.bincount(labels, minlength=classes).double()
        weights = len(labels) / int((counts > 0).sum()) / counts.clamp_min(1)
    both = torch.zeros(classes, inputs.shape[1] + 1, dtype=torch.float64) if start is None else start.clone()
    both.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [both], max_iter=ITERATIONS, tolerance_grad=1e-5, tolerance_change=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        scores = functional.linear(inputs, both[:, :-1], both[:, -1])
        losses = functional.cross_entropy(scores, labels, weight=weights, reduction="sum") / len(labels)
        loss = losses + both[:, :-1].square().sum() / (2 * strength * len(labels))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    found = both.detach()
    return found[:, :-1], found[:, -1]


def choose_strength(inputs: Tensor, labels: Tensor, classes: int, balanced: bool) -> float:
    """C by the least log loss in cross-validation; where a class has a single image, the middle of STRENGTHS."""
    chosen = np.arange(len(labels))
    if len(chosen) > MOST_FOR_CHOICE:
        chosen = np.random.default_rng(0).permutation(chosen)[:MOST_FOR_CHOICE]
    known = labels[chosen].numpy()
    counts = np.bincount(known)
    folds = min(FOLDS, int(counts[counts > 0].min()))
    if folds < 2 or len(counts[counts > 0]) < 2:
        return STRENGTHS[len(STRENGTHS) // 2]
    losses = np.zeros(len(STRENGTHS))
    for train, val in StratifiedKFold(folds, shuffle=True, random_state=0).split(chosen, known):
        rows, held, start = chosen[train], chosen[val], None
        for place, strength in enumerate(STRENGTHS):
            weight, bias = fit(inputs[rows], labels[rows], classes, strength, balanced, start)
            start = torch.cat([weight, bias[:, None]], 1)  # the next is not far
            scores = functional.linear(inputs[held], weight, bias)
            losses[place] += float(functional.cross_entropy(scores, labels[held], reduction="sum"))
    return STRENGTHS[int(losses.argmin())]


def from_config(config: RunConfig) -> Probe | None:
    """None unless trainer.probe is true."""
    balanced = config.trainer.class_weights == "balanced" or config.data.sampling == "balanced"
    return Probe(balanced) if config.trainer.probe else None
