"""The learning rates of an optimizer."""

from torch.optim import Optimizer


def learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """Each parameter group's learning rate, read from the optimizer itself; of those with the same name it is one."""
    return {str(group["name"]): float(group["lr"]) for group in optimizer.param_groups}
