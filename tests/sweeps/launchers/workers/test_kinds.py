"""What trainer.precision=auto is where runs are carried out by workers: said, stored, or found by the first of them."""

import json
import re
from pathlib import Path

import pytest
from conftest import QUICK, Door
from gpu_stand_ins import StandIns, stand_ins
from outcome import record_of
from sweeping import results

from sweeps.launchers.workers.kinds import as_json, from_json, kind_of_slots, named_kind
from training.config import TrainerConfig
from training.device import Kind, cpu_has_bf16, precision_for, resolve_compute
from training.errors import ConfigError

__all__ = ["stand_ins"]
WORKERS = ["hydra/launcher=folder_workers", "hydra.launcher.workers=1", "hydra.launcher.slots=1"]
GRID = ["-m", *QUICK, "tracking=none", "seed=0,1"]
# hydra.launcher.gpu, its compute capability, and what trainer.precision=auto is on it
CARDS = [
    ("a100", (8, 0), "bf16"),
    ("NVIDIA A100-SXM4-80GB", (8, 0), "bf16"),
    ("H100", (9, 0), "bf16"),
    ("RTX 4090", (8, 9), "bf16"),
    ("Tesla V100-PCIE-16GB", (7, 0), "fp16"),
    ("t4", (7, 5), "fp16"),
    ("p100", (6, 0), "fp32"),
    ("sm_86", (8, 6), "bf16"),
    ("sm_120", (12, 0), "bf16"),
]


def folders(out: str) -> list[str]:
    """Of the runs of a plan."""
    return re.findall(r"-> (\S+)", out)


@pytest.mark.parametrize(("name", "capability", "precision"), CARDS)
def test_a_card_is_known_by_its_name(name: str, capability: tuple[int, int], precision: str) -> None:
    kind = named_kind(name)
    assert (kind.device, kind.capability, kind.precision) == ("cuda", capability, precision)


def test_an_unknown_card_is_one_line(train: Door) -> None:
    result = train(*GRID, *WORKERS, "hydra.launcher.gpu=x100", "sweep.plan=true")
    assert result.code == 2 and result.err.count("\n") == 1
    assert (
        "hydra.launcher.gpu=x100: no such card is known; choose from cpu, p100" in result.err and "sm_80" in result.err
    )


def test_the_weakest_of_unequal_cards_decides() -> None:
    kinds = {name: named_kind(name) for name in ("a100", "v100", "p100")}
    old, new = Kind("old", "cpu"), Kind("new", "cpu", bf16=True)
    assert precision_for([kinds["a100"], named_kind("h100")]) == "bf16"
    assert precision_for([kinds["a100"], kinds["v100"]]) == "fp16"
    assert precision_for(list(kinds.values())) == "fp32"
    assert precision_for([kinds["a100"], new]) == "bf16" and precision_for([kinds["a100"], old]) == "fp32"
    assert precision_for([kinds["v100"], new]) == "fp32", "no CPU computes in fp16"


def test_what_the_weakest_can_holds_for_a_config() -> None:
    cards = [named_kind("a100")]
    assert resolve_compute(TrainerConfig(), 224, cards).precision == "bf16"
    assert resolve_compute(TrainerConfig(precision="fp32"), 224, cards).precision == "fp32"
    assert resolve_compute(TrainerConfig(precision="fp16"), 224, ()).precision == "fp16", "nobody knows yet"
    small = resolve_compute(TrainerConfig(), 32, [Kind("new", "cpu", bf16=True)])
    assert small.precision == "fp32", "bf16 gains nothing there"
    with pytest.raises(ConfigError, match=r"trainer\.device=cuda: this sweep's runs are carried out on cpu"):
        resolve_compute(TrainerConfig(device="cuda"), 224, [Kind("cpu", "cpu")])
    with pytest.raises(ConfigError, match="fp16 needs a CUDA device"):
        resolve_compute(TrainerConfig(precision="fp16"), 224, [Kind("cpu", "cpu")])


def test_a_plan_for_cards_that_this_machine_lacks(train: Door) -> None:
    plans = {
        name: train(*GRID, "sweep.plan=true", "hydra/launcher=slurm_workers", *settings)
        for name, settings in {
            "a100": ["hydra.launcher.gpu=a100"],
            "v100": ["hydra.launcher.blocks=[{gpu: v100, partition: b}]"],
            "both": ["hydra.launcher.blocks=[{gpu: v100}, {partition: a}]", "hydra.launcher.gpu=a100"],
            "one": ["hydra.launcher.blocks=[{gpu: v100}, {partition: a}]"],
            "bf16": ["trainer.precision=bf16"],
            "fp16": ["trainer.precision=fp16"],
        }.items()
    }
    assert {plan.code for plan in plans.values()} == {0}
    named = {name: folders(plan.out) for name, plan in plans.items()}
    assert len(named["a100"]) == 2 and named["a100"] == named["bf16"] != named["fp16"]
    assert named["v100"] == named["both"] == named["fp16"]
    assert "trainer.precision=auto is bf16 here: hydra.launcher.gpu=a100" in plans["a100"].out
    assert "fp16 here: the weakest's of hydra.launcher.blocks (v100: fp16, a100: bf16)" in plans["both"].out
    assert "trainer.precision=auto is not known before the first worker starts" in plans["one"].out
    assert "trainer.precision=auto" not in plans["bf16"].out


