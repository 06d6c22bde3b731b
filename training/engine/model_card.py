"""README.md of a finished run: what its network was trained on, how good it is, and what its user has to know."""

import logging
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from training.record import Record
from training.run_folder import BEST, CARD, UNREADABLE_ARRAYS, predictions_file, read_text, write_whole

Z = 1.959963984540054  # standard errors to each side of a 95 % interval
CLASSES, CONFUSED = 50, 5  # shown at most
OVERRIDES = ".hydra/overrides.yaml"
log = logging.getLogger(__name__)


def leave_card(folder: Path, record: Record) -> None:
    """Write README.md. What goes wrong is told, since no result is to be lost over it."""
    try:
        write_whole(folder / CARD, card(folder, record).encode())
    except Exception as error:
        log.warning("%s can't be written: %s: %s", CARD, type(error).__name__, error)


def card(folder: Path, record: Record) -> str:
    """The text of the model card of a run that is done."""
    settings, data, resolved = record.settings, record.data, record.resolved
    classes = [str(name) for name in data.classes or []]
    licence = resolved.licence or ("none: random weights" if resolved.weights == "none" else "not known")
    parts = [
        f"# {settings.model}: {len(classes)} classes, {_accuracy(record.test.acc, record.test.n)} of test images right",
        _table(
            {
                "model": f"{settings.model}, {record.params:,} parameters" if record.params else settings.model,
                "initial weights": resolved.weights,
                "licence of the initial weights": licence,
                "images": f"{data.n.train} train, {data.n.val} val, {data.n.test} test; {_source(record)}",
                "test accuracy": _accuracy(record.test.acc, record.test.n),
                "val accuracy (chose the epoch)": _accuracy(record.val.acc, record.val.n),
                "macro F1, test": None if record.test.macro_f1 is None else f"{record.test.macro_f1:.1f} %",
                "test-time augmentation": tta if (tta := _trainer(record).get("tta")) not in (None, "none") else None,
                "selected epoch": f"{record.best_epoch} of {record.epochs_run}",
                "seed, identity": f"{record.seed}, {record.identity}",
                "versions": f"python {record.versions.python}, torch {record.versions.torch}, torchvision "
                f"{record.versions.torchvision}, finegrid's training code {record.code_version}",
            }
        ),
        "Intervals are Wilson's, 95 %: they tell how far other images of the same kind may move the accuracy, not what "
        "another seed would give.",
        f"## Classes\n\n{_classes(record, classes)}",
        f"## Most confused, test\n\n{_confused(folder, classes)}",
        f"## How it was made\n\n```bash\n{_command(folder)}\n```",
        f"Weights, classes and preprocessing are in `{BEST}`. New images are classified by\n\n"
        "```bash\npython -m training.predict THIS_FOLDER IMAGES\n```",
    ]
    return "\n\n".join(parts) + "\n"


def wilson(right: float, n: int) -> tuple[float, float]:
    """A 95 % interval for a proportion seen in `n` images (Wilson 1927, JASA 22). That of analysis.statistics would
    bring scipy, which takes half a second to import."""
    middle = (right + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(max(right * (1 - right), 0.0) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _accuracy(percent: float | None, n: int | None) -> str:
    if percent is None:
        return "not known"
    if not n:
        return f"{percent:.1f} %"
    low, high = wilson(percent / 100, n)
    return f"{percent:.1f} % ({100 * low:.1f} to {100 * high:.1f}, {n} images)"


def _source(record: Record) -> str:
    data = (record.config or {}).get("data") or {}
    kind = str(data.get("_target_") or "?").rpartition(".")[2]
    return " ".join(str(part) for part in (kind, data.get("name"), data.get("root") or data.get("csv")) if part)


def _trainer(record: Record) -> dict[str, Any]:
    found = (record.config or {}).get("trainer")
    return found if isinstance(found, dict) else {}


def _table(rows: dict[str, Any]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items() if value is not None]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _classes(record: Record, classes: list[str]) -> str:
    found = record.test.per_class_acc or {}
    shown = [f"- {_cell(name)}: {_accuracy(found.get(name), None)} of its test images right" for name in classes]
    more = [f"- and {len(classes) - CLASSES} more"] if len(classes) > CLASSES else []
    return "\n".join(shown[:CLASSES] + more)


def _confused(folder: Path, classes: list[str]) -> str:
    try:
        with np.load(folder / predictions_file("test"), allow_pickle=False) as content:
            labels, guesses = content["label"], content["logits"].argmax(1)
    except UNREADABLE_ARRAYS as error:
        return f"not known: {error}"
    wrong = labels != guesses
    pairs, counts = np.unique(labels[wrong] * len(classes) + guesses[wrong], return_counts=True)
    lines = []
    for place in np.argsort(-counts, kind="stable")[:CONFUSED]:
        label, guess = divmod(int(pairs[place]), len(classes))
        of = int((labels == label).sum())
        lines.append(f"- {_cell(classes[label])} taken for {_cell(classes[guess])}: {counts[place]} of {of}")
    return "\n".join(lines) or "no image was wrong"


def _command(folder: Path) -> str:
    try:
        asked = yaml.safe_load(read_text(folder / OVERRIDES))
    except (OSError, ValueError, yaml.YAMLError):
        asked = None
    words = [shlex.quote(str(word)) for word in asked] if isinstance(asked, list) else []
    return " ".join(["python train.py", *words])
