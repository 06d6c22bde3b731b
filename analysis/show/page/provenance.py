"""Where the results come from: the data and some of their images, commands, dates, versions, folders."""

import base64
import io
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image, ImageOps
from yaml import YAMLError

from analysis.model.model import ReportModel
from analysis.model.table import distinct
from analysis.read.records import sweeps_of
from training.console.program import called
from training.record import Record, read_record
from training.run_folder import MULTIRUN, predictions_file
from training.schema.record_parts import Counts

IMAGES_A_CLASS, MOST_CLASSES, PIXELS = 4, 24, 48  # of thumbnails
MOST_PIXELS = 50_000_000  # of an image that is opened for one
MOST_NAMED = 5  # files, of what was left out


def provenance(model: ReportModel, with_images: bool = True) -> dict[str, Any]:
    """What page.html shows: `data`, a part for each set of images, with some of them unless a data card has these;
    `commands`; `facts`, names and what they are."""
    single = distinct(model.runs)
    single = single[[os.path.isdir(folder) for folder in single["folder"]]]  # noqa: PTH112 (a published row has none)
    known = single[single["data_fingerprint"].notna()] if "data_fingerprint" in single else single.iloc[:0]
    data = []
    for _, runs in known.groupby("data_fingerprint", sort=False):
        folder = Path(str(runs["folder"].iloc[0]))
        if (record := read_record(folder)) is not None:
            images = thumbnails(folder, record) if with_images else []
            data.append({"lines": list(data_lines(record)), "classes": classes_of(record), "images": images})
    folders = [folder for folder in sweeps_of(single["folder"]) if folder.is_dir()]
    commands = [one for folder in folders if (one := command_of(folder))]
    return {"data": data, "commands": commands, "facts": [*facts(single), ("folders", ", ".join(map(str, folders)))]}


def data_lines(record: Record) -> Iterator[tuple[str, str]]:
    """What a run saw of its images: a name, and what is known."""
    data, config = record.data, (record.config or {}).get("data") or {}
    name = (
        config.get("name") or config.get("root") or config.get("csv") or str(config.get("_target_", "")).split(".")[-1]
    )
    yield "data", f"{name} (fingerprint {data.fingerprint})"
    drawn = set(data.drawn or [])
    if data.n.train is not None:
        counts = [(split, getattr(data.n, split)) for split in ("train", "val", "test")]
        yield "images", ", ".join(f"{count} {split}{' (drawn)' * (split in drawn)}" for split, count in counts)
    if data.classes:
        yield "classes", str(len(data.classes))
    for line in data.read_as or []:
        yield "value range", str(line)
    if left := left_out(record):
        yield "left out", left
    for kind, what in (
        ("shared", "images that are in another split, too"),
        ("two_labels", "files under two labels"),
        ("twins", "images with a copy, exact or near, in train"),
    ):
        found: Counts = getattr(data, kind)
        parts = [f"{count} {split}" for split in ("train", "val", "test") if (count := getattr(found, split))]
        if parts:
            first = f", such as {data.two_labels_first[0]}" if kind == "two_labels" and data.two_labels_first else ""
            yield what, ", ".join(parts) + first
    if data.repeated:
        yield "train images that are there twice", str(data.repeated)


def left_out(record: Record) -> str:
    """What lies among the images and was not used, and why."""
    skipped, left = record.data.skipped or [], record.data.left_out
    parts = []
    if skipped:
        more = f" and {len(skipped) - MOST_NAMED} more" if len(skipped) > MOST_NAMED else ""
        parts.append(f"{len(skipped)} unreadable ({', '.join(map(str, skipped[:MOST_NAMED]))}{more})")
    for found, what in ((left.files, "no image"), (left.system, "of the system"), (left.loose, "in no class folder")):
        if found:
            parts.append(
                ", ".join(f"{count} {name}" for name, count in list(found.items())[:MOST_NAMED]) + f" ({what})"
            )
    parts += [f"folder {name} ({why})" for name, why in list((left.folders or {}).items())[:MOST_NAMED]]
    return "; ".join(parts)


def classes_of(record: Record) -> list[str]:
    """The names of the classes."""
    return [str(name) for name in record.data.classes or []]


def thumbnails(folder: Path, record: Record) -> list[tuple[str, list[str]]]:
    """A few val images of each class as JPEG in base64, where they are files that still lie under data.root."""
    import numpy as np

    root = ((record.config or {}).get("data") or {}).get("root")
    classes = classes_of(record)
    if not isinstance(root, str) or not os.path.isdir(root) or len(classes) > MOST_CLASSES:  # noqa: PTH112
        return []
    try:
        with np.load(folder / predictions_file("val"), allow_pickle=False) as content:
            names, labels = content["id"].tolist(), content["label"].tolist()
    except Exception:  # not there, cut off, not ours: the page does without
        return []
    found: dict[str, list[str]] = {name: [] for name in classes}
    for name, label in zip(names, labels, strict=False):
        wanted = isinstance(label, int) and 0 <= label < len(classes) and len(found[classes[label]]) < IMAGES_A_CLASS
        if wanted and (jpeg := thumbnail(Path(root), str(name))):
            found[classes[label]].append(jpeg)
    return [(name, images) for name, images in found.items() if images]


def thumbnail(root: Path, name: str, pixels: int = PIXELS) -> str:
    """A JPEG in base64 of an image below `root`, its longer side at most `pixels`; nothing where it is not one."""
    try:
        file = (root / name).resolve()
        if not file.is_relative_to(root.resolve()) or not file.is_file():
            return ""
        with Image.open(file) as image:
            deep = image.mode[0] in "IF"  # 16 bits and more: without the run's range of values it would look wrong
            if deep or image.width * image.height > MOST_PIXELS:
                return ""
            image.draft("RGB", (2 * pixels, 2 * pixels))
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((pixels, pixels))
    except Exception:  # whatever a file can be
        return ""
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()


def command_of(sweep: Path) -> str:
    """The command that the sweep in this folder was last started with; nothing where that isn't known."""
    try:
        overrides: Any = OmegaConf.select(OmegaConf.load(sweep / MULTIRUN), "hydra.overrides")
        words = [*map(str, overrides.task), *(one for one in map(str, overrides.hydra) if one != "hydra.mode=MULTIRUN")]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError, OmegaConfBaseException, YAMLError):
        return ""
    return " ".join([called("train"), "-m", *map(shlex.quote, words)])


def facts(runs: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Dates, machines and versions, with the number of runs where they differ."""
    dates = sorted(str(one)[:16].replace("T", " ") for name in ("started", "finished") for one in runs[name].dropna())
    if dates:
        yield "dates", f"{dates[0]} to {dates[-1]} UTC"
    minutes = runs["minutes"].sum()
    if minutes:
        yield "training time", f"{minutes / 60:.1f} h" if minutes > 90 else f"{minutes:.1f} min"
    names = {
        "device": "device",
        "device_name": "device name",
        "precision": "precision",
        "torch": "PyTorch",
        "code_version": "version of the code",
    }
    for column, name in names.items():
        counts = Counter(str(one) for one in runs[column].dropna())
        if counts:
            several = len(counts) > 1
            yield name, ", ".join(f"{one} ({count} runs)" if several else one for one, count in counts.items())
