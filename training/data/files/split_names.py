"""Which names of folders stand for train, val and test: the usual words, in any case and spelling."""

import re
from collections import defaultdict
from collections.abc import Iterable

EVAL = "eval"  # test, or val where another folder is test
WORDS = {
    "train": ("train", "training", "trains", "trn", "trainval"),
    "val": ("val", "vals", "valid", "validation", "validate", "validating", "dev", "devel", "development"),
    "test": ("test", "testing", "tests", "tst"),
    EVAL: ("eval", "evaluation", "evaluate"),
}
SPLIT_OF = {word: split for split, words in WORDS.items() for word in words}
# What people add to such a name: seg_train, training_set, test-images, TrainData, 01_train. Numbers too.
DECORATION = (
    *("dataset", "datasets", "data", "ds", "set", "sets", "subset", "seg", "segmentation", "split", "splits"),
    *("image", "images", "img", "imgs", "picture", "pictures", "pics", "photo", "photos", "sample", "samples"),
    *("file", "files", "folder", "folders", "directory", "dir", "part", "partition", "jpeg", "jpegs", "jpg", "png"),
)
# Folders of images without labels, as competitions have them beside train/.
UNLABELLED = {
    *("unlabelled", "unlabeled", "unlabel", "nolabel", "nolabels", "unannotated", "unsupervised", "unsup", "unsorted"),
    *("predict", "pred", "prediction", "predictions", "submission", "submit", "inference"),
}

_DECOR = f"(?:{'|'.join(sorted(DECORATION, key=len, reverse=True))})*"
_ONE_WORD = re.compile(f"{_DECOR}({'|'.join(sorted(SPLIT_OF, key=len, reverse=True))}){_DECOR}")


def split_names(names: Iterable[str]) -> dict[str, str]:
    """Of these sibling folders, those whose names stand for a split: train, val or test.

    What all of them add to it may be anything: flowers_train and flowers_test are splits, and of a lone
    train_station nothing is said.
    """
    groups: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        split, rest = parts_of(name)
        if split:
            groups[rest][name] = split
    known = groups.pop((), {})
    for members in groups.values():
        kinds = set(members.values())
        if "train" in kinds and len(kinds) > 1:
            known |= members
    tested = "test" in known.values()
    return {name: ("val" if tested else "test") if split == EVAL else split for name, split in known.items()}


def parts_of(name: str) -> tuple[str, tuple[str, ...]]:
    """The split that a name has a word for (empty: none, or more than one), and its other words, without decoration."""
    splits, rest = [], []
    for word in _words(name):
        if word in SPLIT_OF:
            splits.append(SPLIT_OF[word])
        elif found := _ONE_WORD.fullmatch(word):
            splits.append(SPLIT_OF[found[1]])
        elif not word.isdecimal() and word not in DECORATION:
            rest.append(word)
    if len(splits) == 2 and splits[0] == splits[1]:  # test_eval is none, train-train is train
        splits.pop()
    return (splits[0] if len(splits) == 1 else ""), tuple(rest)


def is_unlabelled(name: str) -> bool:
    """Whether a folder of this name holds images without labels."""
    return not UNLABELLED.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+|\d+", apart)]
