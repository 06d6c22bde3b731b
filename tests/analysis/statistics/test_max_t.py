"""The largest t of a table: against what is known of it, and in simulated sweeps of which the truth is known."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import studentized_range

from analysis.statistics.comparisons import Criteria, compare_rows
from analysis.statistics.drawn_tables import simulate
from analysis.statistics.inference import t_test, wilson
from analysis.statistics.noise import difference_variance, estimate_noise
from analysis.statistics.planning import detectable_by_simulation
from analysis.statistics.results import RowResults
from benchmarks.simulated_sweeps import Setting, World
from benchmarks.truth_units import count


def rows_of(accuracies: list[float], seeds: int, sd: float = 1.0) -> dict[str, RowResults]:
    """Rows without predictions on so many images that only seeds matter, whose seeds have exactly this spread."""
    offsets = np.linspace(-1, 1, seeds)
    offsets *= sd / offsets.std(ddof=1)
    return {
        f"row{number}": RowResults(accuracy + offsets, accuracy + offsets, 10**9)
        for number, accuracy in enumerate(accuracies)
    }


def test_one_comparison_with_a_named_row_is_a_t_test() -> None:
    rows = rows_of([90.0, 89.0], 30)
    together = simulate(rows, estimate_noise(rows), "row0")
    for t in (1.0, 2.0, 2.5):
        assert together.p_values({"row1": t}, "row0")["row1"] == pytest.approx(t_test(t, 58), abs=0.025)


def test_a_picked_row_is_compared_as_if_each_pair_were() -> None:
    """Val that tells nothing but test's own luck picks the largest of all: Tukey's studentized range bounds it."""
    rows = rows_of([90.0] * 6, 30)
    together = simulate(rows, estimate_noise(rows), None)
    for t in (2.5, 3.0):
        p = together.p_values({f"row{number}": t for number in range(1, 6)}, "row0")["row1"]
        tukey = float(studentized_range.sf(t * math.sqrt(2), 6, math.inf))
        assert p == pytest.approx(tukey, abs=0.03) and p > t_test(t, math.inf) * 2


def test_rows_that_are_set_apart_leave_the_table() -> None:
    rows = rows_of([90.0] * 12, 5)
    together = simulate(rows, estimate_noise(rows), "row0")
    weak = {"row1": -2.3}
    alone = together.p_values(weak | {f"row{n}": -50.0 for n in range(2, 12)}, "row0")
    beside = together.p_values(weak | {f"row{n}": 0.1 for n in range(2, 12)}, "row0")
    assert alone["row1"] < beside["row1"] and alone["row1"] >= alone["row2"]


def test_the_same_table_has_the_same_p_values() -> None:
    rows = rows_of([90.0, 89.0, 88.0], 3)
    assert compare_rows(rows).by_row == compare_rows(rows).by_row


def test_a_perfect_score_is_no_certainty() -> None:
    """Three seeds with 50 of 50 right: not narrower than a single such run."""
    right = np.ones((3, 50), dtype=bool)
    row = RowResults(np.full(3, 100.0), np.full(3, 100.0), 50, right)
    other = RowResults(np.full(3, 98.0), np.full(3, 98.0), 50, np.arange(50) > 0 * right)
    low = compare_rows({"a": row, "b": other}).by_row["a"].test_low
    assert low <= 100 * wilson(1.0, 50)[0] + 0.5


@pytest.mark.parametrize(
    "setting",
    [
        Setting("near 100 %", (3,) * 5, 300, 300, 99.0, seed_sd=0.3),
        Setting("picked", (3,) * 12, 1000, 1000),
        Setting("unequal seeds", (3,) * 4 + (1,) * 8, 500, 500),
        Setting("unequal spreads", (3,) * 10, 350, 350, spreads="quarter"),
    ],
    ids=lambda setting: setting.name,
)
@pytest.mark.slow
def test_intervals_cover_and_equal_rows_are_not_marked(setting: Setting) -> None:
    """benchmarks.truth in small: one t for each comparison covers 75 to 90 % here, or marks in 8 to 19 %."""
    generator, counts, sweeps = np.random.default_rng(7), Counter[str](), 300
    for _ in range(sweeps):
        world = World(setting, generator)
        rows = {str(row): world.runs(row, seeds) for row, seeds in enumerate(setting.seeds)}
        count(world.truth, compare_rows(rows, val_image_points=100 / setting.n_val), counts)
    for kind in ("rows", "chosen", "differences"):
        assert counts[f"{kind} covered"] / counts[kind] > 0.935 - 3 * math.sqrt(0.06 * 0.94 / sweeps), kind
    assert counts["sweeps marked"] / sweeps < 0.06 + 3 * math.sqrt(0.06 * 0.94 / sweeps)


def test_what_is_plain_is_marked_however_many_rows_are_hidden_and_at_any_look() -> None:
    """A p value is not bounded by the number of tables that were drawn."""
    rows = rows_of([90.0] * 4 + [54.0], 3)
    for criteria in (Criteria(hidden=1000), Criteria(looks=50)):
        compared = compare_rows(rows, criteria=criteria)
        marks = [compared.by_row[key].mark for key in rows]
        assert marks[-1] == "worse" and set(marks[1:-1]) == {"not separated"}
        assert compared.critical > compare_rows(rows).critical
    together = simulate(rows, estimate_noise(rows), None)
    last = float(together.largest[-1])
    found = [together.p_values({"row1": t}, "row0")["row1"] for t in (0.9 * last, 1.1 * last, 2 * last, 4 * last)]
    assert found == sorted(found, reverse=True) and found[-1] < found[1] < 0.001


def test_a_table_of_single_seeds_and_a_replicated_row() -> None:
    """What could be seen with one seed each: as after "one more seed each of the best two"."""
    rows = rows_of([90.0, 89.0], 2) | {
        f"single{number}": RowResults(*[np.array([88.0])] * 2, 10**9) for number in range(6)
    }
    compared = compare_rows(rows)
    few, many = (detectable_by_simulation(rows, compared, seeds) for seeds in (1, 5))
    assert few > many > 0


def test_only_rows_on_the_same_folds_share_their_luck() -> None:
    generator = np.random.default_rng(0)
    luck = generator.normal(0, 2, 5)

    def row(parts: tuple[int, ...]) -> RowResults:
        percent = 90 + luck + generator.normal(0, 0.3, 5)
        return RowResults(percent, percent, 10**9, parts=parts, overlap=0.25 if parts else 0.0)

    folds = tuple(range(5))
    rows = {"a": row(folds), "b": row(folds), "seeds": row(()), "others": row(tuple(range(5, 10)))}
    noise = estimate_noise(rows)
    assert noise.pairing > 0.8
    paired, *apart = (difference_variance(rows["a"], rows[key], noise)[0] for key in ("b", "seeds", "others"))
    assert all(paired < 0.4 * variance for variance in apart)
    drawn = simulate(rows, noise, "a").pairing
    assert drawn[0, 1] == noise.pairing and not drawn[0, 2:].any() and not drawn[2].any()
