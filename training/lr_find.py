"""A learning rate range test for one config: which rate to ask for, and the curve that says so.

python -m training.lr_find model=resnet50 data=folder data.root=photos

Takes the settings of train.py. Prints the curve and `optimizer.lr=RATE`, the rate of the steepest fall of the smoothed
loss, and leaves the curve as lr_find.html and lr_find.csv in the run's folder. optimizer.lr=auto does the same as a run
begins. How: training/engine/lr_range_test.py.
"""

import argparse
import sys

import numpy as np

from training.config import need
from training.engine.lr_range_test import CURVE, HIGH, LOW, STEPS, RangeTest, as_csv, range_test
from training.run_folder import write_whole

WIDTH, HEIGHT = 72, 14  # characters, of the curve in a terminal


def plot(test: RangeTest, width: int = WIDTH, height: int = HEIGHT) -> str:
    """The curve in characters: `.` a step's loss, `o` the smoothed one, `|` the suggestion."""
    place = np.log10(test.rates)
    columns = _scaled(place, place[0], place[-1], width)
    top, bottom = test.smoothed.max(), test.smoothed.min()
    grid = [[" "] * width for _ in range(height)]
    for losses, mark in ((test.losses, "."), (test.smoothed, "o")):
        rows = _scaled(losses, top, bottom, height)
        for column, row in zip(columns, rows, strict=True):
            grid[row][column] = mark
    (chosen,) = _scaled(np.log10([test.suggestion]), place[0], place[-1], width)
    for line in grid:
        line[chosen] = "|" if line[chosen] == " " else line[chosen]
    decades = [" "] * (width + 8)
    for power in range(int(np.ceil(place[0] - 1e-9)), int(np.floor(place[-1] + 1e-9)) + 1):
        (column,) = _scaled(np.array([power]), place[0], place[-1], width)
        decades[column : column + 5] = f"1e{power}".ljust(5)
    labels = [f"{top:8.3g} ", *[" " * 9] * (height - 2), f"{bottom:8.3g} "]
    body = [(label + "".join(line)).rstrip() for label, line in zip(labels, grid, strict=True)]
    return "\n".join(
        ["    loss (. each step, o smoothed) by learning rate", *body, " " * 9 + "".join(decades).rstrip()]
    )


def _scaled(values: np.ndarray, first: float, last: float, count: int) -> np.ndarray:
    """Values between `first` and `last` as indices 0 to count - 1; what lies beyond goes to the ends."""
    share = (values - first) / (last - first) if last != first else np.zeros(len(values))
    index: np.ndarray = np.clip(np.rint(share * (count - 1)), 0, count - 1).astype(int)
    return index


def page(test: RangeTest, title: str) -> str:
    """The curve as an HTML page that opens without network."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(x=test.rates, y=test.losses, mode="markers", name="loss of a step", marker={"color": "#767676"})
    figure.add_scatter(x=test.rates, y=test.smoothed, mode="lines", name="smoothed", line={"color": "#0072B2"})
    figure.add_vline(test.suggestion, line_dash="dash", annotation_text=f"{test.suggestion:.3g}")
    figure.update_xaxes(type="log", title="learning rate").update_yaxes(title="train loss")
    return str(figure.update_layout(title=title).to_html(include_plotlyjs=True))


def main(arguments: list[str] | None = None) -> int:
    """The command line. Exit code 2 for a mistake, told in one line."""
    from sweeps.hydra_glue.messages import told

    text = (__doc__ or "").split("\n")
    parser = argparse.ArgumentParser(prog="python -m training.lr_find", description=text[0], epilog=" ".join(text[4:]))
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, as for train.py")
    parser.add_argument("--low", type=float, default=LOW, help=f"the rate to begin with ({LOW:g})")
    parser.add_argument("--high", type=float, default=HIGH, help=f"the rate to end with ({HIGH:g})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimizer steps at most ({STEPS})")
    options = parser.parse_intermixed_args(arguments)
    try:
        need(0 < options.low < options.high < float("inf"), "--low, --high: expected 0 < low < high")
        need(options.steps >= 10, f"--steps {options.steps}: expected 10 or more")
        _find(options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return told(error)
    return 0


def _find(options: argparse.Namespace) -> None:
    from training.engine.prepare import prepare
    from training.engine.temporary_session import composed, session_aside

    prepared = prepare(composed(options.overrides))
    with session_aside(prepared) as session:
        config, compute = prepared.config, prepared.compute
        given = session.model, session.batches, config, compute
        asked = options.low, options.high, options.steps
        found = range_test(*given, *asked, class_weights=session.class_weights)
    file = prepared.folder / "lr_find.html"
    write_whole(prepared.folder / CURVE, as_csv(found).encode())
    write_whole(file, page(found, f"{prepared.subfolder}: learning rate range test").encode())
    print(plot(found))
    how = f"steepest fall of the smoothed loss; {len(found.rates)} steps in {found.seconds:.1f} s"
    print(f"optimizer.lr={found.suggestion:.3g} ({how}; {file})")


if __name__ == "__main__":
    sys.exit(main())
