"""The record of a run as a file: nothing in it is lost by reading and writing, and nothing in it can break a reader."""

import csv
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, ROOT, Door, run_folders
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from analysis import load
from analysis.report import main as report
from training.record import Record, read_record, write_record


def kept() -> list[dict[str, Any]]:
    """Every record.json and config.json that version 47bee83 left."""
    with tarfile.open(ROOT / "tests" / "data" / "outputs_47bee83.tar.xz") as archive:
        files = [
            archive.extractfile(name) for name in archive.getnames() if name.endswith(("/record.json", "/config.json"))
        ]
        return [json.load(file) for file in files if file is not None]


def rewritten(folder: Path, content: Any) -> Any:
    """The file after it was read and written."""
    (folder / "record.json").write_text(json.dumps(content))
    record = read_record(folder)
    assert record is not None
    write_record(folder, record)
    return json.loads((folder / "record.json").read_text())


def test_what_an_earlier_version_wrote_comes_through_as_it_is(tmp_path: Path) -> None:
    contents = kept()
    assert len(contents) > 5 and {content.get("status") for content in contents} >= {"done", None}
    for content in contents:
        assert rewritten(tmp_path, content) == content


def test_keys_that_are_not_known_and_values_that_are_odd_stay(tmp_path: Path) -> None:
    content = next(content for content in kept() if content.get("status") == "done")
    content |= {"later": {"a": [1, None]}, "threads": "many", "extra": 1, "fold": None}
    content["val"] |= {"kappa": 0.5, "loss": "low"}
    content["resolved"]["device"] = 7
    assert rewritten(tmp_path, content) == content | {"resolved": content["resolved"] | {"device": "7"}}
    record = read_record(tmp_path)
    assert record is not None
    assert (record.threads, record.val.loss, record.resolved.device) == (None, None, "7")
    assert record.figure("val_kappa") == 0.5 and record.figure("val_acc") == content["val"]["acc"]


@pytest.mark.parametrize("value", [None, 3, "text", [], [1], {}, {"acc": {}}, True, float("nan")])
@pytest.mark.parametrize(
    "key", ["config", "resolved", "data", "val", "time", "soup", "status", "seed", "failure", "latency_ms"]
)
def test_no_value_breaks_a_reader(tmp_path: Path, key: str, value: Any) -> None:
    (tmp_path / "record.json").write_text(json.dumps({"identity": "0123456789", key: value}))
    record = read_record(tmp_path)
    assert record is not None and record.identity == "0123456789"
    assert record.val.acc is None and record.settings.model is None and record.time.minutes is None
    write_record(tmp_path, record)


def test_a_metric_that_is_not_known_is_a_column(tmp_path: Path) -> None:
    content = next(content for content in kept() if content.get("status") == "done")
    content["val"]["kappa"], content["test"]["kappa"] = 0.5, "odd"
    (tmp_path / "record.json").write_text(json.dumps(content))
    (row,) = load(tmp_path).to_dict("records")
    assert row["val_kappa"] == 0.5 and row["test_kappa"] != row["test_kappa"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    assert read_record(tmp_path) is None and read_record(tmp_path / "nowhere") is None


def test_names_of_what_a_config_says() -> None:
    def names(**config: Any) -> tuple[str | None, ...]:
        found = Record(config=config).settings
        return found.model, found.optimizer, found.scheduler

    torchvision = "training.models.torchvision_model"
    rates = "torch.optim.lr_scheduler."
    adamw = {"_target_": "torch.optim.AdamW"}
    assert names(model={"_target_": torchvision, "name": "swin_t"}, optimizer=adamw, scheduler={"_target_": None}) == (
        "swin_t",
        "adamw",
        "none",
    )
    own = {"_target_": "own_parts.tiny", "name": "resnet18"}
    assert names(model=own, scheduler={"_target_": f"{rates}PolynomialLR"}) == ("tiny", None, "polynomial")
    assert names(scheduler={"_target_": f"{rates}CosineAnnealingLR"}) == (None, None, "cosine")
    assert names(scheduler={"_target_": "mine.LR"})[2] == "LR" and names() == (None, None, None)


def test_folder_table_page_and_tensorboard_have_the_same_names(
    train: Door, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of models of a user's own, and of a schedule for which conf/ has no file."""
    polynomial = ["scheduler._target_=torch.optim.lr_scheduler.PolynomialLR", "+scheduler.kwargs.total_iters=2"]
    quick = [*QUICK, "scheduler=none", "tracking.histograms_every=0", "hydra.launcher.slots=1"]
    own = "model._target_=own_parts.tiny,own_parts.smooth"
    result = train("-m", *quick, own, *polynomial, "sweep.name=own")
    assert result.code == 0, result.err
    sweep = tmp_path / "outputs" / "own"
    folders = run_folders(sweep)
    assert sorted(folder.parent.name.rpartition("-")[0] for folder in folders) == [
        "smooth-none-adamw-lr0.001-polynomial",
        "tiny-none-adamw-lr0.001-polynomial",
    ]
    assert {hparams_of(folder)["model"] for folder in folders} == {"smooth", "tiny"}
    assert {hparams_of(folder)["scheduler"] for folder in folders} == {"polynomial"}
    runs = load(sweep)
    assert sorted(runs["model"]) == ["smooth", "tiny"] and set(runs["scheduler"]) == {"polynomial"}
    capfd.readouterr()
    page = tmp_path / "page.html"
    where = ["--where", "model == 'tiny' and scheduler == 'polynomial'", "--format", "csv", "--html", str(page)]
    assert report([str(sweep), *where]) == 0
    text = capfd.readouterr().out
    (row,) = csv.DictReader(io.StringIO(text[text.index("model,") :]))  # before it TensorBoard logs
    assert (row["model"], row["optimizer"], row["scheduler"]) == ("tiny", "adamw", "polynomial")
    shown = re.sub(r"<pre[^>]*>.*?</pre>", "", page.read_text(), flags=re.DOTALL)  # but for the command as it was typed
    assert "tiny" in shown and "PolynomialLR" not in shown


def hparams_of(folder: Path) -> dict[str, Any]:
    """What the HParams table of TensorBoard says of a run."""
    events = EventAccumulator(str(folder)).Reload()
    tag = next(tag for tag in events.summary_metadata if tag.endswith("session_start_info"))
    content = events.summary_metadata[tag].plugin_data.content
    said = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: value.number_value or value.string_value for name, value in said.items()}


def test_a_soup_of_folds_is_no_other_runs_record(tmp_path: Path) -> None:
    """Its record has the fold of its best run, its folder has none."""
    folder = tmp_path / "soup-tiny-0123456789" / "seed=0"
    folder.mkdir(parents=True)
    scores = {"val": {"acc": 90.0}, "test": {"acc": 90.0}}
    about = {"schema": 1, "identity": "0123456789", "seed": 0, "fold": 1, "config": {}, "status": "done", **scores}
    (folder / "record.json").write_text(json.dumps(about | {"soup": {"size": 2}}))
    assert (found := read_record(folder)) is not None and found.is_soup
    (folder / "record.json").write_text(json.dumps(about))
    assert read_record(folder) is None
