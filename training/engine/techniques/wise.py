"""WiSE-FT: the trained weights and those that fine-tuning began with, interpolated as far as val likes it."""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.config import RunConfig
from training.engine.techniques.technique import Judge, Technique
from training.errors import Impossible

ALPHAS = tuple(step / 10 for step in range(11))  # shares of the trained weights
Weights = dict[str, Tensor]
log = logging.getLogger(__name__)


class Wise(Technique):
    """trainer.wise: Wortsman et al. 2021 (arXiv 2109.01903), "Robust fine-tuning of zero-shot models".

    The paper begins at a zero-shot classifier, whose head is trained already. Here the beginning is the network when
    its body begins to learn: the pretrained body, with the head of trainer.probe or of trainer.freeze_epochs, the
    paper's own variant without text (linear probe). A head that is still random would be worth nothing in a mixture, so
    one of these is asked for. After the last epoch the selected weights w become (1 - alpha) * start + alpha * w, with
    the alpha of 0, 0.1, ... 1 that is best on val by trainer.monitor; the larger on a tie, so that where it brings
    nothing the weights stay. BatchNorm's statistics are interpolated too, its counters are those of w.
    """

    capturable = True

    def __init__(self, frozen: int) -> None:
        self.frozen = frozen
        self.model: nn.Module | None = None
        self.beginning: Weights = {}
        self.alpha: float | None = None

    def start(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Know it for later."""
        self.model = model

    def before_epoch(self, epoch: int) -> None:
        """Keep the weights, before the first epoch in which all learn."""
        assert self.model is not None
        if epoch == self.frozen + 1:
            state = self.model.state_dict()
            self.beginning = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}

    def final_weights(self, best: Weights, judge: Judge) -> Weights:
        """The best mixture; `best` itself where no other is better."""
        if not self.beginning:  # debugging runs that end while all is frozen
            return best
        values = {alpha: judge(mixed(self.beginning, best, alpha)) for alpha in ALPHAS}
        self.alpha = max(ALPHAS, key=lambda alpha: (values[alpha], alpha))
        told = ", ".join(f"{alpha:g}: {abs(value):.4g}" for alpha, value in values.items())
        log.info("WiSE-FT: alpha %g of the trained weights is best on val (%s)", self.alpha, told)
        return mixed(self.beginning, best, self.alpha)

    def state_dict(self) -> dict[str, Any]:
        """The weights of the beginning, where it is over."""
        return {"beginning": self.beginning}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with those."""
        self.beginning = state["beginning"]

    def resolved(self) -> dict[str, Any]:
        """The chosen alpha."""
        return {"wise_alpha": self.alpha}


def mixed(start: Weights, trained: Weights, alpha: float) -> Weights:
    """(1 - alpha) * start + alpha * trained, of floats; whole numbers are those of `trained`."""
    if alpha == 1:
        return trained
    return {
        name: torch.lerp(start[name].double(), one.double(), alpha).to(one.dtype) if one.is_floating_point() else one
        for name, one in trained.items()
    }


def from_config(config: RunConfig) -> Wise | None:
    """None unless trainer.wise is true."""
    if not config.trainer.wise:
        return None
    trainer = config.trainer
    if config.weights.source == "none":
        raise Impossible("trainer.wise needs initial weights, such as weights=default")
    if not trainer.probe and not trainer.frozen_epochs:
        raise Impossible(
            "trainer.wise needs a head that is trained at the start: trainer.probe=true or freeze_epochs=1"
        )
    if trainer.frozen_epochs == trainer.epochs:
        raise Impossible("trainer.wise needs epochs in which all learn; trainer.freeze_epochs=all leaves none")
    return Wise(config.trainer.frozen_epochs)
