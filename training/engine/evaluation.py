"""Class scores of all images of a split, which stay on the device until the last is there."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.resident import Batch, Slice
from training.device import Compute, autocast
from training.engine.hardware.graphs import Graphs
from training.engine.predictions import Predictions
from training.models.build import logits


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[Batch | Slice], compute: Compute, graphs: Graphs | None = None
) -> Predictions:
    """Class scores for every image, of the network as it is used, not trained. With `graphs` what is made from Slices
    is recorded as CUDA graphs. Raises hardware.graphs.CaptureError."""
    model.eval()
    found: list[Batch] = []
    with autocast(compute, cached=graphs is None):  # once for all batches, so that it casts the weights once
        for batch in batches:
            if graphs is not None and isinstance(batch, Slice):
                found.append(_captured(model, batch, graphs))
                continue
            inputs, labels = batch.load() if isinstance(batch, Slice) else batch
            found.append((logits(model(inputs)).float(), labels))
    all_scores, all_labels = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    loss = float(functional.cross_entropy(all_scores, all_labels))
    return Predictions(all_labels.numpy(), all_scores.numpy(), loss)


def _captured(model: nn.Module, batch: Slice, graphs: Graphs) -> Batch:
    def work() -> tuple[Tensor, ...]:
        inputs, labels = batch.load()
        return logits(model(inputs)).float(), labels

    scores, labels = graphs((id(model), id(batch.rows), batch.count), work, lambda: [batch.rows.position])
    return scores.clone(), labels.clone()
