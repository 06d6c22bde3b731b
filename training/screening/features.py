"""What a network makes of the images before its last layer, kept in the user's cache folder.

A folder `features-<key>` holds features.npy: float32 [train + val, D], in evaluation mode, without augmentation. The
key says which images, how they were brought to the network, and the content of its weights, so what lies there can't be
out of date. It shares data.cache_gb with the stored images (training/data/pixel_cache.py).
"""

import hashlib
import io
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.console.progress import bar
from training.data.integrity import cache_folder
from training.data.pixel_cache import DAY_S, FEATURES, make_room
from training.engine.prepare import Prepared
from training.engine.session import Session
from training.engine.temporary_session import temporary_session
from training.models.build import builder_source
from training.models.head_inputs import head_inputs
from training.models.weights import weights_content
from training.run_folder import lock, remove_parts, write_whole
from training.schema.checks import need

POLICY = 1  # changes whenever the same network would give other features for the same images
SPLITS = ("train", "val")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Features:
    """Of the train and val images: float32 [N, D] each, in the order of the data set's splits."""

    train: np.ndarray
    val: np.ndarray
    seconds: float
    cached: bool


def features_of(prepared: Prepared) -> Features:
    """Those of a config's initial weights, from the cache where they are there. Raises ConfigError and BadImage."""
    started = time.perf_counter()
    folder = cache_folder() / f"features-{key(prepared)}"
    count = len(prepared.dataset.split["train"])
    both = _kept(folder, prepared)
    cached = both is not None
    if both is None:
        try:
            with lock(folder, wait_s=DAY_S):
                remove_parts(folder)
                both = _kept(folder, prepared)  # another process may have been at it
                cached = both is not None
                if both is None:
                    both = extract(prepared)
                    _keep(folder, both, prepared.config.data.cache_gb)
        except OSError as error:
            if both is None:
                raise
            log.info("no features are kept: %s", error)
    return Features(both[:count], both[count:], time.perf_counter() - started, cached)


def key(prepared: Prepared) -> str:
    """16 hex digits for these weights on these images. What changes training alone doesn't enter."""
    config, resolved, dataset = prepared.config, prepared.resolved, prepared.dataset
    model = asdict(config.model)
    for name in ("drop_path", "dropout", "accepts", "weights"):
        del model[name]
    images = hashlib.sha256(b"".join(dataset.split[name].tobytes() for name in SPLITS)).hexdigest()
    data = (dataset.fingerprint, images, config.data.eval_size, config.data.stored, config.data.resize)
    about = [POLICY, data, model, resolved.normalize, resolved.precision, resolved.memory_format]
    weights = weights_content(config.model, config.weights, resolved.weights) or f"seed {config.seed}"
    about += [weights, builder_source(config.model)]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _kept(folder: Path, prepared: Prepared) -> np.ndarray | None:
    wanted = sum(len(prepared.dataset.split[name]) for name in SPLITS)
    try:
        found: np.ndarray = np.load(folder / FEATURES, allow_pickle=False)
        os.utime(folder / FEATURES)  # the least recently used goes first
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == wanted else None


def _keep(folder: Path, features: np.ndarray, limit_gb: float) -> None:
    if features.nbytes > limit_gb * 1e9:
        return
    make_room(features.nbytes, limit_gb * 1e9, folder)
    buffer = io.BytesIO()
    np.save(buffer, features)
    write_whole(folder / FEATURES, buffer.getbuffer())


def extract(prepared: Prepared, splits: Sequence[str] = SPLITS) -> np.ndarray:
    """float32 [train + val, D], or of other splits: what goes into the layer that makes the class scores."""
    with temporary_session(prepared) as session:
        features = np.concatenate([_over(session, split) for split in splits])
    name = prepared.config.model.called
    need(bool(np.isfinite(features).all()), f"{name}, {prepared.resolved.weights}: its features are not finite numbers")
    return features


def _over(session: Session, split: str) -> np.ndarray:
    with bar(f"features of {split}", len(session.prepared.dataset.split[split])) as advance:
        batches = session.batches.evaluate(split, session.config.trainer.batch_size)
        found: np.ndarray = head_inputs(session.model, batches, session.trainer.autocast, advance).numpy()
    return found