def test_what_a_worker_tells_of_its_cards(stand_ins: StandIns) -> None:
    rows = ["0, GPU-aaaaaaaa-0000, 8.0, NVIDIA A100", "1, GPU-bbbbbbbb-0000, 7.0, Tesla V100"]
    (stand_ins.folder / "gpus.csv").write_text("\n".join(rows) + "\n")
    listed = "GPU 0: NVIDIA A100 (UUID: GPU-aaaaaaaa-0000)\n  MIG 3g.20gb Device  0: (UUID: MIG-cccccccc)\n"
    (stand_ins.folder / "list.txt").write_text(listed)
    both = kind_of_slots(["GPU-aaaa", "GPU-bbbb"])
    assert (both.name, both.capability) == ("Tesla V100", (7, 0)), "the weaker one"
    assert kind_of_slots(["MIG-cccc"]).capability == (8, 0), "a slice is like its card"
    assert from_json(json.loads(json.dumps(as_json(both)))) == both
    assert kind_of_slots([]).device == "cpu"


@pytest.mark.parametrize("content", [None, "cuda", {"device": "cuda"}, {"device": "cuda", "capability": ["8", 0]}])
def test_what_is_no_kind(content: object) -> None:
    assert from_json(content) is None


@pytest.mark.slow
def test_the_first_worker_decides_and_the_next_command_takes_what_is_stored(train: Door, tmp_path: Path) -> None:
    network = ["model._target_=sweep_parts.net", f"+model.kwargs.file={tmp_path / 'trouble.json'}", "sweep.name=cpu"]
    grid = [*GRID, *network, *WORKERS, "data.size=64", "trainer.batch_size=64"]  # from 48 px on bf16 pays
    first = train(*grid)
    precision = "bf16" if cpu_has_bf16() else "fp32"
    assert first.code == 0, first.err
    assert "waits for the first worker: what trainer.precision=auto is, its device says" in first.out
    assert f"trainer.precision=auto is {precision} here" in first.out and "which the first worker has" in first.out
    sweep = tmp_path / "outputs" / "cpu"
    assert [record_of(run.parent)["resolved"]["precision"] for run in sweep.glob("*/*/record.json")] == [precision] * 2
    stored = json.loads((sweep / "sweep.json").read_text())
    assert stored["computes_on"][0]["device"] == "cpu"
    stored["computes_on"][0]["bf16"] = not cpu_has_bf16()  # as a worker with another processor would have told it
    (sweep / "sweep.json").write_text(json.dumps(stored))
    before = results(sweep)
    second = train(*grid)
    other = "fp32" if precision == "bf16" else "bf16"
    assert second.code == 0, second.err
    assert f"trainer.precision=auto is {other} here" in second.out and "as stored" in second.out
    assert "waits for the first worker" not in second.out
    after = results(sweep)
    assert len(after) == 4 and all(after[name] == one for name, one in before.items())
    said = train(*grid, "hydra.launcher.gpu=cpu")
    assert said.code == 0 and "2 done" in said.out and "hydra.launcher.gpu=cpu" in said.out, said.out


def test_workers_that_are_too_weak_take_no_runs(train: Door, tmp_path: Path) -> None:
    """A sweep that was planned for cards, and has workers without any."""
    sweep = ["sweep.name=weak", "hydra.launcher.gpu=v100"]
    result = train(*GRID, *WORKERS, *sweep)
    assert result.code == 2, result.out
    assert "trainer.precision=auto is fp16 in this sweep, as v100 has it, and the workers have" in result.err
    assert not list((tmp_path / "outputs" / "weak").glob("*/*/record.json"))


@pytest.mark.slow
def test_threads_on_cpus_are_the_first_workers(train: Door, tmp_path: Path) -> None:
    sweep, grid = tmp_path / "outputs" / "threads", [*GRID, *WORKERS, "sweep.name=threads", "trainer.threads=auto"]

    def threads() -> list[int]:
        return sorted(record_of(file.parent)["threads"] for file in sweep.glob("*/*/record.json"))

    assert train(*grid, "hydra.launcher.gpu=cpu").code == 0
    stored = json.loads((sweep / "sweep.json").read_text())
    assert threads() == [stored["threads"]] * 2
    (sweep / "sweep.json").write_text(json.dumps(stored | {"threads": 1}))  # as a smaller first worker had told it
    assert train(*grid, "hydra.launcher.gpu=cpu", "seed=2,3").code == 0
    assert threads() == [1, 1, *[stored["threads"]] * 2]
