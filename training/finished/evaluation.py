"""A trained network on the val or test images of its run, as the run itself evaluated it."""

from dataclasses import dataclass, replace

import torch

from training.config import RunConfig
from training.data.batches import Batches
from training.data.dataset import Dataset, open_as_read
from training.data.image_store import ImageStore
from training.device import Compute, layout, resolve_compute, resolve_threads
from training.engine.evaluation import evaluate
from training.engine.predictions import Predictions
from training.finished.finished_runs import FinishedRun
from training.models.trained_model import TrainedModel
from training.models.weights import StateDict, put
from training.schema.checks import AUTO, need
from training.targets import foreign


@dataclass(frozen=True)
class Evaluation:
    """What is needed for it: the run's config (on this device), its network and images, and how it computes."""

    config: RunConfig
    trained: TrainedModel
    dataset: Dataset
    batches: Batches
    compute: Compute
    threads: int

    def predictions(self, weights: StateDict, split: str) -> Predictions:
        """Class scores of the images of `split` with these weights in the network."""
        put(self.trained.model, weights)
        return evaluate(
            self.trained.network, self.batches.evaluate(split, self.config.trainer.batch_size), self.compute
        )


def same_images(run: FinishedRun) -> Dataset:
    """The images of a run. Raises ConfigError where they are not what they were."""
    with foreign(run.folder):
        dataset = open_as_read(run.config.data, run.record.data.fingerprint)
    same = dataset.fingerprint == run.record.data.fingerprint
    need(same, f"{run.folder}: the images have changed since this run")
    return dataset


def _as_trained(run: FinishedRun, compute: Compute) -> Compute:
    """On a device of the same kind the precision of the run, whatever `auto` stands for by now."""
    resolved = run.record.resolved
    same_kind = (resolved.device or "").partition(":")[0] == compute.device.partition(":")[0]
    if not same_kind or run.config.trainer.precision != AUTO or resolved.precision is None:
        return compute
    return replace(compute, precision=resolved.precision)


def set_up_evaluation(run: FinishedRun, device: str = "auto") -> Evaluation:
    """Load a run's network and images, and set this process's torch up as the run had it: threads, determinism. Raises
    ConfigError where something is not as it was."""
    config = replace(run.config, trainer=replace(run.config.trainer, device=device))
    compute = _as_trained(run, resolve_compute(config.trainer, config.data.size))
    threads = run.record.threads or resolve_threads("auto")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(config.trainer.deterministic, warn_only=True)
    dataset = same_images(run)
    trained = TrainedModel.load(run.folder, compute.device)
    trained.model.to(memory_format=layout(compute))
    batches = Batches(dataset, ImageStore(dataset, config.data), trained.preprocessing, compute)
    return Evaluation(config, trained, dataset, batches, compute, threads)
