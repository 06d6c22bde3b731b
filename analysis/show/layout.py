"""How the columns of a text table are laid out in blocks that fit a width."""

import re

from analysis.model.table import MEANS
from analysis.show.cells import JUDGED
from analysis.statistics.metric_names import CALIBRATION

KEY_COLUMNS = ["#", "model"]  # what a row is recognized by where the table takes several blocks
COLUMN_GAP = 2  # spaces


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
        for name in heads:
            broken = fold(name, cells[name])
            if len(name) - max(cells[name], *map(len, broken.split("\n"))) >= least:
                heads[name] = broken
        if fits(names):
            return [names], heads
    blocks = []
    results = ("seeds", *MEANS, *JUDGED, "test_95", "diff", "mark", "pareto", "params", "status", *CALIBRATION)
    settings = [name for name in names if name not in (*KEY_COLUMNS, *results)]
    for part in (settings, [name for name in names if name in results]):
        block = list(KEY_COLUMNS)
        for name in part:
            if block != KEY_COLUMNS and not fits([*block, name]):
                blocks.append(block)
                block = list(KEY_COLUMNS)
            block.append(name)
        blocks += [block] if block != KEY_COLUMNS else []
    return blocks, heads


def fold(name: str, width: int) -> str:
    """`name` over several lines, broken after _ and ., no narrower than `width` asks for."""
    lines = [""]
    for part in re.findall(r"[^_.]+[_.]?|[_.]", name):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
