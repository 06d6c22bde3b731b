"""What a trained network sees in images: which it can hardly tell apart, and which are far from all others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.auditing.findings import FAR, Finding
from training.console.progress import bar
from training.data.dataset import Dataset
from training.data.near_copies.candidates import BLOCK, NEAREST, nearest
from training.data.parallel import in_threads
from training.models.build import head_prefix
from training.models.head_inputs import pooled
from training.models.trained_model import TrainedModel
from training.schema.checks import need

AT_ONCE = 64  # images in the network
COMPONENTS, FITTED = 128, 20_000  # principal components that are compared, and images that they are computed from
# Two images are alike if 1 - cosine is at most this, and this small beside that of the image's middle neighbour
CLOSE, RATIO = 0.05, 0.15
LEAST_SPREAD = 0.15  # of the logarithm of distances, below which nothing stands out


def of_images(dataset: Dataset, run: Path) -> np.ndarray:
    """What goes into the last layer of the network of run folder `run`, for all N images: float32 [N, D]. Raises
    ConfigError and BadImage."""
    trained = TrainedModel.load(run)
    head = head_prefix(trained.model)
    caught: list[Tensor] = []

    def catch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        caught.append(pooled(inputs[0]).float())

    handle = trained.model.get_submodule(head).register_forward_pre_hook(catch)
    found = []
    count = len(dataset.names)
    try:
        with bar("embedding", count) as advance, torch.inference_mode():
            for start in range(0, count, AT_ONCE):
                rows = range(start, min(start + AT_ONCE, count))
                images = in_threads(lambda index: trained.stored(dataset.load(index)), rows, "decoding")
                caught.clear()
                trained.logits(np.stack(images))
                need(
                    len(caught) == 1 and len(caught[0]) == len(rows),
                    f"--run {run}: no layer of it sees each image once",
                )
                found.append(caught[0].cpu().numpy())
                advance(len(rows))
    finally:
        handle.remove()
    features = np.concatenate(found)
    need(bool(np.isfinite(features).all()), f"--run {run}: its embeddings are not finite numbers")
    return features


def alike_and_far(features: np.ndarray, advance: Callable[[int], object] = lambda count: None) -> list[Finding]:
    """Pairs of images whose embeddings [N, D] are nearly equal, and images that are far from their neighbours.

    Memory: 512 bytes an image, beside the embeddings, and some 40 MB.
    """
    reduced = components(features)
    pairs: dict[tuple[int, int], float] = {}
    away = np.zeros(len(reduced))
    for start in range(0, len(reduced), BLOCK):
        first, second = nearest((reduced[start : start + BLOCK],), reduced, start, -1.0)
        apart = 1 - np.einsum("pd,pd->p", reduced[first], reduced[second])
        rows = np.split(np.arange(len(first)), np.flatnonzero(np.diff(first)) + 1) if len(first) else []
        for own in rows:
            middle = apart[own[len(own) // 2]]
            away[first[own[0]]] = apart[own[: NEAREST // 2]].mean()
            limit = min(CLOSE, RATIO * middle) if len(own) == NEAREST else 0.0
            for row in own[apart[own] <= limit]:
                pair = sorted((int(first[row]), int(second[row])))
                pairs[pair[0], pair[1]] = float(1 - apart[row])
        advance(min(BLOCK, len(reduced) - start))
    found = [Finding("alike", "nearly the same to the network", pair, round(score, 4)) for pair, score in pairs.items()]
    return [*found, *_far(away)]


def _far(away: np.ndarray) -> list[Finding]:
    if len(away) <= NEAREST:
        return []
    numbers = np.log(np.maximum(away, 1e-6))
    middle = float(np.median(numbers))
    spread = max(1.4826 * float(np.median(np.abs(numbers - middle))), LEAST_SPREAD)
    far = np.flatnonzero(numbers - middle > FAR * spread).tolist()
    times = np.exp(numbers - middle)
    what = "embedding: {0:.1f} times as far from its neighbours as images usually are"
    return [Finding("odd image", what.format(times[index]), (index,)) for index in far]


def components(features: np.ndarray) -> np.ndarray:
    """Centred, on their first COMPONENTS principal components, of length 1: float32 [N, at most COMPONENTS]."""
    step = max(1, len(features) // FITTED)
    some = features[::step].astype(np.float64)
    mean = some.mean(0)
    _, vectors = np.linalg.eigh(np.cov(some, rowvar=False, bias=True).reshape(some.shape[1], -1))
    axes = vectors[:, ::-1][:, :COMPONENTS].astype(np.float32)
    reduced = np.empty((len(features), axes.shape[1]), dtype=np.float32)
    for start in range(0, len(features), BLOCK):
        reduced[start : start + BLOCK] = (features[start : start + BLOCK] - mean.astype(np.float32)) @ axes
    reduced /= np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-12)
    return reduced
