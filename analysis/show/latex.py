"""The comparison table in LaTeX, to paste somewhere."""

from collections.abc import Sequence

import pandas as pd

from analysis.show.cells import number_columns, readable, texts
from training.console.table import visible

ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPED |= {character: "\\" + character for character in "&%$#_{}"} | {"±": r"$\pm$"}


def latex_text(rows: pd.DataFrame) -> str:
    """A tabular for the booktabs package."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(ESCAPED.get(one, one) for one in cell) for cell in cells) + " \\\\\n"

    rows = readable(rows)
    columns = texts(rows)
    align = "".join("r" if name in number_columns(rows) else "l" for name in columns)
    body = "".join(map(line, zip(*columns.values(), strict=True)))
    top = f"% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{align}}}\n\\toprule\n"
    return f"{top}{line(list(map(visible, columns)))}\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
