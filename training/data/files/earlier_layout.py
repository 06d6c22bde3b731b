"""How versions before layout.py and class_order.py read class folders: for finding the runs that they made."""

from collections.abc import Sequence

from training.data.files.chosen_splits import listed
from training.data.files.image_listing import ImageFile

Read = list[tuple[str, str] | None]
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def earlier_reading(folders: Sequence[str], rows: Sequence[ImageFile]) -> tuple[str, Read] | None:
    """Label and split of each row, None for one that was not used, and a word on the reading; None: it was refused.

    `folders`: those in the root.
    """
    given = {name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES}
    kinds = set(given.values())
    parts = [row.name.split("/") for row in rows]
    if given and "train" not in kinds and len(given) == len(folders):
        return None
    if "train" not in kinds or (len(kinds) == 1 and len(folders) > 1):
        return f"the folders {listed(folders)} as classes", [(top, "") for top, *_ in parts]
    if len(kinds) < len(given):
        return None
    read = [(part[1], given[part[0]]) if part[0] in given and len(part) > 2 else None for part in parts]
    return f"{listed(given)} alone as splits", read
