"""The trained network of a run as one file, checked against the run's own predictions before it is kept.

python -m training.export outputs/runs/resnet18-.../seed=0 --to onnx
python -m training.export outputs/runs/resnet18-.../seed=0 --to torch --out model.pt2

The file takes uint8 images [batch, 3, S, S] at their stored size and gives logits [batch, classes]; classes and
preprocessing are inside (training/finished/exporters.py). It is written, loaded again, and run on all val images:
where it doesn't answer as the run did, nothing is kept. Its latency is measured and goes to the run's record.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.config import TrainerConfig
from training.console.program import add_trust, parser_for, run_program
from training.console.progress import bar
from training.device import describe, resolve_compute, resolve_threads
from training.errors import ConfigError
from training.finished.run_names import named_run
from training.record import Record, read_record, unreadable, write_record
from training.run_folder import EXPORTS, UNREADABLE_ARRAYS, lock, predictions_file, replacing
from training.schema.checks import need
from training.schema.data_config import DataConfig
from training.schema.json_parts import to_keys

# How far a score may be from the run's own, as a share of the largest of those. A file computes in fp32, so what a run
# rounded to 8 bits (bf16) or 11 (fp16, and the convolutions of fp32 on a GPU: tf32) shows here.
TOLERANCE = {"fp32": 1e-3, "tf32": 2e-2, "fp16": 2e-2, "bf16": 1e-1}
BATCH = 32


@dataclass(frozen=True)
class ValAnswers:
    """What a run said of its val images. `store`: their pixels, by `indices` [N]; `logits`: float32 [N, classes]."""

    store: Any
    indices: np.ndarray
    names: list[str]
    logits: np.ndarray


@dataclass(frozen=True)
class Agreement:
    """How near a file's answers are to the run's. `ties`: images put in another class, since the run's own scores of
    the two were as near as its rounding."""

    images: int
    largest_difference: float
    allowed: float
    ties: int


def known_answers(folder: Path, record: Record, classes: int) -> ValAnswers:
    """The val images of a run and its predictions. Raises ConfigError where they are not what they were."""
    from training.data.dataset import open_dataset
    from training.data.image_store import ImageStore
    from training.targets import foreign

    file = folder / predictions_file("val")
    try:
        with np.load(file, allow_pickle=False) as content:
            names, labels, logits = content["id"].tolist(), content["label"], content["logits"]
    except UNREADABLE_ARRAYS as error:
        raise ConfigError(f"{file}: can't be read, and without it no export can be checked: {error}") from error
    try:
        config = DataConfig(**(record.config or {})["data"])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{folder}: written by another version of finegrid ({error})") from error
    ok = len(names) == len(labels) == len(logits) > 0 and logits.ndim == 2 and logits.shape[1] == classes
    need(ok, f"{file}: {len(names)} images, scores {list(logits.shape)}, but the network has {classes} classes")
    try:
        with foreign(folder):
            dataset = open_dataset(config)
    except ConfigError as error:
        raise ConfigError(f"the export is checked on the run's val images, which can't be read: {error}") from error
    same = dataset.fingerprint == record.data.fingerprint
    need(same, f"{folder}: the images have changed since this run, so no export can be checked against its predictions")
    where = {name: index for index, name in enumerate(dataset.names)}
    strange = [name for name in names if name not in where]
    need(not strange, f"{file}: {strange[:1]} is none of the run's images")
    indices = np.array([where[name] for name in names])
    need(bool((dataset.labels[indices] == labels).all()), f"{file}: its labels are not those of the run's images")
    return ValAnswers(ImageStore(dataset, config), indices, names, logits)


def compare(answer: Any, known: ValAnswers, rounding: str) -> Agreement:
    """Ask a file about all val images. Raises ConfigError where its answers are not the run's: another class (in
    reduced precision but for near ties), a score further away than TOLERANCE."""
    parts = []
    with bar("checking on val images", len(known.indices)) as advance:
        for start in range(0, len(known.indices), BATCH):
            images = known.store.batch(known.indices[start : start + BATCH])
            parts.append(answer(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
            advance(len(images))
    found, wanted, rows = np.concatenate(parts), known.logits, np.arange(len(known.indices))
    need(found.shape == wanted.shape, f"its scores are {list(found.shape)}, the run's {list(wanted.shape)}")
    allowed = TOLERANCE[rounding] * float(np.abs(wanted).max())
    own, other = wanted.argmax(1), found.argmax(1)
    near = wanted[rows, own] - wanted[rows, other] <= (0 if rounding == "fp32" else allowed)
    if len(wrong := np.flatnonzero((own != other) & ~near)):
        count = f"{len(wrong)} of {len(rows)} val images"
        raise ConfigError(f"it puts {count} in another class than the run did, the first is {known.names[wrong[0]]}")
    away = np.abs(found - wanted).max(1)
    worst = int(np.nan_to_num(away, nan=np.inf).argmax())
    difference, name = float(away[worst]), known.names[worst]
    ok = difference <= allowed
    need(ok, f"a score of val image {name} is {difference:.2g} from the run's; {allowed:.2g} is allowed ({rounding})")
    return Agreement(len(rows), difference, allowed, int((own != other).sum()))


def rounding_of(record: Record, device: str) -> str:
    """The key of TOLERANCE: how a run, or what its export is checked on, rounds."""
    precision, used = str(record.resolved.precision), str(record.resolved.device)
    gpu = used.startswith("cuda") or device.startswith("cuda")
    return "tf32" if precision == "fp32" and gpu else precision


def export(folder: Path, kind: str, out: Path) -> dict[str, Any]:
    """Write `out`, whole and checked or not at all; gives its entry in the record. Raises ConfigError, OSError, and
    RunInUse where a run is at work in the folder."""
    from training.engine.latency import measure
    from training.finished.exporters import check_packages, metadata, read, write
    from training.models.trained_model import TrainedModel

    check_packages(kind)
    trained = TrainedModel.load(folder, "cpu")
    need(not out.is_dir(), f"--out {out}: a folder; expected the name of a file")
    suffix = Path(EXPORTS[kind]).suffix
    need(not out.exists() or out.suffix == suffix, f"--out {out} is there and is no {suffix} file; choose another")
    with lock(folder, wait_s=2):
        record = read_record(folder) or Record()
        need(record.status == "done", f"{folder}: {unreadable(folder) or 'not a finished run'}")
        known = known_answers(folder, record, len(trained.classes))
        wanted, threads = resolve_compute(TrainerConfig(precision="fp32")).device, resolve_threads("auto")
        with replacing(out) as part:
            try:
                write(kind, trained, part)
                answer, about, device = read(kind, part, wanted, threads)
            except (OSError, MemoryError):
                raise
            except Exception as error:  # what torch makes of a network that it can't trace may be anything
                raise ConfigError(f"{folder}: can't be exported to {kind}: {_first_line(error)}") from error
            need(about == metadata(trained), f"{folder}: the exported file doesn't know its classes; nothing is kept")
            try:
                agreement = compare(answer, known, rounding_of(record, device))
            except ConfigError as error:
                raise ConfigError(f"{folder}: the {kind} file is refused, nothing is kept: {error}") from error
            latency = measure(answer, trained.images.stored)
        entry = {
            "to": kind,
            "file": out.name if out.parent.resolve() == folder.resolve() else str(out.resolve()),
            "bytes": out.stat().st_size,
            "latency_ms": to_keys(latency),
            "device": device,
            "device_name": describe(device),
            "threads": threads,
            "val_images": agreement.images,
            "largest_difference": agreement.largest_difference,
            "allowed_difference": agreement.allowed,
            "ties": agreement.ties,
        }
        others = [one for one in record.exports or [] if (one["to"], one["file"]) != (kind, entry["file"])]
        write_record(folder, replace(record, exports=[*others, entry]))
    return entry


def _first_line(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:  # torch.onnx wraps what went wrong into pages of advice
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0] if lines else 'no message'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = parser_for("training.export", __doc__)
    parser.add_argument("run_folder", type=Path, help="the folder of a finished run, or its id in the report")
    parser.add_argument("--to", choices=list(EXPORTS), required=True, help="onnx, or torch: a torch.export program")
    files = ", ".join(EXPORTS.values())
    parser.add_argument("--out", type=Path, help=f"the file to write (in the run folder: {files})")
    add_trust(parser)
    return run_program(parser, _export, arguments)


def _export(options: argparse.Namespace) -> None:
    folder = named_run(options.run_folder)
    out = options.out or folder / EXPORTS[options.to]
    entry = export(folder, options.to, out)
    ties = f", {entry['ties']} of them near ties in another class" if entry["ties"] else ""
    print(f"{out}: answers as the run did on all {entry['val_images']} val images{ties}", end=" ")
    print(f"(largest difference {entry['largest_difference']:.2g}, allowed {entry['allowed_difference']:.2g})")
    for name, one in entry["latency_ms"].items():
        print(f"{name}: {one['median']:.3f} ms an image (p95 {one['p95']:.3f}) on {entry['device']}")


if __name__ == "__main__":
    sys.exit(main())
