"""The data card of a run's images: made of what is known of them already, once a sweep, and shown by each run."""

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.data.dataset import Dataset
from training.run_folder import contact_sheet_file, data_card_file, read_json, write_json, write_whole
from training.schema.data_card import DataCard, lines
from training.schema.data_config import DataConfig
from training.schema.json_parts import from_keys, to_keys

if TYPE_CHECKING:  # plans make cards, and need no torch
    from training.data.image_store import ImageStore

log = logging.getLogger(__name__)
PAIRS = (("train", "val"), ("train", "test"), ("val", "test"))


def card_of(dataset: Dataset, config: DataConfig) -> DataCard:
    """What is known before any image is decoded again."""
    known = [look.seen.get("file") for look in dataset.looks]
    # no lists or tuples by the thousand, which would wake the garbage collector
    width, height = (np.fromiter((one[side] for one in known if one), dtype=np.int64) for side in (0, 1))
    within, across = _copies(dataset)
    card = DataCard(
        data=str(config.csv or config.root or config.name or config._target_.rpartition(".")[2]),
        fingerprint=dataset.fingerprint,
        split=_how_split(dataset, config),
        classes=list(dataset.classes),
        counts={name: _by_class(dataset, rows) for name, rows in dataset.split.items()},
        modes=dict(Counter(str(one[2]) if one else "" for one in known)),
        within=within,
        across=across,
        near=dict(dataset.twins) if dataset.twins is not None else None,
        read_as=list(dataset.reading.lines) or None,
    )
    if len(width):
        card.width, card.height = (np.sort(side)[[0, len(side) // 2, -1]].tolist() for side in (width, height))
        card.sizes = len({*(width << 32 | height).tolist()})
    return card


def _by_class(dataset: Dataset, rows: np.ndarray) -> list[int]:
    counts: list[int] = np.bincount(dataset.labels[rows], minlength=len(dataset.classes)).tolist()
    return counts


def _how_split(dataset: Dataset, config: DataConfig) -> str | None:
    if config.folds is not None:
        return f"fold {config.fold} of {config.folds}, data.split_seed={config.split_seed}"
    return f"{', '.join(dataset.drawn)} drawn with data.split_seed={config.split_seed}" if dataset.drawn else None


def _copies(dataset: Dataset) -> tuple[dict[str, int], dict[str, int]]:
    """Images that are there before, to the byte: by split, and by two splits."""
    contents = [look.raw or look.content for look in dataset.looks]
    several = {content: Counter[str]() for content, count in Counter(contents).items() if count > 1}
    for name, rows in dataset.split.items() if several else ():
        for index in rows.tolist():
            if (found := several.get(contents[index])) is not None:
                found[name] += 1
    within = {name: sum(max(0, one[name] - 1) for one in several.values()) for name in dataset.split}
    across = {f"{a} and {b}": sum(one[b] for one in several.values() if one[a]) for a, b in PAIRS}
    return within, across


def leave_data_card(folder: Path, dataset: Dataset, config: DataConfig, store: "ImageStore") -> None:
    """Say what is in the images, and keep it in the sweep's `folder` with a contact sheet, where it isn't there yet. A
    disk that is full, or an image that has gone, is no reason to lose the run."""
    card = card_of(dataset, config)
    known = from_keys(DataCard, read_json(folder / data_card_file(dataset.fingerprint)))
    if known.values and (folder / contact_sheet_file(dataset.fingerprint)).exists():
        card.values = known.values
    else:
        try:
            _complete(card, folder, dataset, store)
        except (OSError, ValueError, KeyError) as error:  # KeyError: a Pillow without WebP
            log.info("no contact sheet: %s", error)
    for line in lines(card):
        log.info("data: %s", line)


def _complete(card: DataCard, folder: Path, dataset: Dataset, store: "ImageStore") -> None:
    from training.engine.tracking.contact_sheet import COLUMNS, LABEL, SIDE, sampled, sheet, values_of

    sample = sampled(dataset, store)
    card.values = values_of(sample)
    card.shown = [dataset.classes[label] for label in sample.classes]
    card.sheet = {"side": SIDE, "label": LABEL, "columns": COLUMNS}
    write_json(folder / data_card_file(dataset.fingerprint), to_keys(card))
    write_whole(folder / contact_sheet_file(dataset.fingerprint), sheet(dataset, sample))
