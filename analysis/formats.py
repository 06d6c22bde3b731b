"""The comparison table as text: table for the eye, markdown and latex to paste somewhere, csv and json for programs."""

import json
import re
from collections.abc import Callable, Sequence

import pandas as pd

from analysis.table import MEANS, SETTINGS

LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {character: "\\" + character for character in "&%$#_{}"}
KEY = ["#", "model"]  # what a row is recognized by where the table takes several blocks
GAP = 2  # spaces between two columns of the table


def csv(rows: pd.DataFrame) -> str:
    """Comma-separated; what was measured with 4 decimals, what was asked for (lr, ...) in full."""
    return str(rows.round(dict.fromkeys(MEANS, 4)).to_csv(index=False))


def as_json(rows: pd.DataFrame) -> str:
    """A list with an object a row; null where there is no value."""
    plain = rows.round(dict.fromkeys(MEANS, 4)).astype(object)
    return json.dumps(plain.where(plain.notna(), None).to_dict("records"), indent=2, ensure_ascii=False) + "\n"


def markdown(rows: pd.DataFrame) -> str:
    """A table in GitHub's Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(re.sub(r"([|<*`\\])", r"\\\1", cell) for cell in cells) + " |\n"

    columns = texts(rows)
    rule = ["---:" if name in numbers(rows) else "---" for name in columns]
    return line(list(columns)) + line(rule) + "".join(map(line, zip(*columns.values(), strict=True)))


def latex(rows: pd.DataFrame) -> str:
    """A tabular for the booktabs package."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(LATEX.get(one, one) for one in cell) for cell in cells) + " \\\\\n"

    columns = texts(rows)
    align = "".join("r" if name in numbers(rows) else "l" for name in columns)
    body = "".join(map(line, zip(*columns.values(), strict=True)))
    top = f"% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{align}}}\n\\toprule\n"
    return f"{top}{line(list(columns))}\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"


PLAIN: dict[str, Callable[[pd.DataFrame], str]] = {"markdown": markdown, "csv": csv, "json": as_json, "latex": latex}


def table(rows: pd.DataFrame, heading: str, notes: Sequence[str] = ()) -> str:
    """The table as wide as the terminal (80 columns in a pipe; COLUMNS=120 sets another), with `notes` below.

    Nothing is cut off: what all rows have in common moves to a line below, and a table that is still too wide is laid
    out in blocks, settings first, with the same row numbers.
    """
    from rich import box  # here, since the other formats do without rich
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    columns = texts(rows, missing="-")
    columns["params"] = ["-" if pd.isna(number) else f"{number / 1e6:.2f}M" for number in rows["params"]]
    common = {name: columns.pop(name)[0] for name in shared(columns)}
    blocks, heads = layout(columns, console.width)
    if len(blocks) > 1 and "status" in columns:
        columns["status"] = [status.replace(", ", ",\n") for status in columns["status"]]
        blocks, heads = layout(columns, console.width)
    columns["#"] = [str(number) for number in range(1, len(rows) + 1)]
    right = {"#", *numbers(rows)}
    with console.capture() as capture:
        console.print(Text(f"{heading}\n"))
        for block in blocks:
            grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
            for name in block:
                grid.add_column(Text(heads[name]), justify="right" if name in right else "left", overflow="fold")
            for cells in zip(*(columns[name] for name in block), strict=True):
                grid.add_row(*map(Text, cells))
            console.print(grid, Text())
        if common:
            console.print(Text("all rows: " + ", ".join(f"{name}={value}" for name, value in common.items())))
        for note in notes:
            console.print(Text(note))
    return capture.get()


def shared(columns: dict[str, list[str]]) -> list[str]:
    """The columns that say the same in all rows and so can be said once. Results stay, and any status but done."""
    one = len(columns["model"]) == 1
    candidates = [name for name in (*SETTINGS[1:], "seeds", "params", "status") if not (one and name == "params")]
    same = [name for name in candidates if len(set(columns[name])) == 1]
    return [name for name in same if name != "status" or columns[name][0] == "done"]


def layout(columns: dict[str, list[str]], width: int) -> tuple[list[list[str]], dict[str, str]]:
    """The columns of each block, and the head of each column, such that each block fits into `width` characters."""
    from rich.cells import cell_len

    cells = {name: max(map(cell_len, "\n".join(column).split("\n"))) for name, column in columns.items()} | {
        "#": len(str(len(columns["model"])))
    }
    heads = {name: name for name in cells}

    def fits(names: list[str]) -> bool:
        needed = [max(cells[name], *map(len, heads[name].split("\n"))) + GAP for name in names]
        return sum(needed) - GAP <= width

    names = list(columns)
    for least in (99, 4, 1):  # characters that a broken head must save: val_acc is better left in one piece
        for name in heads:
            broken = fold(name, cells[name])
            if len(name) - max(cells[name], *map(len, broken.split("\n"))) >= least:
                heads[name] = broken
        if fits(names):
            return [names], heads
    blocks = []
    results = ("seeds", *MEANS, "params", "status")
    settings = [name for name in names if name not in (*KEY, *results)]
    for part in (settings, [name for name in names if name in results]):
        block = list(KEY)
        for name in part:
            if block != KEY and not fits([*block, name]):
                blocks.append(block)
                block = list(KEY)
            block.append(name)
        blocks += [block] if block != KEY else []
    return blocks, heads


def fold(name: str, width: int) -> str:
    """`name` over several lines, broken after _ and ., no narrower than `width` asks for."""
    lines = [""]
    for part in re.findall(r"[^_.]+[_.]?|[_.]", name):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def texts(rows: pd.DataFrame, missing: str = "") -> dict[str, list[str]]:
    """The cells of each column as text; what was measured with 2 decimals."""

    def text(name: str, value: object) -> str:
        if not isinstance(value, float):
            return missing if value is None or value is pd.NA else " ".join(str(value).split())
        if pd.isna(value):
            return missing
        return f"{value:.2f}" if name in MEANS else f"{value:g}"

    return {str(name): [text(str(name), value) for value in column.tolist()] for name, column in rows.items()}


def numbers(rows: pd.DataFrame) -> set[str]:
    """The columns that hold numbers."""
    return {str(name) for name, column in rows.items() if pd.api.types.is_numeric_dtype(column.dtype)}
