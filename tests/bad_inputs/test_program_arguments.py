"""Arguments and run folders that the programs can't do anything with."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from doors import Case, Place, each, place
from odd_files import odd
from pictures import write
from report_runs import write_run
from safetensors.torch import save_file

__all__ = ["place"]

ABOUT = {
    "model": {"_target_": "training.models.torchvision_model", "name": "resnet18"},
    "classes": ["a", "b"],
    "preprocessing": {"size": 8, "stored_size": 8, "resize": "stretch", "mean": [0, 0, 0], "std": [1, 1, 1]},
}
BAD_WEIGHTS: dict[str, bytes] = {
    "empty": b"",
    "truncated": b"\x10\0\0\0\0\0\0\0{",
    "html": b"<!DOCTYPE html>\n<html></html>",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "header": b"\xff" * 64,
}
BAD_ABOUT: dict[str, object] = {
    "no_classes": {key: value for key, value in ABOUT.items() if key != "classes"},
    "no_size": ABOUT | {"preprocessing": {}},
    "list": [1],
    "numbers": ABOUT | {"classes": 5},
    "model_text": ABOUT | {"model": "resnet18"},
    "unknown_key": ABOUT | {"model": {"_target_": "training.models.torchvision_model", "nmae": "resnet18"}},
    "size_text": ABOUT | {"preprocessing": ABOUT["preprocessing"] | {"size": "big"}},  # type: ignore[operator]
    "size_negative": ABOUT | {"preprocessing": ABOUT["preprocessing"] | {"size": -1}},  # type: ignore[operator]
    "mean_text": ABOUT | {"preprocessing": ABOUT["preprocessing"] | {"mean": "x"}},  # type: ignore[operator]
    "foreign": ABOUT | {"model": {"_target_": "os.system"}},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    odd(root)
    write(root / "images/a.png")
    (root / "no_images").mkdir()
    (root / "no_images/a.txt").touch()
    (root / "text").write_text("x")
    (root / "list.csv").write_text("file\na.png\n")
    for name, content in BAD_WEIGHTS.items():
        (root / name).mkdir()
        (root / name / "best.safetensors").write_bytes(content)
    for name, about in BAD_ABOUT.items():
        (root / name).mkdir()
        save_file({"fc.bias": torch.zeros(2)}, root / name / "best.safetensors", {"finegrid": json.dumps(about)})
    for name in ("plain", "garbled"):
        (root / name).mkdir()
        metadata = {"finegrid": "{"} if name == "garbled" else None
        save_file({"fc.bias": torch.zeros(2)}, root / name / "best.safetensors", metadata)
    (root / "weights_pipe").mkdir()
    os.mkfifo(root / "weights_pipe/best.safetensors")
    (root / "weights_folder/best.safetensors").mkdir(parents=True)
    write_run(root / "one", "aaaaaaaaaa")
    for seed in (0, 1):
        write_run(root / "two", "aaaaaaaaaa", seed)
    shutil.copytree(root / "two", root / "garbage")
    for file in (root / "garbage").rglob("record.json"):
        file.write_bytes(b"\xff{")
    return root


def run(kind: str, name: str, *words: str, doors: str = "predict export load_model") -> list[Case]:
    tails = {"predict": " {}/images --device cpu", "export": " --to torch"}
    return [Case(kind, door, f"{{}}/{name}{tails.get(door, '')}", words) for door in doors.split()]


RUNS = [
    *run("no such folder", "no", "{}/no: no such run folder"),
    *run("file instead of a folder", "text", "{}/text"),
    *run("pipe instead of a folder", "pipe", "{}/pipe", doors="predict export"),
    *run("broken link", "broken", "{}/broken", doors="predict export"),
    *run("link loop", "loop", "{}/loop", doors="predict export"),
    *run("folder of nothing", "folder", "{}/folder: no best.safetensors in it"),
    *run("empty file", "empty", "{}/empty", "an empty file"),
    *run("truncated file", "truncated", "{}/truncated", "safetensors"),
    *run("HTML page", "html", "{}/html", "an HTML page"),
    *run("Git LFS pointer", "lfs", "{}/lfs", "Git LFS"),
    *run("binary file", "header", "{}/header", "safetensors"),
    *run("pipe instead of a file", "weights_pipe", "{}/weights_pipe", doors="predict export"),
    *run("folder instead of a file", "weights_folder", "{}/weights_folder", doors="predict export"),
    *run("weights of another program", "plain", "{}/plain"),
    *run("metadata that is no JSON", "garbled", "{}/garbled"),
    *run("metadata without a key", "no_classes", "{}/no_classes"),
    *run("metadata without a key", "no_size", "{}/no_size"),
    *run("metadata of another type", "list", "{}/list"),
    *run("metadata of another type", "numbers", "{}/numbers"),
    *run("metadata of another type", "model_text", "{}/model_text"),
    *run("metadata with an unknown key", "unknown_key", "{}/unknown_key"),
    *run("metadata of another type", "size_text", "{}/size_text"),
    *run("metadata out of range", "size_negative", "{}/size_negative"),
    *run("metadata of another type", "mean_text", "{}/mean_text"),
    *run("code that is not trusted", "foreign", "os.system"),
]


AGAIN = [
    Case("no such folder", "reproduce", "{}/no", "{}/no: no such folder"),
    Case("no such folder", "compare", "{}/no {}/no", "{}/no: no such folder"),
    Case("file instead of a folder", "reproduce", "{}/text", "{}/text"),
    Case("pipe instead of a folder", "reproduce", "{}/pipe", "{}/pipe"),
    Case("folder of nothing", "reproduce", "{}/folder", "no run"),
    Case("folder of nothing", "compare", "{}/folder {}/folder", "no run in it"),
    Case("an empty name", "reproduce", [""], "is empty"),
    Case("an empty name", "compare", ["", ""], "is empty"),
    Case("an empty path", "reproduce", ["{}/one", "--write", ""], "--write: an empty name"),
    Case("record that is no JSON", "reproduce", "{}/garbage/resnet18-aaaaaaaaaa/seed=0", "record.json: "),
    Case("record that is no JSON", "compare", ["{}/garbage/resnet18-aaaaaaaaaa/seed=0"] * 2, "record.json: "),
    Case("one run alone", "compare", "{}/one", "RUN"),
    Case("unknown option", "reproduce", "{}/one --thread 3x", "expected a whole number"),
]


def sweep(kind: str, name: str, *words: str) -> Case:
    return Case(kind, "ensemble soup", f"{{}}/{name}", words)


SWEEPS = [
    sweep("no such folder", "no", "{}/no: no such folder"),
    sweep("file instead of a folder", "text", "{}/text: no such folder"),
    sweep("pipe instead of a folder", "pipe", "{}/pipe"),
    sweep("link loop", "loop", "{}/loop"),
    sweep("folder of nothing", "folder", "{}/folder: no finished runs"),
    sweep("damaged records", "garbage", "{}/garbage: no finished runs"),
    sweep("one run", "one", "{}/one"),
    sweep("runs without predictions or weights", "two", "{}/two"),
]
PREDICT = [
    Case("no such folder", "predict", "{}/plain {}/no", ["{}/no: no such folder or file of images"]),
    Case("no images", "predict", "{}/plain {}/no_images", ["{}/no_images: no images in it"]),
    Case("empty folder", "predict", "{}/plain {}/folder", ["{}/folder: no images in it"]),
    Case("run folder as images", "predict", "{}/plain {}/plain", ["{}/plain is a run folder, expected images"]),
    Case("pattern that fits nothing", "predict", "{}/plain {}/*.jpg", ["{}/*.jpg: no image matches"]),
    Case("CSV without its column", "predict", "{}/plain {}/list.csv", ["{}/list.csv", "path"]),
    Case("empty name", "predict", ["{}/plain", ""], ["empty"]),
    Case("option without its use", "predict", "{}/plain {}/images --root {}", ["--root is for a CSV"]),
    Case("zero", "predict", "{}/plain {}/images --batch-size 0", ["--batch-size 0: expected 1 or more"]),
    Case(
        "text in a number",
        "predict",
        "{}/plain {}/images --batch-size many",
        ["--batch-size many: expected a whole number"],
    ),
    Case("fraction", "predict", "{}/plain {}/images --batch-size 1.5", ["--batch-size 1.5: expected a whole number"]),
    Case("folder instead of a file", "predict", "{}/plain {}/images --out {}/folder", ["--out {}/folder"]),
    Case("contradiction", "predict", "{}/plain {}/images --names --indices", ["--indices", "not allowed with"]),
    Case("unknown choice", "predict", "{}/plain {}/images --on-bad skip", ["--on-bad", "skip", "empty"]),
    Case("argument is missing", "predict", "{}/plain", ["images"]),
]
OTHERS = [
    Case("argument is missing", "predict export ensemble soup", "", ["required"]),
    Case("unknown option", "ensemble soup screen lr_find", "{}/plain --otu x", ["--otu"]),
    Case("misspelt option", "predict", "{}/plain {}/images --scoers", ["--scoers", "did you mean --scores?"]),
    Case("value is missing", "predict export ensemble soup", "{}/plain --out", ["--out: expected one argument"]),
    Case("unknown format", "export", "{}/plain --to tflite", ["--to", "tflite", "onnx"]),
    Case("option is missing", "export", "{}/plain", ["--to"]),
    Case("folder instead of a file", "export", "{}/two --to torch --out {}/folder", ["{}"]),
    Case("zero", "ensemble", "{}/two --size 0", ["--size 0: expected 1 or more"]),
    Case("text in a number", "ensemble", "{}/two --size ten", ["--size ten: expected a whole number"]),
    Case("unknown model", "soup", "{}/two --model resnet19", ["resnet19"]),
    Case("zero", "lr_find", "--steps 0", ["--steps 0: expected 10 or more"]),
    Case("text in a number", "lr_find", "--low slow", ["--low slow: expected a number"]),
    Case("range upside down", "lr_find", "--low 1 --high 0.1", ["--low, --high: expected 0 < low < high"]),
    Case("not a number", "lr_find", "--low nan", ["--low, --high: expected 0 < low < high"]),
    Case("infinite", "lr_find", "--high inf", ["--low, --high: expected 0 < low < high"]),
    Case("several values", "lr_find", "model=resnet18,resnet50", ["model=resnet18,resnet50"]),
    Case("search instead of a list", "screen", "optimizer.lr=interval(0,1)", ["interval"]),
    Case("recipe of a search", "screen", "sweeps=tpe_resnet", ["a search has no list of candidates"]),
]


@pytest.mark.parametrize("door, case", each(*RUNS, *AGAIN, *SWEEPS, *PREDICT, *OTHERS))
def test_program_arguments(place: Place, door: str, case: Case) -> None:
    place.refused(door, case.arguments, case.words)
