"""A learning rate range test for one config: which rate to ask for, and the curve that says so.

python -m training.lr_find model=resnet50 data=folder data.root=photos

Takes the settings of train.py. Prints `optimizer.lr=RATE`, the rate of the steepest fall of the smoothed
loss, and leaves the curve as lr_find.html and lr_find.csv in the run's folder. optimizer.lr=auto does the same as a run
begins. How: training/engine/lr_range_test.py.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from training.console.program import parser_for, run_program
from training.engine.lr_range_test import CURVE, HIGH, LOW, STEPS, RangeTest, as_csv, range_test
from training.run_folder import write_whole
from training.schema.checks import need


def page(test: RangeTest, title: str) -> str:
    """The curve as an HTML page that opens without network."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(x=test.rates, y=test.losses, mode="markers", name="loss of a step", marker={"color": "#767676"})
    figure.add_scatter(x=test.rates, y=test.smoothed, mode="lines", name="smoothed", line={"color": "#0072B2"})
    figure.add_vline(test.suggestion, line_dash="dash", annotation_text=f"{test.suggestion:.3g}")
    figure.update_xaxes(type="log", title="learning rate").update_yaxes(title="train loss")
    return str(figure.update_layout(title=title).to_html(include_plotlyjs=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    from sweeps.hydra_glue.messages import one_line

    parser = parser_for("training.lr_find", __doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, as for train.py")
    parser.add_argument("--low", type=float, default=LOW, help=f"the rate to begin with ({LOW:g})")
    parser.add_argument("--high", type=float, default=HIGH, help=f"the rate to end with ({HIGH:g})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimizer steps at most ({STEPS})")
    return run_program(parser, _find, arguments, one_line)


def _find(options: argparse.Namespace) -> None:
    from sweeps.plan.configs import run_config_of

    need(0 < options.low < options.high < float("inf"), "--low, --high: expected 0 < low < high")
    need(options.steps >= 10, f"--steps {options.steps}: expected 10 or more")
    from training.engine.prepare import prepare
    from training.engine.temporary_session import temporary_session

    prepared = prepare(run_config_of(options.overrides))
    with temporary_session(prepared) as session:
        found = range_test(
            session.model,
            session.batches,
            prepared.config,
            prepared.compute,
            low=options.low,
            high=options.high,
            steps=options.steps,
            loss=session.loss,
        )
    file = prepared.folder / "lr_find.html"
    write_whole(prepared.folder / CURVE, as_csv(found).encode())
    write_whole(file, page(found, f"{prepared.subfolder}: learning rate range test").encode())
    lowest = int(np.argmin(found.smoothed))
    points = [f"{found.smoothed[at]:.3g} at {found.rates[at]:.2g}" for at in (0, lowest, -1)]
    print(f"smoothed loss by learning rate: first {points[0]}, lowest {points[1]}, last {points[2]}")
    how = f"steepest fall of the smoothed loss; {len(found.rates)} steps in {found.seconds:.1f} s"
    print(f"optimizer.lr={found.suggestion:.3g} ({how}; {file})")


if __name__ == "__main__":
    sys.exit(main())
