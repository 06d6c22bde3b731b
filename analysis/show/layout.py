"""How the columns of a text table are laid out in blocks that fit a width."""

import re
from collections.abc import Callable

from analysis.model.table import MEANS
from analysis.show.cells import JUDGED

KEY_COLUMNS = ["#", "model"]  # what a row is recognized by where the table takes several blocks
COLUMN_GAP = 2  # spaces
# What comes out, in the order in which it is wanted beside the settings; the rest follows in further blocks
RESULTS = (
    "val_acc",
    "test_acc",
    *JUDGED,
    "diff",
    "mark",
    "test_95",
    "id",
    "collapsed",
    "pareto",
    "seeds",
    *MEANS[2:],
    "params",
    "status",
)
FIRST_RESULTS = ("seeds", "val_acc", "published")  # columns before them are settings
BESIDE = 2  # results that settings have to share a block with


def layout(columns: dict[str, list[str]], width: int) -> tuple[list[list[str]], dict[str, str]]:
    """The columns of each block, and the head of each column, such that each block fits into `width` characters."""
    from rich.cells import cell_len

    cells = {name: max(map(cell_len, "\n".join(column).split("\n"))) for name, column in columns.items()} | {
        "#": len(str(len(columns["model"])))
    }
    heads = {name: name for name in cells}

    def fits(names: list[str]) -> bool:
        needed = [max(cells[name], *map(len, heads[name].split("\n"))) + COLUMN_GAP for name in names]
        return sum(needed) - COLUMN_GAP <= width

    names = list(columns)
    for least in (99, 4, 1):  # characters that a broken head must save: val_acc is better left in one piece
        heads = {name: _broken(name, cells[name], least) for name in cells}
        if fits(names):
            return [names], heads
    heads = {name: _broken(name, cells[name], 4) for name in cells}
    first = min((names.index(name) for name in FIRST_RESULTS if name in names), default=len(names))
    settings = [name for name in names[:first] if name not in KEY_COLUMNS]
    wanted = [name for name in RESULTS if name in names[first:]]
    wanted += [name for name in names[first:] if name not in wanted]
    return blocks_of(settings, wanted, fits), heads


def blocks_of(settings: list[str], results: list[str], fits: Callable[[list[str]], bool]) -> list[list[str]]:
    """Settings beside the first results, as many as fit, and the others in further blocks."""
    first, beside = list(KEY_COLUMNS), results[:BESIDE]
    while settings and fits([*first, settings[0], *beside]):
        first.append(settings[0])
        settings = settings[1:]
    if not settings:  # all are there: more results beside them
        while results and fits([*first, results[0]]):
            first.append(results[0])
            results = results[1:]
    elif len(first) > len(KEY_COLUMNS):
        first, results = [*first, *beside], results[BESIDE:]
    blocks = [first] if len(first) > len(KEY_COLUMNS) else []
    block = list(KEY_COLUMNS)
    for name in (*settings, *results):
        if block != KEY_COLUMNS and not fits([*block, name]):
            blocks.append(block)
            block = list(KEY_COLUMNS)
        block.append(name)
    return [*blocks, block] if block != KEY_COLUMNS else blocks


def _broken(name: str, width: int, least: int) -> str:
    """`name` over several lines where that saves at least so many characters beside cells of `width`."""
    broken = fold(name, width)
    return broken if len(name) - max(width, *map(len, broken.split("\n"))) >= least else name


def fold(name: str, width: int) -> str:
    """`name` over several lines, broken after _ and ., no narrower than `width` asks for."""
    lines = [""]
    for part in re.findall(r"[^_.]+[_.]?|[_.]", name):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
