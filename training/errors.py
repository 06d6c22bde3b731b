"""The two ways in which a run can end badly without a bug being the cause."""


class ConfigError(Exception):
    """A user's mistake in config, data or checkpoint: one line says what is wrong, where, and what would be right."""


class Diverged(Exception):
    """The loss stopped being a finite number. `epoch` counts from 1."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the loss is no longer finite in epoch {epoch}")
        self.epoch = epoch
