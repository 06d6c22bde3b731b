r"""The comparison table in LaTeX, for a paper: booktabs, and what all rows share in the caption."""

from collections.abc import Sequence

import pandas as pd

from analysis.show.cells import columns_and_constants, common_line
from training.console.table import visible

ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPED |= {character: "\\" + character for character in "&%$#_{}"} | {"±": r"$\pm$"}
HEADS = {  # columns that a paper calls otherwise
    "val_acc": "val acc. (%)",
    "test_acc": "test acc. (%)",
    "test_95": "95 % interval",
    "diff": "difference (points)",
    "lr": "learning rate",
    "images_per_s": "images/s",
}
LEFT_OUT = ("id",)  # columns that mean nothing to a reader who has not the runs


def latex_text(rows: pd.DataFrame) -> str:
    """A table for the booktabs package."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(escaped, cells)) + " \\\\\n"

    columns, right, common = columns_and_constants(rows)
    columns = {name: cells for name, cells in columns.items() if name not in LEFT_OUT}
    heads = [HEADS.get(name, visible(name) if "." in name else visible(name).replace("_", " ")) for name in columns]
    align = "".join("r" if name in right else "l" for name in columns)
    body = "".join(map(line, zip(*columns.values(), strict=True)))
    return (
        f"% needs \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\caption{{{caption(columns, common)}}}\n"
        f"\\begin{{tabular}}{{{align}}}\n\\toprule\n{line(heads)}\\midrule\n{body}\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def caption(columns: dict[str, list[str]], common: dict[str, str]) -> str:
    """What the numbers are, and what all rows share."""
    several = any("±" in cell for cell in columns.get("test_acc", []))
    parts = ["Accuracy in per cent" + (", mean ± standard deviation of the seeds." if several else ".")]
    if "diff" in columns:
        what = "own - published" if "published" in columns else "from the reference"
        parts.append(f"Difference {what} with its 95 % interval.")
    if common:
        parts.append(f"All rows: {common_line({name: one for name, one in common.items() if name != 'status'})}.")
    return escaped(" ".join(parts))


def escaped(text: str) -> str:
    """`text` without anything that TeX acts on."""
    return "".join(ESCAPED.get(one, one) for one in text)
