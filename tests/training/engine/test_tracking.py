"""What TensorBoard gets to see, read back with its own reader; and the two debug configs."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Door, run_folders
from outcome import TINY, history_of, only_run, record_of
from own_parts import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from torch import nn

import training.engine.session
from training.config import TrackingConfig
from training.engine.tracking.tensorboard import Tracker, chosen_layers
from training.models.build import build_model


def events_of(folder: Path) -> EventAccumulator:
    """All events below a folder, as TensorBoard shows them."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    return events.Reload()


def scalars_of(events: EventAccumulator) -> dict[str, dict[int, float]]:
    """The curves: tag -> step -> value. No step may be there twice."""
    curves = {}
    for tag in events.Tags()["scalars"]:
        points = events.Scalars(tag)
        curves[tag] = {point.step: point.value for point in points}
        assert len(curves[tag]) == len(points), f"{tag} has a step twice"
    return curves


def test_curves_are_those_of_the_history(train: Door, tmp_path: Path) -> None:
    arguments = ["optimizer.weight_decay=0.1", "trainer.epochs=3", "scheduler=exponential", "trainer.clip_norm=0.01"]
    assert train(*QUICK, TINY, *arguments).code == 0
    folder = only_run(tmp_path / "outputs")
    curves, rows, record = scalars_of(events_of(folder)), history_of(folder), record_of(folder)
    columns = {f"{kind}/{split}": f"{split}_{kind}" for kind in ("loss", "acc") for split in ("train", "val")}
    columns |= {"gradient_norm": "grad_norm"}
    columns |= {"speed/images_per_s": "images_per_s", "speed/epoch_seconds": "seconds"}
    assert curves.keys() == columns.keys() | {"final/val_acc", "final/test_acc", "learning_rate/all_weights"}
    for tag, column in columns.items():
        assert curves[tag] == pytest.approx({int(row["epoch"]): row[column] for row in rows}), tag
    rates = [1e-3, 1e-3, 9e-4, 9e-4, 8.1e-4, 8.1e-4]  # by step: two an epoch
    assert curves["learning_rate/all_weights"] == pytest.approx(dict(enumerate(rates)))
    assert min(curves["gradient_norm"].values()) > 0.01, "the norm is that before clipping"
    assert curves["final/val_acc"] == pytest.approx({3: record["val"]["acc"]})
    assert curves["final/test_acc"] == pytest.approx({3: record["test"]["acc"]})


@pytest.mark.parametrize(
    ("arguments", "layers", "epochs"),
    [
        ([], ["first.bias", "first.weight", "head.bias", "head.weight"], [1, 2]),
        (["tracking.histogram_layers=[all]"], sorted(name for name, _ in tiny(10).named_parameters()), [1, 2]),
        (["tracking.histogram_layers=[branch.*,*.bias]", "tracking.histograms_every=2"],
         ["branch.weight", "first.bias", "head.bias", "norm.bias"], [2]),
        (["tracking.histograms_every=0"], [], []),
    ],
)  # fmt: skip
def test_histograms_of_the_chosen_layers(
    train: Door, tmp_path: Path, arguments: list[str], layers: list[str], epochs: list[int]
) -> None:
    assert train(*QUICK, TINY, *arguments).code == 0
    events = events_of(only_run(tmp_path / "outputs"))
    tags = events.Tags()["histograms"]
    assert sorted(tags) == sorted([f"{kind}/{layer}" for kind in ("weights", "gradients") for layer in layers])
    sizes = {name: parameter.numel() for name, parameter in tiny(10).named_parameters()}
    for tag in tags:
        points = events.Histograms(tag)
        assert [point.step for point in points] == epochs
        assert {point.histogram_value.num for point in points} == {sizes[tag.partition("/")[2]]}
        assert all(math.isfinite(point.histogram_value.sum_squares) for point in points)
    if layers:
        weight = events.Histograms("gradients/branch.weight" if "branch.weight" in layers else "gradients/head.weight")
        assert weight[-1].histogram_value.sum_squares > 0, "gradients of the epoch's last step, not cleared ones"


def test_first_layer_and_head_of_real_networks() -> None:
    from training.config import ModelConfig

    found = {}
    for name in ("resnet18", "swin_v2_t"):
        with torch.device("meta"):
            found[name] = chosen_layers(build_model(ModelConfig(name=name), 10), ["first", "head"])
    assert found["resnet18"] == {"conv1.weight", "fc.weight", "fc.bias"}
    assert found["swin_v2_t"] == {"features.0.0.weight", "features.0.0.bias", "head.weight", "head.bias"}


def test_pattern_that_fits_nothing_is_told(train: Door) -> None:
    result = train(*QUICK, TINY, "tracking.histogram_layers=[layer4.*]")
    assert result.code == 0
    assert "tracking.histogram_layers: layer4.* fits no parameter, such as head.bias" in result.out


