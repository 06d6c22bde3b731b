"""The public names: `load`, the runs of a sweep as a DataFrame, and `load_model`, the trained network of a run.

    from finegrid import load, load_model
    runs = load("outputs/grid")
    model, transform, classes = load_model(runs.loc[runs["val_acc"].idxmax(), "folder"])

May import: analysis and training. Nothing of ours imports it. Neither pandas nor torch is loaded before it is needed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import training  # says how torch's threads wait, which is read when somebody imports torch  # noqa: F401

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image
    from torch import Tensor, nn

__all__ = ["load", "load_model"]


def load(*folders: str | Path) -> "pd.DataFrame":
    """The runs in `folders` (sweeps, runs, folders of sweeps; none: the newest sweep), a row a run. Raises
    training.errors.ConfigError where there is none."""
    from analysis.read.records import load

    return load(*folders)


def load_model(
    run_folder: str | Path, device: str = "cpu", trust: Sequence[str] = ()
) -> tuple["nn.Module", "Callable[[Image.Image], Tensor]", list[str]]:
    """The selected network of a finished run or soup, what prepares an image for it, and the names of its classes.

    `run_folder`: or the id that the report shows. The network is in evaluation mode on `device` (auto, cpu, mps, cuda
    or cuda:N) and takes float32 [B, 3, S, S], gives logits float32 [B, classes]. The transform takes a PIL image of
    any mode and size, turns it upright (EXIF), and gives float32 [3, S, S]: what training.predict and the run's own
    evaluation show to the network. Raises training.errors.ConfigError where the folder holds no trained network, or
    one of code that is neither finegrid's nor torch's nor torchvision's: `trust` names modules of your own that the
    folder may use, such as ["own_parts"].
    """
    from training.finished.run_names import named_run
    from training.models.trained_model import TrainedModel
    from training.targets import trusting

    with trusting([trust] if isinstance(trust, str) else trust):
        trained = TrainedModel.load(named_run(run_folder), device)
    network = trained.network
    network.register_forward_hook(_main_logits)
    return network, trained.transform, trained.classes


def _main_logits(model: "nn.Module", inputs: Any, output: Any) -> "Tensor":
    """Of a network that gives the scores of auxiliary heads, too."""
    from training.models.build import logits

    return logits(output)
