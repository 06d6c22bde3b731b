"""The page's reliability diagram: how often guesses of a confidence are right."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from scipy.special import softmax

from analysis.model.judging import scores_of
from analysis.model.model import ReportModel
from analysis.model.row_results import judged_runs
from analysis.model.table import row_keys
from analysis.statistics.calibration import fit_temperature, reliability
from analysis.statistics.metrics import RunScores

LEAST_SIZE, SIZE = 6, 12  # of a point in pixels, and what the bin with the most images has beyond that


def reliability_diagram(model: ReportModel) -> go.Figure | None:
    """Of the reference row, over all its runs: the proportion right by confidence, the band in which 95 % of such
    proportions lie where the probabilities are true, and the same after the temperature that val asks for. A point is
    the larger the more images it is of, so that bins of one or two images don't look like findings."""
    done = judged_runs(model.runs)
    pairs = []
    for folder in done[row_keys(done) == model.comparisons.reference]["folder"]:
        try:
            val, test, _ = scores_of(Path(folder))
        except ValueError:  # which the cautions say
            continue
        pairs.append((val, test))
    if not pairs:
        return None
    temperatures = [fit_temperature(val.labels, val.logits) for val, _ in pairs]
    found = (
        [_confidence(test, 1.0) for _, test in pairs],
        [_confidence(test, one) for (_, test), one in zip(pairs, temperatures, strict=True)],
    )
    right = np.concatenate([test.guesses == test.labels for _, test in pairs])
    alike = len({len(test.labels) for _, test in pairs}) == 1
    plain, scaled = (reliability(np.concatenate(one), right, len(pairs) if alike else 1) for one in found)
    figure = go.Figure()
    band = np.concatenate([plain.confidence, plain.confidence[::-1]])
    edge = np.concatenate([plain.high, plain.low[::-1]])
    figure.add_scatter(
        x=(100 * band).round(2),
        y=(100 * edge).round(2),
        fill="toself",
        line={"width": 0},
        fillcolor="rgba(128,128,128,0.25)",
        name="95 % by chance if the probabilities are true",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": "#767676", "dash": "dot"}, name="as it says"
    )
    middle = f"after the temperature of val ({np.mean(temperatures):.2f})"
    for one, name, colour in ((plain, "as predicted", "#0072B2"), (scaled, middle, "#D55E00")):
        figure.add_scatter(
            x=(100 * one.confidence).round(2),
            y=(100 * one.right).round(2),
            mode="lines+markers",
            name=name,
            text=[f"{count} images" for count in one.images],
            hovertemplate="confidence %{x:.1f} %, right %{y:.1f} %<br>%{text}<extra></extra>",
            line={"color": colour, "width": 1},
            opacity=0.8,
            marker={"size": (LEAST_SIZE + SIZE * np.sqrt(one.images / one.images.max())).round(1)},
        )
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    figure.update_layout(yaxis_title="right, per cent", margin={"l": 60, "r": 10, "t": 20, "b": 50}, legend=legend)
    return figure.update_xaxes(title={"text": "confidence, per cent", "standoff": 12}, automargin=True)


def _confidence(scores: RunScores, temperature: float) -> np.ndarray:
    found: np.ndarray = softmax(scores.logits.astype(np.float64) / temperature, axis=1).max(1)
    return found
