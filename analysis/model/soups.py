"""Soups in a report: averages of other runs' weights (training/soup.py), which are no configuration of their own."""

import pandas as pd


def without_soups(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that were trained, unless there is nothing but soups."""
    trained = runs[runs["soup"].isna()] if "soup" in runs else runs
    return runs if trained.empty else trained


def soup_labels(soups: pd.DataFrame) -> list[str]:
    """What rows of soups are called: `resnet18 soup of 3`."""
    pairs = zip(soups["model"], soups["weights_resolved"], strict=True)
    return [" ".join(str(one) for one in pair if isinstance(one, str)) for pair in pairs]


def chosen_on_val(soups: pd.DataFrame) -> list[str]:
    """What is to be known of rows of soups."""
    if soups.empty:
        return []
    return [
        f"{', '.join(soup_labels(soups))}: averaged weights of other runs, chosen on the same val images, so val "
        "accuracy is biased upwards; the settings shown are those of the best run in it, and no other sentence here is "
        "about it"
    ]
