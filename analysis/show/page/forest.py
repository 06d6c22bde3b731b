"""All rows with their intervals in one picture, and which of them can still be the best."""

import plotly.graph_objects as go

from analysis.model.model import ReportModel
from analysis.show.page.figures import plain, titled
from analysis.statistics.best import still_best

MOST_ROWS = 60  # that anybody reads
PIXELS_A_ROW, PIXELS_A_LETTER = 38, 6.2
KINDS = {  # of rows: name in the legend, colour, symbol
    "reference": ("reference", "#009E73", "diamond"),
    "open": ("can still be the best", "#0072B2", "circle"),
    "out": ("not the best", "#767676", "x"),
    "": ("not compared", "#B07D00", "square"),
}


def forest(model: ReportModel) -> go.Figure | None:
    """Test accuracy (or what else rows are judged by) of every row with its interval, in the order of the table; labels
    stand above their line, so that the picture has the whole width."""
    metric = model.judging.metric
    test, val = f"test_{metric.column}", f"val_{metric.column}"
    rows = model.rows[model.rows[test].notna() & model.rows["test_low"].notna()].head(MOST_ROWS)
    if len(rows) < 2:
        return None
    figure = go.Figure()
    places = dict(zip(rows.index, range(len(rows), 0, -1), strict=True))
    kept = {str(key) for key in still_best(model.chances)} if model.chances else None
    marks = zip(rows.index, rows["mark"].fillna(""), strict=True)
    kinds = {key: kind_of(mark, None if kept is None else str(key) in kept) for key, mark in marks}
    for kind, (name, colour, symbol) in KINDS.items():
        group = rows[[kinds[key] == kind for key in rows.index]]
        if group.empty:
            continue
        figure.add_scatter(
            x=group[test].round(3),
            y=[places[key] for key in group.index],
            mode="markers",
            name=name,
            text=[plain(model.labels[str(key)]) for key in group.index],
            customdata=group[["test_low", "test_high", val]].round(2),
            hovertemplate="%{text}<br>test %{x:.2f} (%{customdata[0]} to %{customdata[1]}), val %{customdata[2]}"
            "<extra></extra>",
            marker={"color": colour, "symbol": symbol, "size": 9},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (group["test_high"] - group[test]).round(3),
                "arrayminus": (group[test] - group["test_low"]).round(3),
                "thickness": 1.5,
                "width": 4,
            },
        )
    for key, place in places.items():
        label = plain(model.labels[str(key)])
        figure.add_annotation(
            xref="paper", x=0, y=place, text=label, showarrow=False, xanchor="left", yshift=14, font={"size": 11}
        )
    best = rows[[kinds[key] == "reference" for key in rows.index]][test]
    if len(best):
        figure.add_vline(x=float(best.iloc[0]), line={"dash": "dot", "width": 1, "color": KINDS["reference"][1]})
    unit = ", per cent" if metric.scale > 1 else ""
    titled(figure, f"test {metric.title}{unit} (95 % interval)", "")
    figure.update_yaxes(visible=False, range=[0.4, len(rows) + 0.9])
    longest = max(len(model.labels[str(key)]) for key in rows.index)
    size = {"height": 120 + PIXELS_A_ROW * len(rows), "min_width": min(PIXELS_A_LETTER * longest + 40, 1100)}
    return figure.update_layout(margin={"l": 10, "r": 10, "t": 10, "b": 50}, meta=size)


def kind_of(mark: str, can_be_best: bool | None) -> str:
    """The key of KINDS for a row: by whether it can still be the best where that was worked out (None: it was not),
    else by its mark: what nobody has shown to be worse than the reference can be the best."""
    if mark in ("reference", ""):
        return mark
    if can_be_best is None:
        can_be_best = mark != "worse"
    return "open" if can_be_best else "out"
