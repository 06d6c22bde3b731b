"""Head first, then all: the pretrained layers wait until the new head no longer sends them noise."""

from torch import nn
from torch.optim import Optimizer

from training.config import RunConfig
from training.engine.techniques.technique import Technique
from training.models.build import head_prefix


def freeze(model: nn.Module, head: str, optimizer: Optimizer, frozen: bool) -> list[nn.Module]:
    """Let only `head` (the name of a layer) learn, or everything that the optimizer has, as in Kumar et al. 2022
    (arXiv 2202.10054: linear probing, then fine-tuning). Call before every epoch.

    Gives the layers that have to be in evaluation mode meanwhile, so that the statistics of BatchNorm stay as they are
    and nothing is dropped. A frozen parameter has no gradient, so that the optimizer passes it over, with weight decay
    and momentum too. The learning-rate schedule runs over all epochs, those with a frozen network included.
    """
    learned = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        if parameter in learned:
            parameter.requires_grad_(not frozen or _within(name, head))
    if not frozen:
        return []
    return [module for name, module in model.named_modules() if not _within(name, head) and not _within(head, name)]


def _within(name: str, layer: str) -> bool:
    return not layer or name == layer or name.startswith(f"{layer}.")


class Freeze(Technique):
    """trainer.freeze_epochs: in the first epochs the head alone learns. They don't count for trainer.patience, unless
    it is frozen in all of them."""

    capturable = True

    def __init__(self, frozen: int, epochs: int) -> None:
        self.frozen = frozen
        self.patience_from = frozen if frozen < epochs else 0
        self.model: nn.Module | None = None
        self.optimizer: Optimizer | None = None

    def start(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Know them for later."""
        self.model, self.optimizer = model, optimizer

    def before_epoch(self, epoch: int) -> None:
        """Freeze all but the head, or thaw it."""
        assert self.model is not None and self.optimizer is not None
        frozen = epoch <= self.frozen
        for module in freeze(self.model, head_prefix(self.model), self.optimizer, frozen):
            module.eval()


def from_config(config: RunConfig) -> Freeze | None:
    """None where nothing is to be frozen."""
    trainer = config.trainer
    return Freeze(trainer.frozen_epochs, trainer.epochs) if trainer.frozen_epochs else None
