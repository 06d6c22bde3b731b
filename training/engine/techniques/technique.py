"""What a technique can do in a training, and when it is asked."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from training.engine.techniques.beginning import Beginning

Judge = Callable[[dict[str, Tensor]], float]  # of weights: the monitor on val, signed so that higher is better
Batch = tuple[Tensor, Tensor]  # images float32 [B, 3, S, S]; labels int64 [B], or their shares float32 [B, classes]


@dataclass(frozen=True)
class EpochContext:
    """What random draws of an epoch may depend on, so that a resumed run draws the same."""

    seed: int
    epoch: int  # from 1
    classes: int


@dataclass(frozen=True)
class Shortcut:
    """What stands for a whole network and its images during an epoch: the layer of that name, and what it sees."""

    layer: str
    train: Iterable[Batch]
    val: Iterable[Batch] | None  # None: val is evaluated as ever


class Technique:
    """Something that can be added to plain training. One overrides what it needs; everything else does nothing.

    It is made from its settings alone, which are checked then (ConfigError). `start` comes once, before the first
    epoch and before a resume state is loaded. torch's random numbers are reseeded for every epoch, so that a technique
    that draws some is repeatable.
    """

    makes_shares = False  # whether the labels of its batches are shares of the classes
    # Whether trainer.capture=auto may record steps with it as CUDA graphs, which repeat the network's kernels and none
    # of its Python: from step to step it changes tensors in place, gradients or batches, from epoch to epoch what is
    # frozen or in which mode layers are, and nothing else.
    capturable = False
    patience_from = 0  # trainer.patience counts no epoch up to this one

    def check(self, model: nn.Module) -> None:
        """Raise ConfigError where it can't work with such a network, which has no numbers yet (torch's meta device)."""

    def open(self, beginning: Beginning) -> None:
        """Know the images for later. Once in each process that works on the run."""

    def initialize(self, model: nn.Module, beginning: Beginning) -> None:
        """Change the initial weights. Once, before `start` and before optimizer.lr=auto is found; not where a run goes
        on, whose resume state has the weights."""

    def start(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Training is about to begin, or to go on, with these."""

    def batches(self, batches: Iterable[Batch], context: EpochContext) -> Iterable[Batch]:
        """The batches of an epoch, changed. (The learning-rate range test asks for this too, and for nothing else.)"""
        return batches

    def shortcut(self, epoch: int) -> Shortcut | None:
        """What to train in this epoch instead of the whole network on images; None: that."""
        return None

    def before_epoch(self, epoch: int) -> None:
        """The model has been put into training mode for this epoch, which counts from 1."""

    def before_step(self) -> None:
        """The gradients of a step are there, neither scaled nor clipped."""

    def after_step(self) -> None:
        """The optimizer has made a step."""

    @property
    def eval_model(self) -> nn.Module | None:
        """The network that is validated, selected and kept in place of the trained one; None: that."""
        return None

    def final_weights(self, best: dict[str, Tensor], judge: Judge) -> dict[str, Tensor]:
        """The weights to keep, after the last epoch and before test is read. `best`: those of the selected epoch, on
        the CPU; give them back as they are to change nothing."""
        return best

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, of tensors, numbers, texts, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""

    def resolved(self) -> dict[str, Any]:
        """What it found out, for the record: attributes of training.schema.record_parts.Resolved."""
        return {}
