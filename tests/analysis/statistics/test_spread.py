"""The spread between seeds, own and shrunken, against what it was drawn from."""

import math

import numpy as np
from report_runs import near

from analysis.statistics.spread import pool, shrunken_spread


def test_the_spread_is_shrunken_towards_a_common_one_as_far_as_the_rows_agree() -> None:
    pairs = {"a": np.array([90.0, 92.0]), "b": np.array([88.0, 87.0]), "c": np.array([91.0])}
    pooled = pool(pairs, 0.01)
    assert pooled is not None and pooled.df == 2 and pooled.sd_points == near(math.sqrt((4 + 1) / 2 / 2))
    lonely = shrunken_spread(math.nan, 1, pooled, 0.01)
    assert (lonely.source, lonely.variance_points2, lonely.df) == ("borrowed", near(1.25), 2)
    own = shrunken_spread(2.0, 2, pooled, 0.01)  # two rows are too few to say how far they agree
    assert (own.source, own.variance_points2, own.df) == ("own", near(2.0), 1)
    assert pool({"a": np.array([1.0])}, 0.01) is None

    generator = np.random.default_rng(0)
    equal = {str(number): generator.normal(90, 2, 4) for number in range(4000)}
    pooled = pool(equal, 0.01)
    assert pooled is not None and pooled.prior_df > 30 and pooled.sd_points == near(2.0, 0.1)
    # Smyth's model itself: variances are 9 * 6 / chi2(6)
    scales = 3 * np.sqrt(6 / generator.chisquare(6, 4000))
    drawn = {str(number): generator.normal(50, scale, 4) for number, scale in enumerate(scales)}
    pooled = pool(drawn, 0.01)
    assert (
        pooled is not None
        and pooled.prior_df == near(6, 1.0)
        and math.sqrt(pooled.prior_variance_points2) == near(3, 0.15)
    )
