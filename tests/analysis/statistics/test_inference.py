"""Textbook intervals and tests against a paper, a table or a calculation by hand."""

import math

from report_runs import near

from analysis.statistics import inference, selection


def test_textbook_values() -> None:
    assert inference.wilson(0.5, 20) == near((0.2993, 0.7007))  # by hand
    assert inference.wilson(0.0, 10) == near((0.0, 0.2775))
    assert inference.mcnemar(1, 9) == near(2 * 11 / 1024)  # two tails of a fair coin
    assert inference.mcnemar(0, 0) == 1
    assert inference.two_proportions([3, 1], [4, 4]) == near(0.4857)  # Fisher's tea
    assert inference.unpaired_difference([56, 48], [70, 80]) == near((0.0524, 0.3339))  # Newcombe 1998, table II (a)
    assert inference.paired_difference(12, 2, 100) == near((0.0261, 0.1700))  # by hand: (10 +- 1.96 * ...) / 102
    assert inference.holm([0.01, 0.04, 0.03]) == near([0.03, 0.06, 0.06])
    assert inference.holm([]) == []
    assert inference.t_test(2.2281, 10) == near(0.05) and inference.t_test(-1.96, math.inf) == near(0.05)
    tau, (low, high) = inference.kendall(range(8), [0, 1, 2, 3, 4, 5, 7, 6]) or (0.0, (0.0, 0.0))
    half = 1.959964 * math.sqrt(0.437 / 4)
    assert tau == near(26 / 28) and (math.atanh(low), math.atanh(high)) == near(
        (math.atanh(26 / 28) - half, math.atanh(26 / 28) + half), 1e-3
    )
    assert inference.kendall(range(7), range(7)) is None, "five to seven rows tell no order"
    assert inference.kendall([1] * 9, range(9)) is None
    assert [selection.expected_best([0, 1], n) for n in (1, 2, 3)] == [0.5, 0.75, 0.875]
    assert selection.expected_best([3.0, 1.0, 2.0], 1) == near(2.0)
