"""Whether two run folders hold the same numbers, to the bit; and if not, by how much they differ."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import ConfigError
from training.models.checkpoint_file import StateDict, read_checkpoint
from training.provenance.differences import leaves
from training.provenance.histories import partings, results, same_number
from training.record import Record, read_predictions
from training.reproducing.original import Original
from training.run_folder import BEST, predictions_file, read_history
from training.schema.json_parts import to_keys

MOST_NAMED = 8  # figures of the record that are named
OUTCOME = ("status", "epochs_run", "best_epoch", "stopped_early")


@dataclass
class Verdict:
    """Sentences: what is the same, what differs and by how much, and what can't be compared."""

    same: list[str] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def compare_numbers(original: Original, folder: Path, record: Record) -> Verdict:
    """The run against the one that was trained again, which lies in `folder`."""
    verdict = Verdict()
    _outcome(original.record, record, verdict)
    _history(original, folder, verdict)
    if original.record.status == "done":
        _figures(original.record, record, verdict)
        for split in ("val", "test"):
            _predictions(original, folder, record, split, verdict)
        _weights(original, folder, verdict)
    return verdict


def _outcome(first: Record, second: Record, verdict: Verdict) -> None:
    pairs = [(name, getattr(first, name), getattr(second, name)) for name in OUTCOME]
    pairs.append(("learning rate that was found", first.resolved.lr, second.resolved.lr))
    differ = [f"{name}: {one} recorded, {other} now" for name, one, other in pairs if one is not None and one != other]
    verdict.differ += differ


def _history(original: Original, folder: Path, verdict: Verdict) -> None:
    first, second = original.history, read_history(folder)
    if len(first) < original.epochs - (original.record.status == "diverged"):  # which leaves no row of its last
        verdict.missing.append(f"history.csv: {len(first)} of {original.epochs} epochs can be read")
    shared = min(len(first), len(second))
    found = partings(first, second)
    for one in found:
        where = f"epoch {one.epoch}: {one.first!r} recorded, {one.second!r} now"
        many = f"; {one.epochs} of {shared} epochs differ, by {one.largest:.3g} at most" if shared > 1 else ""
        verdict.differ.append(f"{one.column}, {where} ({one.second - one.first:+.3g}{many})")
    if shared and not found:
        columns = [name for name in results(first) if name in results(second)]
        verdict.same.append(f"{shared} epoch{'s' * (shared > 1)} ({', '.join(columns)})")


def _figures(first: Record, second: Record, verdict: Verdict) -> None:
    """Of val and test: accuracies and losses."""
    differ = []
    for split in ("val", "test"):
        pair = [dict(leaves(to_keys(getattr(record, split)))) for record in (first, second)]
        names = [name for name in pair[0] if name in pair[1]]
        differ += [_figure(f"{split} {name}", pair[0][name], pair[1][name]) for name in names if _other(name, *pair)]
    verdict.differ += differ[:MOST_NAMED]
    if len(differ) > MOST_NAMED:
        verdict.differ.append(f"and {len(differ) - MOST_NAMED} more figures of the record")
    if not differ:
        verdict.same.append("the record's figures of val and test")


def _other(name: str, first: dict[str, Any], second: dict[str, Any]) -> bool:
    one, other = first[name], second[name]
    numbers = all(isinstance(value, int | float) for value in (one, other))
    return not same_number(one, other) if numbers else one != other


def _figure(name: str, one: Any, other: Any) -> str:
    numbers = all(isinstance(value, int | float) for value in (one, other))
    return f"{name}: {one!r} recorded, {other!r} now" + (f" ({other - one:+.3g})" if numbers else "")


def _predictions(original: Original, folder: Path, record: Record, split: str, verdict: Verdict) -> None:
    if not (original.folder / predictions_file(split)).exists():
        verdict.missing.append(f"logits of {split}: {predictions_file(split)} isn't there")
        return
    try:
        names, labels, logits = read_predictions(original.folder, original.record, split)
    except ValueError as error:
        verdict.differ.append(str(error))
        return
    names_now, labels_now, logits_now = read_predictions(folder, record, split)
    if not (np.array_equal(names, names_now) and np.array_equal(labels, labels_now)):
        verdict.differ.append(f"{split}: not the same images in the same order")
    elif logits.shape == logits_now.shape and logits.tobytes() == logits_now.astype(logits.dtype).tobytes():
        verdict.same.append(f"logits of {len(names)} {split} images")
    else:
        apart = np.abs(logits.astype(np.float64) - logits_now)
        guesses = int((logits.argmax(1) != logits_now.argmax(1)).sum())
        verdict.differ.append(
            f"logits of {split}: by {apart.max():.3g} at most; {int((apart.max(1) > 0).sum())} of {len(names)} images "
            f"differ, {guesses} in the class that is guessed"
        )


def _weights(original: Original, folder: Path, verdict: Verdict) -> None:
    """Of the selected epoch: where the run's are there, or their hash."""
    now, _ = read_checkpoint(folder / BEST)
    known = original.expected.get("weights_sha256")
    if (original.folder / BEST).is_file():
        try:
            before, _ = read_checkpoint(original.folder / BEST)
        except ConfigError as error:
            verdict.differ.append(str(error))
            return
        known = hash_of(before)
        if known != hash_of(now) and before.keys() == now.keys():
            largest = max(_apart(before[name], now[name]) for name in now)
            verdict.differ.append(f"weights: by {largest:.3g} at most (sha256 {known[:12]}, {hash_of(now)[:12]} now)")
            return
    if known is None:
        verdict.missing.append(f"weights: {BEST} isn't there")
    elif known == hash_of(now):
        verdict.same.append(f"weights (sha256 {known[:12]})")
    else:
        verdict.differ.append(f"weights: sha256 {str(known)[:12]} recorded, {hash_of(now)[:12]} now")


def _apart(first: Any, second: Any) -> float:
    if first.shape != second.shape:
        return float("inf")
    return float((first.double() - second.double()).abs().max()) if first.numel() else 0.0


def hash_of(weights: StateDict) -> str:
    """SHA-256 of all tensors with their names, types and shapes, in the order of the names."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
