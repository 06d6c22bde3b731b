"""--where and --reference: a small language over the columns of runs, in which nothing can act."""

import pandas as pd
import pytest

from analysis.read.query import QueryError, matching, unknown_values

RUNS = pd.DataFrame(
    {
        "model": pd.Series(["resnet18", "resnet50", None], dtype="str"),
        "lr": pd.Series([1e-3, "auto", 1e-2], dtype=object),
        "augment.flip": [0.5, 0.0, None],
        "early": pd.Series([True, False, None], dtype=object),
        "test_acc": [90.0, 91.5, None],
        "seed": pd.Series([0, 1, None], dtype="Int64"),
    }
)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("model == 'resnet18'", [True, False, False]),
        ("model != 'resnet18'", [False, True, True]),
        ("seed != 0", [False, True, True]),
        ("lr < 5e-3", [True, False, False]),
        ("lr == 'auto'", [False, True, False]),
        ("augment.flip > 0", [True, False, False]),
        ("`augment.flip` > 0", [True, False, False]),
        ("90 < test_acc <= 91.5", [False, True, False]),
        ("model in ['resnet50', 'resnet34']", [False, True, False]),
        ("model not in ('resnet50',)", [True, False, True]),
        ("'net1' in model", [True, False, False]),
        ("not (early) and test_acc > -1", [False, True, False]),
        ("(test_acc > 90) | (model == 'resnet18')", [True, True, False]),
        ("~(test_acc > 90) & (lr > 1e-3)", [False, False, True]),
        ("early == true", [True, False, False]),
    ],
)
def test_queries(query: str, wanted: list[bool]) -> None:
    assert matching(RUNS, query).tolist() == wanted


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("modl == 'resnet18'", "did you mean model?"),
        ("augment.flp > 0", "did you mean augment.flip?"),
        ("lr", "neither true nor false"),
        ("model < 3", "text and number"),
        ("1 == 1", "no column"),
        ("", "can't be read"),
        ("model = 'resnet18'", "can't be read (equal is ==)"),
        ("model == 'resnet18' AND lr > 1", "can't be read (and, or, not, in are in small letters)"),
        (
            "model == resnet18",
            "resnet18 is not a column, but a value of model, which wants quotes: model == 'resnet18'",
        ),
        ("(" * 5000 + "lr" + ")" * 5000, "can't be read"),
        ("@pd.io.common.os.system('touch F')", "can't be read"),
        ("lr.to_pickle('F')", "not"),
        ("__import__('os').system('touch F') == 0", "not in the language"),
        ("[x for x in ().__class__.__bases__] == 1", "not in the language"),
        ("(lambda: 1)() == 1", "not in the language"),
        ("model == f'{lr}'", "not in the language"),
        ("lr * 1000 > 1", "not in the language"),
        ("lr in 3", "expected a column in a list"),
        ("lr == [1, 2]", "goes with `in`"),
        ("lr is 3", "`is` is not in the language"),
    ],
)
def test_refusals(query: str, reason: str) -> None:
    with pytest.raises(QueryError) as error:
        matching(RUNS, query)
    assert reason in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("model == 'resnet99'", ["no run has model 'resnet99'; there are 'resnet18', 'resnet50'"]),
        ("seed == '0'", ["no run has seed '0'; there are 0, 1"]),
        ("lr > 1 and model in ('vit', 'swin')", ["no run has model 'vit', 'swin'; there are 'resnet18', 'resnet50'"]),
        ("augment.flip == 0.5 and lr == 1e-2", []),
        ("model in ('resnet18', 'swin') and 'vit' in model and 1 < lr < 2", []),
    ],
)
def test_values_that_no_run_has_are_named(query: str, lines: list[str]) -> None:
    assert not matching(RUNS, query).any()
    assert unknown_values(RUNS, query) == lines
