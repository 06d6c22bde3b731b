"""What is believed of configurations, against the same posterior by matrices; and where further runs go."""

import numpy as np

from analysis.statistics import next_runs
from analysis.statistics.next_runs import Runs, believe, foreseen, plan, worth_of_a_run
from benchmarks.next_runs import advised, equal, simulate, state


def some_runs(images: np.ndarray, minutes: tuple[float, ...] = (1, 1, 1)) -> Runs:
    percent, seeds, variances = np.array([90.0, 89.5, 88.0]), np.array([4.0, 3.0, 2.0]), np.array([1.0, 1.2, 0.8])
    return Runs(percent, seeds, variances, images, 0.1, np.array(minutes, dtype=float))


def test_the_posterior_is_that_of_the_model() -> None:
    """Mean and covariance of a mixture over tau of normals, by matrices; the draws come from another rule."""
    factor = np.array([[0.3, 0.0, 0.0], [0.2, 0.4, 0.0], [-0.3, 0.1, 0.5]])
    runs = some_runs(factor @ factor.T)
    drawn = next_runs._given(runs, np.ones((1, 3)), 60000, np.random.default_rng(0)).theta
    noise, eye = np.diag(1 / runs.seeds) + runs.images, np.eye(3)
    logs, means, covariances = [], [], []
    for tau in next_runs.TAUS:
        inverse = np.linalg.inv(noise + tau**2 * eye)
        weight = inverse.sum()
        middle = inverse.sum(0) @ runs.percent / weight
        off = runs.percent - middle
        log = -0.5 * (np.linalg.slogdet(noise + tau**2 * eye)[1] + np.log(weight) + off @ inverse @ off)
        logs.append(log + np.log(tau / (1 + (tau / next_runs.SCALE) ** 2)))
        of_middle = eye.sum(1) - tau**2 * inverse.sum(1)
        means.append(middle + tau**2 * inverse @ off)
        covariances.append(tau**2 * eye - tau**4 * inverse + np.outer(of_middle, of_middle) / weight)
    p = np.exp(np.array(logs) - max(logs))
    p /= p.sum()
    mean = p @ np.array(means)
    spread = np.array(means) - mean
    covariance = np.einsum("t,tij->ij", p, np.array(covariances)) + np.einsum("t,ti,tj->ij", p, spread, spread)
    assert np.abs(drawn.mean(0) - mean).max() < 0.02
    assert np.abs(np.cov(drawn.T) - covariance).max() < 0.03


def test_runs_go_to_who_can_be_the_best_and_is_cheap() -> None:
    none = np.zeros((3, 3))
    worth = worth_of_a_run(some_runs(none), believe(some_runs(none)))
    assert worth[2] < min(worth[:2]), "two points behind"
    dear = worth_of_a_run(some_runs(none, (1, 10, 1)), believe(some_runs(none, (1, 10, 1))))
    assert np.allclose(dear, worth / [1, 10, 1])
    found = plan(some_runs(none), 0.9, 200, budget_minutes=6.5)
    assert found.more.sum() == 6 and found.now < found.after <= found.limit + 0.05 and found.limit > 0.97


def test_images_set_a_limit_to_what_seeds_can_tell() -> None:
    runs = some_runs(4.0 * np.eye(3))
    beliefs = believe(runs)
    endless = foreseen(runs, beliefs, np.full(3, np.inf))
    assert endless < 0.75
    assert next_runs.foreseen_with_images(runs, beliefs, 64) > endless + 0.1
    assert not plan(runs, 0.9, 200).more.any()


def test_what_is_foreseen_comes_true_on_average() -> None:
    """Four rows with two seeds and their own spreads, four seeds more: the certainty that follows."""
    said, came, now = [], [], []
    for sweep in range(40):
        generator = np.random.default_rng(sweep)
        sds = np.exp(generator.normal(0, 0.5, 4))[:, None]
        every = 90 + generator.standard_normal((4, 1)) + sds * generator.standard_normal((4, 6))
        before, after = (state(every, np.full(4, count)) for count in (2, 6))
        beliefs = believe(before)
        said.append(foreseen(before, beliefs, np.full(4, 4)))
        now.append(beliefs.certainty)
        came.append(believe(after).certainty)
    assert np.mean(now) + 0.02 < np.mean(said)
    assert abs(np.mean(said) - np.mean(came)) < 3 * np.std(np.array(said) - came) / np.sqrt(40)


def test_runs_are_proposed_until_the_aim_is_foreseen() -> None:
    """As if the means stayed as they are, the best would be plain long before the aim is reached."""
    percent, seeds = np.array([90.0, 89.0, 88.0]), np.full(3, 2.0)
    found = plan(Runs(percent, seeds, np.ones(3), np.zeros((3, 3)), 0.01, np.ones(3)), 0.85, 400)
    assert found.now < 0.85 <= found.after and found.limit > 0.95


def test_it_takes_fewer_runs_than_equal_allocation() -> None:
    """benchmarks.next_runs, in small: more often right after 40 runs."""
    gaps = 0.5 * np.arange(10)
    right = {
        name: np.mean([simulate(gaps, policy, 1, 40, sweep).right[-1] for sweep in range(12)])
        for name, policy in (("equal", equal), ("advised", advised))
    }
    assert right["advised"] >= right["equal"]
