"""Files that are there more than once, by their content: under two labels, or under the same."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MOST, SHOWN = 5, 3  # examples, in the record and in a line


@dataclass(frozen=True)
class SameFiles:
    """What is there more than once."""

    two_labels: dict[str, int] = field(default_factory=dict)  # split: files with another label in train or in itself
    examples: tuple[str, ...] = ()  # of those, train's first: a/1.png (a), b/1.png (b)
    repeated: int = 0  # images of train that are there before, under the same label

    def lines(self) -> list[str]:
        """What a person has to know of it."""
        other = " (with another label in train or in {0})"
        places = {"train": "in train"} | {name: f"of {name}{other.format(name)}" for name in ("val", "test")}
        some = [f"{count} {places[split]}" for split, count in self.two_labels.items() if count]
        if not some:
            return []
        total = sum(self.two_labels.values())
        more = f"; and {total - SHOWN} more" if total > SHOWN else ""
        what = "the same files under two labels, of which at least one is wrong"
        return [f"{what}: {', '.join(some)}: {'; '.join(self.examples[:SHOWN])}{more}"]


def same_files(
    split: dict[str, np.ndarray],
    labels: np.ndarray,
    hashes: Sequence[str],
    names: Sequence[str],
    classes: Sequence[str],
) -> SameFiles:
    """Look for them in N images; `split` has indices by split."""
    where = _by_content(split["train"], hashes, labels)
    of_train = Counter((hashes[index], int(labels[index])) for index in split["train"])
    counts: dict[str, int] = {}
    examples: list[str] = []
    for name in ("train", "val", "test"):
        here = where if name == "train" else _by_content(split[name], hashes, labels)
        found = []
        for content, by_label in here.items():
            both = {**where.get(content, {}), **by_label} if name != "train" else by_label
            if len(both) > 1:
                found.append([both[label] for label in sorted(both)])
        counts[name] = len(found)
        examples += [", ".join(f"{names[i]} ({classes[labels[i]]})" for i in indices[:3]) for indices in found[:MOST]]
    return SameFiles(counts, tuple(examples[:MOST]), sum(of_train.values()) - len(of_train))


def _by_content(rows: np.ndarray, hashes: Sequence[str], labels: np.ndarray) -> dict[str, dict[int, int]]:
    """Content: the first image of each label that has it."""
    found: dict[str, dict[int, int]] = {}
    for index in rows.tolist():
        found.setdefault(hashes[index], {}).setdefault(int(labels[index]), index)
    return found
