"""Steps as CUDA graphs, on a CUDA device (marker `gpu`: make gpu): the bits of plain ones, in all that a run leaves.

tests/training/engine/test_step.py asks for the same where there is no device.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Door
from mending import MOVING
from outcome import TINY, outcome, record_of

from training.engine.hardware.graphs import CudaRecorder

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

# 1437 digits for training at most: whole batches and a smaller last one, each more than twice
WHOLE = ["data.size=32", "data.stored_size=36", "trainer.epochs=3", "trainer.batch_size=128", "debug.max_steps=null"]
WHOLE += ["tracking=none", "augment=standard"]
FAMILIES = {
    "resnet": ["model=resnet18"],
    "resnet with bottlenecks": ["model=resnet50"],
    "swin": ["model=swin_t"],
    "swin v2": ["model=swin_v2_t"],
    "vit": ["model=torchvision", "model.name=vit_b_16", "+model.kwargs.image_size=32"],
    "convnext": ["model=torchvision", "model.name=convnext_tiny"],
    "efficientnet": ["model=torchvision", "model.name=efficientnet_b0"],
    "mobilenet": ["model=torchvision", "model.name=mobilenet_v3_small"],
    "shufflenet": ["model=torchvision", "model.name=shufflenet_v2_x0_5"],
}
CASES = {
    "fp32": ["trainer.precision=fp32"],
    "bf16": ["trainer.precision=bf16"],
    "fp16": ["trainer.precision=fp16"],
    "contiguous": ["trainer.memory_format=contiguous"],
    "no augmentation": ["augment=none"],
    "flip": ["augment=flip"],
    "trivial and erasing": ["augment.trivial=true", "augment.erasing=0.5"],
    "images in memory": ["data.cache=none"],
    "mixed": ["augment.mixup=0.2", "augment.cutmix=1.0"],
    "ema": ["trainer.ema=0.9"],
    "frozen at first": ["trainer.freeze_epochs=1"],
    "clipped": ["trainer.clip_norm=0.1"],
    "accumulated": ["trainer.accumulate=3", "trainer.clip_norm=0.1"],
    "accumulated and frozen at first": ["trainer.accumulate=2", "trainer.freeze_epochs=1"],
    "layer decay": ["optimizer.layer_decay=0.7"],
    "head rate": ["optimizer.head_lr_factor=10"],
    "muon": ["optimizer=muon"],
    "mirror images": ["trainer.tta=flip"],
    "test size": ["data.test_size=40", "data.stored_size=44"],
    "probe": ["trainer.probe=true"],
    "class weights": ["trainer.class_weights=balanced", "trainer.label_smoothing=0.1"],
    "focal": ["loss._target_=training.engine.loss.focal"],
    "sgd": ["optimizer=sgd"],
    "adam": ["optimizer=adam"],
    "cosine by steps": ["scheduler=cosine", "scheduler.interval=step", "scheduler.warmup_epochs=1"],
    "exponential": ["scheduler=exponential"],
    "step": ["scheduler=step"],
    "one cycle": ["scheduler=onecycle"],
    "plateau": ["scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau", "scheduler.interval=epoch"],
    "drop path and dropout": [TINY],
    "own technique": ["trainer.techniques=[{_target_: own_training.GradientNoise, scale: 0.01}]"],
    "rate from a range test": ["optimizer.lr=auto"],
}


def folder_of(train: Door, root: Path, name: str, *arguments: str) -> Path:
    """The folder of a finished run."""
    result = train(*WHOLE, *arguments, f"sweep.name={name}")
    assert result.code == 0, result.err
    (folder,) = (root / "outputs" / name).glob("*/*")
    return folder


def same(first: Path, second: Path) -> bool:
    """Whether two runs came to the same, to the bit, though one was captured and one was not."""
    found = [outcome(folder) for folder in (first, second)]
    for one in found:
        del one["record"]["resolved"]["capture"], one["record"]["config"]["trainer"]["capture"]
    return bool(found[0] == found[1])


def captured_and_plain(train: Door, root: Path, *arguments: str) -> Path:
    """Asserts that both come to the same, and that the first was captured. Gives its folder."""
    captured = folder_of(train, root, "captured", *arguments)
    plain = folder_of(train, root, "plain", *arguments, "trainer.capture=false")
    assert record_of(plain)["resolved"]["capture"] == "off"
    assert captured.parent.name == plain.parent.name, "one identity"
    assert same(captured, plain)
    return captured


@pytest.mark.parametrize("family", FAMILIES)
def test_a_captured_run_is_the_plain_one_for_each_family(train: Door, tmp_path: Path, family: str) -> None:
    folder = captured_and_plain(train, tmp_path, *FAMILIES[family])
    assert record_of(folder)["resolved"]["capture"] == "on"


@pytest.mark.parametrize("case", CASES)
def test_a_captured_run_is_the_plain_one_in_each_setting(train: Door, tmp_path: Path, case: str) -> None:
    folder = captured_and_plain(train, tmp_path, "model=resnet18", *CASES[case])
    expected = "off: GradientNoise doesn't say that it is capturable" if case == "own technique" else "on"
    assert record_of(folder)["resolved"]["capture"] == expected


def test_captured_runs_repeat_themselves(train: Door, tmp_path: Path) -> None:
    first, second = (folder_of(train, tmp_path, name, "model=swin_v2_t", "trainer.ema=0.9") for name in ("a", "b"))
    assert outcome(first) == outcome(second) and record_of(first)["resolved"]["capture"] == "on"


@pytest.mark.parametrize("also", [[], ["trainer.accumulate=2"], ["trainer.freeze_epochs=2"], ["trainer.ema=0.9"]])
def test_a_captured_run_that_was_stopped_goes_on_to_the_same(train: Door, tmp_path: Path, also: list[str]) -> None:
    """The second breaks in its second epoch or later. (Its Python runs in plain passes and while it is recorded; the
    seventh time is the first of those with the last, smaller batch.)"""
    stop = [f"+model.kwargs.stop={tmp_path / 'stop'}", "+model.kwargs.at=7", "debug.max_steps=null", *also]
    captured = ["trainer.batch_size=700", "data.val_fraction=0.05", "data.test_fraction=0.05", *stop]
    straight = train(*MOVING, *captured, "sweep.name=straight")
    assert straight.code == 0, straight.err
    (tmp_path / "stop").write_text("break")
    broken = train(*MOVING, *captured, "sweep.name=mended")
    (tmp_path / "stop").unlink()
    mended = train(*MOVING, *captured, "sweep.name=mended")
    assert broken.code == 1 and mended.code == 0, mended.err
    one, other = (next((tmp_path / "outputs" / name).glob("*/*")) for name in ("straight", "mended"))
    assert outcome(one) == outcome(other)


def test_out_of_memory_with_graphs_goes_on_without(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a recording, for real: the body of the recording asks for more than any device has."""
    record = CudaRecorder.record

    def greedy(self: CudaRecorder, work: Any) -> Any:
        def more() -> Any:
            results = work()
            torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
            return results

        return record(self, more)

    monkeypatch.setattr(CudaRecorder, "record", greedy)
    short = folder_of(train, tmp_path, "short", "model=resnet18")
    monkeypatch.undo()
    assert record_of(short)["resolved"]["capture"].startswith("off: ")  # some versions of torch hide what was lacking
    assert same(short, folder_of(train, tmp_path, "plain", "model=resnet18", "trainer.capture=false"))


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("looks", "off: RuntimeError: called a synchronizing CUDA operation"),
        ("draws", "off: it draws random numbers of Python, NumPy or torch's CPU generator"),
    ],
)
def test_a_network_that_cannot_be_captured_trains_plainly(train: Door, tmp_path: Path, kind: str, why: str) -> None:
    network = ["model._target_=own_parts.uncapturable", f"+model.kwargs.kind={kind}"]
    result = train(*WHOLE, *network, "sweep.name=auto")
    assert result.code == 0, result.err
    assert result.out.count("no CUDA graphs: ") == 1
    (folder,) = (tmp_path / "outputs" / "auto").glob("*/*")
    assert record_of(folder)["resolved"]["capture"].startswith(why)
    insisted = train(*WHOLE, *network, "trainer.capture=true", "sweep.name=insisted")
    assert insisted.code == 1 and why.removeprefix("off: ") in insisted.out + insisted.err
    if kind == "looks":
        assert same(folder, folder_of(train, tmp_path, "plain", *network, "trainer.capture=false"))


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_a_recording_that_breaks_off_is_followed_by_a_fresh_process(
    shell: Door, tmp_path: Path, sweep: list[str]
) -> None:
    """Its process could not draw the random numbers of dropout any more. (test_fresh_process.py asks for the same where
    there is no device.)"""
    network = ["model._target_=own_parts.uncapturable", "+model.kwargs.kind=waits", f"sweep.root={tmp_path}"]
    environment = {"FINEGRID_TRUST": "own_parts", "PYTHONPATH": str(Path(__file__).parents[2])}
    for name, capture in (("broken", "auto"), ("plain", "false")):
        command = ["train.py", *sweep, *WHOLE, *network, f"trainer.capture={capture}", f"sweep.name={name}"]
        done = shell(*command, **environment)
        assert done.code == 0, done.err
    (broken,), (plain,) = ((tmp_path / name).glob("*/*") for name in ("broken", "plain"))
    assert record_of(broken)["resolved"]["capture"].startswith("off: ") and same(broken, plain)
    logs = "".join(file.read_text() for file in (tmp_path / "broken").rglob("*.log"))
    assert logs.count("without, in a fresh process") == 1


def test_compiled_and_captured_go_together(train: Door, tmp_path: Path) -> None:
    folder = folder_of(train, tmp_path, "both", "model=resnet18", "trainer.compile=true")
    record = record_of(folder)
    assert record["status"] == "done" and record["resolved"]["capture"] == "on"


def test_four_slots_come_to_what_one_does(train: Door, tmp_path: Path) -> None:
    command = ["-m", *QUICK, "model=resnet18", "data.size=32", "seed=0,1,2,3", "debug.max_steps=null"]
    found = {}
    for slots in (1, 4):
        done = train(*command, f"hydra.launcher.slots_per_gpu={slots}", f"sweep.name=slots_{slots}")
        assert done.code == 0, done.err
        folders = sorted((tmp_path / "outputs" / f"slots_{slots}").glob("*/seed=*"))
        found[slots] = [outcome(folder) for folder in folders]
    assert len(found[1]) == 4 and found[1] == found[4]
