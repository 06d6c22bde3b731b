"""Sweeps on one machine share its slots: they claim them, wait and take turns."""

import fcntl
import itertools
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Door
from sweeping import WAIT_S, Running, Starter, records, small, start, trouble

from sweeps.launchers.claims import Claims, Need
from sweeps.launchers.slots import MachineSlot, needs_of

__all__ = ["start"]
CORES = tuple(sorted(os.sched_getaffinity(0)))
WAITS = r"waits for a slot: \d of \d (is|are) used by process {} \(sweep {}\)"


def two(number: int, needs: dict[int, Need] | None = None) -> tuple[Claims, Claims]:
    """Two sweeps with as many slots each, in one runtime folder."""
    needs = needs or needs_of(cpu_slots(number))
    return Claims("a", needs), Claims("b", needs)


def cpu_slots(count: int) -> list[MachineSlot]:
    return [MachineSlot(number, "", max(1, len(CORES) // count)) for number in range(count)]


def all_of(claims: Claims) -> list[int]:
    """Take as many slots as there are."""
    taken = []
    while (number := claims.take([n for n in claims.needs if n not in claims.held])) is not None:
        taken.append(number)
    claims.end_of_turn()
    return taken


@pytest.mark.parametrize("count", [1, 2, len(CORES), len(CORES) + 1, 3 * len(CORES)])
def test_a_sweep_has_all_its_slots_and_a_second_one_none(count: int, runtime_folder: Path) -> None:
    first, second = two(count)
    assert all_of(first) == list(range(count))
    assert second.take(list(second.needs)) is None
    assert re.fullmatch(WAITS.format(os.getpid(), "a"), second.waits_for), second.waits_for
    first.close()
    assert all_of(second) == list(range(count)) and not second.waits_for
    second.close()
    assert {file.name for file in runtime_folder.iterdir()} == {"mutex"}, "nothing is left behind"


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_slots_of_different_sizes_are_seen_to_overlap() -> None:
    """A sweep with one slot of all cores, and one with a slot a core."""
    whole, parts = Claims("whole", needs_of(cpu_slots(1))), Claims("parts", needs_of(cpu_slots(len(CORES))))
    assert all_of(parts)[:1] == [0]
    parts.release(0)
    assert whole.take([0]) is None, "one core is free, it needs all"
    assert parts.take([0]) is None, "and has waited longer: it is not starved by runs that need less"
    for number in list(parts.held):
        parts.release(number)
    assert whole.take([0]) == 0
    whole.end_of_turn()
    assert not whole.may_keep(0), "another waits"
    whole.release(0)
    assert whole.take([0]) is None and parts.take([0]) == 0, "they take turns"
    for one in (whole, parts):
        one.close()


def test_parts_of_a_gpu() -> None:
    """(By name: no device is asked.)"""
    first = Claims("first", needs_of([MachineSlot(n, gpu, 1) for n, gpu in enumerate(["GPU-a", "GPU-b"] * 2)]))
    second = Claims("second", needs_of([MachineSlot(0, "GPU-b", 1)]))
    assert first.take([0]) == 0 and first.take([2]) == 2, "two halves of one"
    assert second.take([0]) == 0, "the other is free"
    second.end_of_turn()
    assert first.take([1]) is None and first.take([3]) is None
    assert "used by" in first.waits_for and "(sweep second)" in first.waits_for
    cpu = Claims("cpu", needs_of(cpu_slots(1)))
    assert cpu.take([0]) == 0, "runs on the CPU are not in the way"
    for one in (first, second, cpu):
        one.close()


def test_what_dead_or_stopped_owners_leave_is_passed_over(runtime_folder: Path) -> None:
    (runtime_folder / "claim-1-dead").write_text(json.dumps({"process": 1, "sweep": "dead", "order": 0, "needs": []}))
    (runtime_folder / "claim-2-link").symlink_to("/etc/passwd")
    with (runtime_folder / "claim-3-odd").open("w") as odd, (runtime_folder / "ticket-4-stopped").open("w") as stopped:
        odd.write("no JSON")
        needs = [{"resource": "cpu", "amount": len(CORES), "cores": CORES}]
        json.dump({"process": 4, "sweep": "stopped", "order": 1, "needs": needs}, stopped)
        for file in (odd, stopped):
            file.flush()
            fcntl.flock(file, fcntl.LOCK_EX)
        claims = Claims("mine", needs_of(cpu_slots(1)))
        assert claims.take([0]) is None and "process 4 (sweep stopped)" in claims.waits_for
        os.utime(runtime_folder / "ticket-4-stopped", (0, 0))
        assert claims.take([0]) == 0
    claims.close()
    assert not (runtime_folder / "claim-1-dead").exists()


def test_the_folder_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Door) -> None:
    folder = tmp_path / "deep" / "runtime"
    monkeypatch.setenv("FINEGRID_RUNTIME", str(folder))
    claims = Claims("a", needs_of(cpu_slots(1)))
    assert claims.take([0]) == 0
    claims.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        monkeypatch.setenv("FINEGRID_RUNTIME", str(tmp_path / name))
        result = train(*small(tmp_path, 1), "seed=0")
        assert result.code == 2 and result.err.startswith(f"error: FINEGRID_RUNTIME={tmp_path / name}: "), result.err
        assert result.err.count("\n") == 1 and not (tmp_path / "outputs").exists()
    monkeypatch.delenv("FINEGRID_RUNTIME")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    (tmp_path / "xdg").mkdir()
    assert Claims("a", {}).folder == tmp_path / "xdg" / "finegrid"


def holding(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that has claimed all cores."""
    code = (
        "import os, sys, test_claims as t; os.environ['FINEGRID_RUNTIME'] = sys.argv[1]\n"
        "c = t.Claims('other', t.needs_of(t.cpu_slots(1)))\n"
        "print(c.take([0]), flush=True); sys.stdin.read()"
    )
    path = f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'tests/helpers'}:{Path(__file__).parent}"
    process = subprocess.Popen(
        [sys.executable, "-c", code, os.environ["FINEGRID_RUNTIME"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None and process.stdout.readline() == "0\n"
    return process


def test_a_dead_owner_frees_at_once_and_wait_false_refuses(tmp_path: Path, train: Door) -> None:
    other = holding(tmp_path)
    command = [*small(tmp_path, 1), "seed=0", "hydra.launcher.wait=false"]
    result = train(*command)
    assert result.code == 2 and not (tmp_path / "outputs").exists()
    assert re.fullmatch(
        rf"error: hydra\.launcher\.wait=false: 2 of 2 are used by process {other.pid} \(sweep other\)\n", result.err
    ), result.err
    assert train(*command, "sweep.plan=true").code == 0, "a plan needs no slot"
    other.kill()
    other.wait()
    assert train(*command).code == 0


def wait_for(running: Running, pattern: str) -> None:
    ends = time.monotonic() + WAIT_S
    while not re.search(pattern, running.out):
        assert running.process.poll() is None and time.monotonic() < ends, f"never said {pattern}:\n{running.out}"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grid", "search"])
def test_two_sweeps_take_turns(start: Starter, tmp_path: Path, runtime_folder: Path, kind: str) -> None:
    trouble(tmp_path, {"*": "hold 1"})  # until the second is there
    search = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=grid", "seed=choice(0,1,2)"]
    command = [*small(tmp_path, 60), "hydra.launcher.slots=1"]
    shared = {"FINEGRID_RUNTIME": str(runtime_folder)}
    first = start(*command, "seed=range(3)", "sweep.name=one", **shared)
    first.until("#0 started")
    second = start(*command, *(["seed=range(3)"] if kind == "grid" else search), "sweep.name=two", **shared)
    wait_for(second, WAITS.format(first.process.pid, "one"))
    told = subprocess.run(
        [sys.executable, "-m", "sweeps.status", str(tmp_path / "outputs" / "two")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"waits for a slot: 1 of 1 is used by process {first.process.pid} (sweep one)" in told
    trouble(tmp_path, {})
    assert first.end() == 0 and second.end() == 0, first.out + second.out
    times = []
    for name in ("one", "two"):
        for record in records(tmp_path / "outputs" / name).values():
            times.append((record["time"]["started"], record["time"]["finished"], name))
    times.sort()
    assert [name for *_, name in times] == ["one", "two"] * 3, "run by run"
    assert all(end <= begin for (_, end, _), (begin, _, _) in itertools.pairwise(times)), "one at a time"
    assert {file.name for file in runtime_folder.iterdir()} == {"mutex"}


@pytest.mark.slow
def test_signals_reach_a_sweep_that_waits(start: Starter, tmp_path: Path, runtime_folder: Path) -> None:
    other = holding(tmp_path)
    running = start(*small(tmp_path, 1), "seed=0", FINEGRID_RUNTIME=str(runtime_folder))
    wait_for(running, WAITS.format(other.pid, "other"))
    running.signal(signal.SIGINT, group=True)
    assert running.end() == 130, running.out
    other.kill()
    other.wait()
    assert all(file.name == "mutex" for file in runtime_folder.iterdir() if not file.name.startswith("claim"))


def test_a_sweep_within_a_run_of_another_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, runtime_folder: Path
) -> None:
    outer, inner_needs = Claims("outer", needs_of(cpu_slots(1))), needs_of(cpu_slots(1))
    assert outer.take([0]) == 0
    monkeypatch.setenv("FINEGRID_IN_SLOT", "1")
    inner = Claims("inner", inner_needs)
    assert inner.take([0]) == 0 and len(list(runtime_folder.glob("claim-*"))) == 1
    for one in (inner, outer):
        one.close()
