"""What networks say of the images: finished runs, or one as it is before training."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from training.auditing.embedding import alike_and_far, of_images
from training.auditing.findings import Audit, Finding
from training.auditing.labels import check_package, doubts, suspected
from training.config import RunConfig
from training.console.progress import bar
from training.engine.prepare import prepare
from training.finished.finished_runs import done_runs
from training.run_folder import RECORD
from training.schema.checks import need
from training.screening.features import extract


def by_runs(found: Audit, runs: Sequence[Path]) -> list[Finding]:
    """Labels that finished runs doubt, and what the first one's embedding shows. `runs`: run folders, or folders of
    such. Raises ConfigError."""
    check_package()
    folders = [one for run in runs for one in ([run] if (run / RECORD).exists() else _runs_in(run))]
    return [*suspected(found.dataset, folders), *_seen(found, of_images(found.dataset, folders[0]))]


def _runs_in(folder: Path) -> list[Path]:
    return [run.folder for run in done_runs(folder)]


def by_features(found: Audit, config: RunConfig) -> list[Finding]:
    """The same of the network of `config` with its initial weights: labels that linear probes on its features doubt,
    each image by one that was fitted on other images. Raises ConfigError."""
    from training.screening.probe import out_of_fold

    check_package()
    dataset = found.dataset
    fewest = int(np.bincount(dataset.labels, minlength=len(dataset.classes)).min())
    need(fewest >= 2, "--features: expected 2 images of each class or more")
    splits = [name for name, rows in dataset.split.items() if len(rows)]
    data = replace(config.data, on_bad="skip")
    parts = extract(prepare(replace(config, data=data), dataset), splits)
    features = np.empty_like(parts)
    features[np.concatenate([dataset.split[name] for name in splits])] = parts
    chances = out_of_fold(features, dataset.labels)
    return [*doubts(dataset, np.arange(len(features)), chances), *_seen(found, features)]


def _seen(found: Audit, features: np.ndarray) -> list[Finding]:
    """What embeddings show beyond what is known of pairs."""
    with bar("comparing embeddings", len(features)) as advance:
        seen = alike_and_far(features, advance)
    known = {pair for one in found.findings for pair in combinations(sorted(one.images), 2)}
    return [one for one in seen if one.images not in known]
