"""The comparison table as text: table for the eye, markdown and latex to paste somewhere, csv and json for programs."""

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.model.table import COLUMNS, JUDGED, MEANS, OPTIONAL, SETTINGS

if TYPE_CHECKING:
    from analysis.model.model import Account

MEASURED = (*MEANS, *JUDGED[:8])

LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {character: "\\" + character for character in "&%$#_{}"} | {"±": r"$\pm$"}
KEY = ["#", "model"]  # what a row is recognized by where the table takes several blocks
KEPT = ("model", "val_acc", "test_acc", "status")  # columns that are there though all their cells are empty
MOST_ROWS = 100  # that anybody reads in a terminal
GAP = 2  # spaces between two columns of the table


def csv(rows: pd.DataFrame) -> str:
    """Comma-separated; what was measured with 4 decimals, what was asked for (lr, ...) in full."""
    return str(rows.round(dict.fromkeys(MEASURED, 4)).to_csv(index=False))


def as_json(rows: pd.DataFrame) -> str:
    """A list with an object a row; null where there is no value."""
    plain = rows.round(dict.fromkeys(MEASURED, 4)).astype(object)
    return json.dumps(plain.where(plain.notna(), None).to_dict("records"), indent=2, ensure_ascii=False) + "\n"


def markdown(rows: pd.DataFrame) -> str:
    """A table in GitHub's Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(re.sub(r"([|<*`\\])", r"\\\1", cell) for cell in cells) + " |\n"

    rows = for_eyes(rows)
    columns = texts(rows)
    rule = ["---:" if name in numbers(rows) else "---" for name in columns]
    return line(list(columns)) + line(rule) + "".join(map(line, zip(*columns.values(), strict=True)))


def latex(rows: pd.DataFrame) -> str:
    """A tabular for the booktabs package."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(LATEX.get(one, one) for one in cell) for cell in cells) + " \\\\\n"

    rows = for_eyes(rows)
    columns = texts(rows)
    align = "".join("r" if name in numbers(rows) else "l" for name in columns)
    body = "".join(map(line, zip(*columns.values(), strict=True)))
    top = f"% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{align}}}\n\\toprule\n"
    return f"{top}{line(list(columns))}\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"


PLAIN: dict[str, Callable[[pd.DataFrame], str]] = {"markdown": markdown, "csv": csv, "json": as_json, "latex": latex}


def empty() -> pd.DataFrame:
    """A table without rows."""
    return pd.DataFrame(columns=[*(name for name in COLUMNS if name not in OPTIONAL), *JUDGED])


def report(what: "Account", heading: str, notes: Sequence[str], failures: Sequence[str]) -> str:
    """The table for the eye, and under it all that is to be said."""
    lines = [*notes, *what.sentences]
    if what.effects:
        title = "What matters (points of test accuracy, all other settings matched; p corrected over these lines):"
        lines += [title, *(f"  {line}" for line in what.effects)]
    lines += [f"caution: {line}" for line in what.cautions] + list(failures)
    if len(what.rows) > MOST_ROWS:
        lines.insert(0, f"({len(what.rows) - MOST_ROWS} more rows; --format csv has all, --where chooses)")
    return table(what.rows[:MOST_ROWS], heading, lines)


def side_by_side(rows: pd.DataFrame, heading: str) -> str:
    """Published and own numbers, row by row."""
    told = rows.drop(columns=["diff_low", "diff_high"])
    told["diff"] = [
        _with(f" [{low:.1f}, {high:.1f}]", diff, low, "+.1f")
        for diff, low, high in zip(rows["diff"], rows["diff_low"], rows["diff_high"], strict=True)
    ]
    return table(told, heading, ["diff: own - published, in points of test accuracy, with a 95 % interval"])


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
    eyes = for_eyes(rows)
    unknown = [name for name in eyes.columns if name not in KEPT and eyes[name].isna().all()]
    eyes = eyes.drop(columns=unknown)  # of a published table
    columns = texts(eyes, missing="-")
    if "params" in columns:
        columns["params"] = ["-" if pd.isna(number) else f"{number / 1e6:.2f}M" for number in rows["params"]]
    common = {name: columns.pop(name)[0] for name in shared(columns)}
    blocks, heads = layout(columns, console.width)
    if len(blocks) > 1 and "status" in columns:
        columns["status"] = [status.replace(", ", ",\n") for status in columns["status"]]
        blocks, heads = layout(columns, console.width)
    columns["#"] = [str(number) for number in range(1, len(rows) + 1)]
    right = {"#", *numbers(eyes)}
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
    candidates = [name for name in candidates if name in columns]
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
    results = ("seeds", *MEANS, "test_95", "diff", "mark", "pareto", "params", "status")
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


def for_eyes(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of a judgement as people read them: 98.50 ± 0.71 (standard deviation of the seeds), an interval
    beside the test accuracy, and the difference from the reference with its interval. Others are left as they are."""
    if JUDGED[0] not in rows:
        return rows
    told: dict[str, Any] = {name: rows[name] for name in rows.columns if name not in JUDGED}
    for name, sd in (("val_acc", "val_sd"), ("test_acc", "test_sd")):
        if rows[sd].notna().any():
            told[name] = [_with(f" ± {b:.2f}", a, b) for a, b in zip(rows[name], rows[sd], strict=True)]
    low, high = (rows[name].tolist() for name in ("test_low", "test_high"))
    told["test_95"] = [_with(f"{b:.1f} to {c:.1f}", math.nan, b) for b, c in zip(low, high, strict=True)]
    diff, low, high = (rows[name].tolist() for name in ("diff", "diff_low", "diff_high"))
    told["diff"] = [_with(f" [{b:.1f}, {c:.1f}]", a, b, "+.1f") for a, b, c in zip(diff, low, high, strict=True)]
    told["mark"] = rows["mark"]
    order = ["seeds", "val_acc", "test_acc", "test_95", "diff", "mark"]
    before = [name for name in told if name not in order and name in SETTINGS]
    after = [name for name in told if name not in order and name not in SETTINGS]
    return pd.DataFrame(told, index=rows.index)[[*before, *order, *after]]


def signed(value: float, form: str = "+.1f") -> str:
    """`value` with a sign, but for what rounds to nothing."""
    text = f"{value:{form}}"
    return text.lstrip("+-") if float(text) == 0 else text


def _with(addition: str, value: float, known: float, form: str = ".2f") -> str | None:
    """`value` as text, and `addition` where that is `known`."""
    parts = ["" if pd.isna(value) else signed(value, form), "" if pd.isna(known) else addition]
    return "".join(parts) or None


def texts(rows: pd.DataFrame, missing: str = "") -> dict[str, list[str]]:
    """The cells of each column as text; what was measured with 2 decimals."""

    def text(name: str, value: object) -> str:
        if not isinstance(value, float):
            return missing if value is None or value is pd.NA else " ".join(str(value).split())
        if pd.isna(value):
            return missing
        return f"{value:.2f}" if name in (*MEANS, "published", "own") else f"{value:g}"

    return {str(name): [text(str(name), value) for value in column.tolist()] for name, column in rows.items()}


def numbers(rows: pd.DataFrame) -> set[str]:
    """The columns that hold numbers."""
    numeric = {str(name) for name, column in rows.items() if pd.api.types.is_numeric_dtype(column.dtype)}
    return numeric | {"lr", "val_acc", "test_acc", "test_95", "diff"}
