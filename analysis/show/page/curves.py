"""Loss, accuracy and learning rate by epoch: one colour a configuration, its seeds thin, their mean thick."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.model.model import ReportModel
from analysis.show.page.figures import COLOURS, plain, runs_by_row, titled
from training.run_folder import HISTORY

DRAWN = 8  # configurations whose curves are drawn at first; the legend shows the others
MOST_RUNS, MOST_POINTS = 200, 300  # runs, and epochs of each
COLUMNS = ("epoch", "lr", "train_loss", "train_acc", "val_loss", "val_acc")
PANELS = (
    ("loss", "loss", (("val_loss", "solid"), ("train_loss", "dot"))),
    ("accuracy", "accuracy, per cent", (("val_acc", "solid"), ("train_acc", "dot"))),
    ("learning rate", "learning rate", (("lr", "solid"),)),
)


@dataclass(frozen=True)
class Configuration:
    """The histories of a row's runs, a frame each, and how it is drawn. `number`: its place in the legend."""

    number: int
    label: str
    histories: list[pd.DataFrame]

    @property
    def colour(self) -> str:
        """Of all its curves."""
        return COLOURS[self.number % len(COLOURS)]

    @property
    def shown(self) -> bool:
        """Whether it is drawn before anybody asks for it."""
        return self.number < DRAWN


def configurations(model: ReportModel) -> list[Configuration]:
    """Those that have histories, in the order of the table's rows."""
    found: list[Configuration] = []
    runs = 0
    for label, folders in runs_by_row(model):
        histories = [history for folder in folders if (history := read_history(folder)) is not None]
        runs += len(histories)
        if histories and runs <= MOST_RUNS:
            found.append(Configuration(len(found), label, histories))
    return found


def read_history(folder: Path) -> pd.DataFrame | None:
    """The epochs of a run, at most MOST_POINTS of them; None where there are none."""
    try:
        history = pd.read_csv(folder / HISTORY, usecols=list(COLUMNS)).dropna()
        history = history.astype(float)
    except (OSError, ValueError):
        return None
    return None if history.empty else history.iloc[:: -(-len(history) // MOST_POINTS)]


def curves(found: list[Configuration]) -> Iterator[tuple[str, go.Figure]]:
    """A figure a panel. A trace has the number of its configuration as `meta`, by which page.js shows and hides it."""
    for title, name, series in PANELS:
        figure = go.Figure()
        for one in found:
            for column, dash in series:
                _add(figure, one, column, dash)
        whole = max((int(history["epoch"].max()) for one in found for history in one.histories), default=1)
        step = {"dtick": 1} if whole <= 10 else {"nticks": 10}
        titled(figure, "epoch", name).update_xaxes(tickformat="d", **step).update_layout(showlegend=False)
        yield title, figure


def _add(figure: go.Figure, one: Configuration, column: str, dash: str) -> None:
    """The curves of a configuration: its seeds, and where there are several their mean over the epochs of all."""
    histories = one.histories[:1] if column == "lr" else one.histories
    several = len(histories) > 1
    kind = {"val": "val", "train": "train"}.get(column.partition("_")[0], "")
    for history in histories:
        line = {"color": one.colour, "dash": dash, "width": 0.8 if several else 2}
        _curve(figure, one, history["epoch"], history[column], line, 0.55 if several else 1.0, kind)
    if several:
        seeds = [history.set_index("epoch")[column] for history in histories]
        mean = pd.concat(seeds, axis=1, join="inner").mean(axis=1)
        line = {"color": one.colour, "dash": dash, "width": 2.2}
        _curve(figure, one, mean.index.to_series(), mean, line, 1.0, f"{kind}, mean of {len(histories)} seeds")


def _curve(
    figure: go.Figure, one: Configuration, x: Any, y: Any, line: dict[str, Any], opacity: float, kind: str
) -> None:
    figure.add_scatter(
        x=[int(epoch) for epoch in x],
        y=[float(f"{value:.4g}") for value in y],
        mode="lines+markers" if len(x) < 3 else "lines",
        name=plain(one.label),
        meta=one.number,
        visible=one.shown,
        opacity=opacity,
        line=line,
        hovertemplate=f"{plain(one.label)}<br>{plain(kind)} %{{y}} in epoch %{{x}}<extra></extra>",
    )