def test_gradients_that_are_not_finite_break_nothing(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    layer.weight.grad = torch.full((2, 2), float("inf"))
    layer.bias.grad = torch.zeros(2)
    tracker = Tracker(tmp_path, TrackingConfig(histogram_layers=["all"]), layer, first_epoch=1)
    tracker.epoch(1, {})
    tracker.close()
    tags = set(events_of(tmp_path).Tags()["histograms"])
    assert tags == {"weights/weight", "weights/bias", "gradients/bias"}


def hparams_of(folder: Path) -> dict[str, Any]:
    """The row of the HParams table: what is said of the run, and which figures it has."""
    content = events_of(folder).summary_metadata
    row: dict[str, Any] = {}
    for tag, metadata in content.items():
        if tag.startswith("_hparams_/"):
            data = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
            row[tag.rpartition("/")[2]] = data
    return row


def test_hparams_table_has_the_run_in_its_own_folder(train: Door, tmp_path: Path) -> None:
    swept = ["augment=standard", "trainer.label_smoothing=0.05", "data.split_seed=0"]
    assert train(*QUICK, TINY, "seed=3", "optimizer.lr=0.02", *swept).code == 0
    folder = only_run(tmp_path / "outputs")
    assert [path.parent for path in tmp_path.rglob("events.out.*")] == [folder], (
        "one file of events, and no folder more"
    )
    row = hparams_of(folder)
    said = row["session_start_info"].session_start_info.hparams
    values = {key: value.number_value or value.string_value for key, value in said.items()}
    assert (
        (values["model"], values["optimizer"], values["scheduler"]) == ("tiny", "adamw", "onecycle")
        and values["lr"] == 0.02
        and values["seed"] == 3
    )
    assert (values["epochs"], values["batch_size"], values["weights"]) == (2, 32, "none")
    assert (values["augment"], values["trainer.label_smoothing"], values["data.size"]) == ("standard", 0.05, 8)
    assert "data.split_seed" in values and "optimizer.lr" not in values, "what was asked for, though it is the default"
    metrics = {info.name.tag for info in row["experiment"].experiment.metric_infos}
    assert metrics == {"final/val_acc", "final/test_acc"}
    assert metrics <= scalars_of(events_of(folder)).keys()
    assert "session_end_info" in row


@pytest.mark.parametrize(
    ("where", "step", "shown"),
    [(training.engine.session.Saver, "save", [1, 2]), (training.engine.session.Tracker, "epoch", [1])],
)
def test_killed_and_resumed_run_shows_every_epoch_once(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: object, step: str, shown: list[int]
) -> None:
    """Killed in epoch 2, before it is saved, after or before it is shown."""
    original, calls = getattr(where, step), iter(range(10))

    def dies(*given: Any) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt
        original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(where, step, dies)
        assert train(*QUICK, TINY, "trainer.epochs=3").code == 130
    folder = only_run(tmp_path / "outputs")
    assert sorted(scalars_of(events_of(folder))["loss/val"]) == shown
    assert "going on after epoch 1 of 3" in train(*QUICK, TINY, "trainer.epochs=3").out
    assert len(list(folder.glob("events.out.*"))) == 2
    events = events_of(folder)
    curves = {tag: list(curve) for tag, curve in scalars_of(events).items() if "final" not in tag}
    assert curves.pop("learning_rate/all_weights") == list(range(6)), "by step, those before the kill too"
    assert list(curves.values()) == [[1, 2, 3]] * 7
    assert [[point.step for point in events.Histograms(tag)] for tag in events.Tags()["histograms"]] == [[1, 2, 3]] * 8
    losses = [row["val_loss"] for row in history_of(folder)]
    assert list(scalars_of(events)["loss/val"].values()) == pytest.approx(losses)


def test_overfit_batch_learns_its_batch_by_heart(train: Door, tmp_path: Path) -> None:
    arguments = ["model._target_=own_parts.smooth", "debug=overfit_batch", "trainer.epochs=60", "tracking=none"]
    arguments += ["trainer.batch_size=16", "optimizer.lr=0.1", "trainer.threads=1", "data.size=8"]
    assert train(*arguments, "trainer.precision=fp32").code == 0
    folder = only_run(tmp_path / "outputs")
    last, record = history_of(folder)[-1], record_of(folder)
    assert last["train_acc"] == last["val_acc"] == 100
    assert last["val_loss"] == pytest.approx(last["train_loss"], abs=0.05), "trained and validated on the same images"
    assert last["train_loss"] < 0.05
    assert record["val"]["n"] == record["data"]["n"]["train"] == 16
    assert record["test"]["n"] == 269 and record["test"]["acc"] < 90, "the test images are others"
    assert sum(value > 0 for value in record["val"]["per_class_acc"].values()) > 3, "a batch of several classes"


@pytest.mark.parametrize("accumulate", [1, 3])
def test_two_steps_are_two(train: Door, tmp_path: Path, accumulate: int) -> None:
    arguments = [TINY, "debug=two_steps", "trainer.epochs=1", "trainer.batch_size=32", "data.size=8"]
    arguments += [f"trainer.accumulate={accumulate}", "trainer.threads=1", "optimizer=sgd", "scheduler=exponential"]
    assert train(*arguments, "scheduler.interval=step", "scheduler.kwargs.gamma=0.5").code == 0
    (folder,) = run_folders(tmp_path / "outputs")
    (row,) = history_of(folder)
    assert row["images_per_s"] * row["seconds"] == pytest.approx(2 * 32 * accumulate)


def test_histograms_count_what_is_there() -> None:
    from training.engine.tracking.histograms import BINS, histograms

    values = torch.randn(10_000)
    found = histograms({"a": values, "constant": torch.full((7,), 2.0), "broken": torch.tensor([1.0, float("nan")])})
    assert set(found) == {"a", "constant"}
    one = found["a"]
    assert one.count == 10_000 == sum(one.counts) and len(one.limits) == len(one.counts) == BINS
    assert (one.least, one.largest) == (values.min(), values.max())
    expected = torch.histc(values, BINS)  # rounds differently at the edges of the bins
    assert (torch.tensor(one.counts) - expected).abs().sum() <= 4
    assert found["constant"].counts == [7] + [0] * (BINS - 1)
