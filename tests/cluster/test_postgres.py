"""A study on a PostgreSQL server: several controllers, exactly n_trials, and no password anywhere."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from conftest import Door
from controllers import check_each_point_once, eight_controllers
from optuna.trial import TrialState
from sweeping import Starter, small, start, trouble

from benchmarks.cluster.postgres import PASSWORD, Server, postgres, why_not
from sweeps.sweepers.storage import clock_offset_s, with_driver

__all__ = ["start"]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if why := why_not():
        pytest.skip(why)
    with postgres() as found:
        yield found


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


def search(tmp_path: Path, server: Server, name: str, *settings: str) -> list[str]:
    study = ["hydra/sweeper=optuna_async", f"hydra.sweeper.storage='{server.url}'", f"hydra.sweeper.study_name={name}"]
    return [*small(tmp_path, 1), "hydra.launcher.slots=1", *study, *settings]


def trials_of(server: Server, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=with_driver(server.url)).get_trials(deepcopy=False)


def process_list() -> str:
    return "\n".join(
        file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if file.exists()
    )


def test_two_controllers_with_folders_of_their_own_make_exactly_n_trials(
    start: Starter, server: Server, tmp_path: Path
) -> None:
    """As on two machines that share nothing but the server."""
    command = search(tmp_path, server, "two", "hydra/sweeper/sampler=random", RATE, "hydra.sweeper.n_trials=12")
    both = [start(*command, f"sweep.name={name}") for name in ("one", "other")]
    for running in both:
        running.until(" started: ")
    assert PASSWORD not in process_list()
    for running in both:
        assert running.end() == 0, running.out
    trials = trials_of(server, "two")
    assert [trial.number for trial in trials] == list(range(12))
    assert all(trial.state is TrialState.COMPLETE for trial in trials)
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 12, "none twice"
    folders = {trial.user_attrs["controllers"] for trial in trials}
    assert len(folders) == 2, "both had a part in it"
    seen = [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert not seen and PASSWORD not in server.log(), seen
    assert all(PASSWORD not in running.out for running in both)


def test_two_controllers_cover_a_grid_once(start: Starter, server: Server, tmp_path: Path) -> None:
    grid = ["hydra/sweeper/sampler=grid", "seed=range(0,3)", "optimizer=choice(adam,sgd)"]
    command = search(tmp_path, server, "grid", *grid)
    both = [start(*command, f"sweep.name={name}") for name in ("a", "b")]
    for running in both:
        assert running.end() == 0, running.out
    points = [tuple(sorted(trial.params.items())) for trial in trials_of(server, "grid")]
    assert len(points) == 6 == len(set(points))


def test_eight_controllers_one_of_which_dies_make_exactly_n_trials(server: Server, tmp_path: Path) -> None:
    """Each with a folder of its own. None lost, none double, a grid covered once."""
    study = [f"hydra.sweeper.storage='{server.url}'", "hydra.sweeper.study_name=eight"]
    with eight_controllers(tmp_path, [f"folder{number}" for number in range(8)], *study):
        trials = trials_of(server, "eight")
        check_each_point_once(trials)
        had = Counter(trial.user_attrs["controllers"] for trial in trials)
        assert len(had) == 8, "all had a part in it"


def test_a_killed_controllers_trial_is_taken_over(start: Starter, server: Server, train: Door, tmp_path: Path) -> None:
    trouble(tmp_path, {"*": "hold 1"})
    command = search(tmp_path, server, "killed", "hydra/sweeper/sampler=random", RATE, "hydra.sweeper.n_trials=3")
    running = start(*command, "sweep.name=killed")
    running.until(" started: ")
    running.signal(signal.SIGKILL)
    running.end()
    trouble(tmp_path, {})
    result = train(*command, "sweep.name=killed")
    assert result.code == 0, result.err
    trials = trials_of(server, "killed")
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3


def test_beats_go_by_the_servers_clock(server: Server, tmp_path: Path) -> None:
    """On this machine that is the same as ours."""
    for storage in (server.url, None):
        offset = clock_offset_s(storage, tmp_path)
        assert offset is not None and abs(offset) < 1


def test_a_password_in_the_url_is_refused(train: Door, server: Server, tmp_path: Path) -> None:
    url = server.url.replace("postgres@", f"postgres:{PASSWORD}@")
    result = train(*search(tmp_path, server, "x", RATE), f"hydra.sweeper.storage='{url}'")
    assert result.code == 2 and "PGPASSWORD or in ~/.pgpass" in result.err, result.err
    assert PASSWORD not in result.err and not (tmp_path / "outputs").exists()


def test_a_wrong_password_is_one_line(
    train: Door, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong")
    result = train(*search(tmp_path, server, "x", RATE))
    assert result.code == 2 and "password authentication failed" in result.err, result.err
    assert result.err.count("\n") == 1 and not (tmp_path / "outputs").exists()


def test_the_password_may_stand_in_pgpass(
    train: Door, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD")
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{server.port}:*:postgres:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    result = train(*search(tmp_path, server, "pgpass", RATE, "hydra.sweeper.n_trials=1"))
    assert result.code == 0, result.err
    assert len(trials_of(server, "pgpass")) == 1
