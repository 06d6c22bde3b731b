"""The ways in which a run can end early without a bug being the cause."""


class ConfigError(Exception):
    """A user's mistake in config, data or checkpoint: one line says what is wrong, where, and what would be right."""


class Impossible(ConfigError):
    """Choices that are valid each, but not together, such as a model and weights that it doesn't have, or an optimizer
    and another one's momentum. A sweep can leave such runs out (sweep.impossible=skip)."""


class Diverged(Exception):
    """The loss stopped being a finite number. `epoch` counts from 1."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the loss is no longer finite in epoch {epoch}")
        self.epoch = epoch


class Pruned(Exception):
    """The study gave this run up after `epoch`, because others were better by then."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"pruned after epoch {epoch}")
        self.epoch = epoch


class Stopped(BaseException):
    """The sweep asked the run to stop after `epoch`. It is not over: the same command goes on."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"stopped after epoch {epoch}")
        self.epoch = epoch


class BeginAgain(BaseException):
    """This process can't go on with its run, which is not over: it has to go on from its last state in a fresh one,
    without CUDA graphs. The message says why. NO_GRAPHS: the environment variable that hands it on."""

    NO_GRAPHS = "FINEGRID_NO_GRAPHS"


class DataChanged(Exception):
    """The images are not those that the run was planned with, or not those that it began with."""
