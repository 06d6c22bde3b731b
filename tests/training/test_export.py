"""A trained network as a file for other programs, by `python -m training.export`, and its latency."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, ROOT, Door, run_folders
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import load_study
from outcome import TINY, outcome, record_of
from PIL import Image
from sweeping import small, tree

from analysis.report import main as report
from training.export import main

pytestmark = pytest.mark.slow

# What somebody does who has the file, its metadata, and images; neither torch nor finegrid.
OTHER_PROGRAM = """
import json, sys
from pathlib import Path
import numpy, onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
side, images = int(about["stored_size"]), []
for file in sorted(Path(sys.argv[2]).glob("*/*.png")):
    image = Image.open(file).convert("RGB")
    short = min(image.size)
    left, top = (image.width - short) / 2, (image.height - short) / 2
    box = (left, top, left + short, top + short) if about["resize"] == "crop" else None
    images.append(numpy.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box)).transpose(2, 0, 1))
found = []
while images:
    size = 5 if len(found) else 1
    found += session.run(None, {"images": numpy.stack(images[:size])})[0].tolist()
    images = images[size:]
assert "torch" not in sys.modules and "training" not in sys.modules
print(json.dumps({"logits": found, "classes": json.loads(about["classes"])}))
"""
SHORT = ["data.size=12", "trainer.batch_size=8", "optimizer.lr=0.02", "tracking=none", "trainer.threads=1"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of two colours, wider than high, in class folders with given splits."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 7), ("test", 3)):
        for label, colour in (("blue", (90, 90, 150)), ("red", (150, 90, 90))):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + random.normal(0, 90, (20, 26, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}-{number}.png")
    return tmp_path / "photos"


def trained(train: Door, tmp_path: Path, photos: Path, *more: str) -> Path:
    result = train(TINY, "data=folder", f"data.root={photos}", *SHORT, "trainer.epochs=4", *more)
    assert result.code == 0, result.err
    return run_folders(tmp_path / "outputs")[0]


def val_of(folder: Path) -> np.ndarray:
    logits: np.ndarray = np.load(folder / "predictions_val.npz")["logits"]
    assert set(logits.argmax(1).tolist()) == {0, 1}, "or these tests show little"
    return logits


def test_onnxruntime_alone_answers_as_the_run_did(
    train: Door, tmp_path: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Crop and normalization are inside, and any batch goes through."""
    cropped = ["data.resize=crop", "data.stored_size=16", "trainer.precision=fp32"]
    folder = trained(train, tmp_path, photos, *cropped)
    assert main([str(folder), "--to", "onnx"]) == 0
    assert "answers as the run did on all 14 val images" in capfd.readouterr().out
    command = [sys.executable, "-c", OTHER_PROGRAM, str(folder / "model.onnx"), str(photos / "val")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers["classes"] == ["blue", "red"]
    assert np.allclose(answers["logits"], val_of(folder), atol=1e-4)
    record = record_of(folder)
    (entry,) = record["exports"]
    assert (entry["to"], entry["file"], entry["val_images"], entry["ties"]) == ("onnx", "model.onnx", 14, 0)
    assert entry["largest_difference"] <= entry["allowed_difference"] and entry["bytes"] > 1000
    assert {"val", "test", "config"} <= set(record), "all else is still there"

    elsewhere = tmp_path / "new" / "net.onnx"
    assert main([str(folder), "--to", "onnx", "--out", str(elsewhere)]) == 0
    assert main([str(folder), "--to", "onnx"]) == 0
    assert [one["file"] for one in record_of(folder)["exports"]] == [str(elsewhere), "model.onnx"], "each once"
    assert elsewhere.read_bytes() == (folder / "model.onnx").read_bytes()
    before = (folder / "record.json").read_bytes()
    assert main([str(folder), "--to", "onnx", "--out", str(folder / "record.json")]) == 2
    assert "record.json is there and is no .onnx file" in capfd.readouterr().err
    assert (folder / "record.json").read_bytes() == before


def test_a_torch_program_needs_no_code_of_ours(train: Door, tmp_path: Path, photos: Path) -> None:
    """Trained in bf16; what that rounded is allowed for."""
    folder = trained(train, tmp_path, photos, "data.resize=stretch", "trainer.precision=bf16")
    assert main([str(folder), "--to", "torch"]) == 0
    extra = {"finegrid.json": ""}
    module = torch.export.load(folder / "model.pt2", extra_files=extra).module()
    about = json.loads(extra["finegrid.json"])
    assert json.loads(about["classes"]) == ["blue", "red"] and about["stored_size"] == "12"
    files = sorted((photos / "val").glob("*/*.png"))
    pixels = [np.asarray(Image.open(file).resize((12, 12), Image.Resampling.BILINEAR)) for file in files]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    found = torch.cat([module(part) for part in (images[:1], images[1:6], images[6:])]).detach().numpy()
    stored, (entry,) = val_of(folder), record_of(folder)["exports"]
    assert np.abs(found - stored).max() == pytest.approx(entry["largest_difference"], rel=1e-3)
    assert 1e-3 * np.abs(stored).max() < entry["largest_difference"] < entry["allowed_difference"], "bf16, not fp32"
    assert (found.argmax(1) != stored.argmax(1)).sum() == entry["ties"]


def test_what_does_not_answer_as_the_run_did_is_not_kept(
    train: Door,
    shell: Door,
    tmp_path: Path,
    photos: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = trained(train, tmp_path, photos, "trainer.precision=fp32")
    file, before = folder / "predictions_val.npz", record_of(folder)
    good, content = file.read_bytes(), dict(np.load(file))

    def refused(words: str, kind: str = "onnx", where: Path = folder) -> None:
        capfd.readouterr()
        assert main([str(where), "--to", kind]) == 2
        err = capfd.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1 and words in err, err
        assert not [*where.rglob("*model*")] and not [*where.rglob("*.part")]

    swapped = content["logits"][:, ::-1]
    for logits, words in ((swapped, "in another class"), (content["logits"] * 1.01, "from the run's")):
        np.savez(file, **(content | {"logits": logits}))
        refused(words)
        refused(words, "torch")
    np.savez(file, **(content | {"logits": content["logits"][:, :1]}))
    refused("2 classes")
    np.savez(file, **(content | {"label": 1 - content["label"]}))
    refused("its labels")
    file.write_bytes(good[:100])
    refused("predictions_val.npz")
    file.write_bytes(good)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "onnxscript", None)
        refused("--to onnx needs onnxscript: pip install 'finegrid[export]'")
    refused("no such run folder", where=tmp_path / "nowhere")
    picture = photos / "val/red/red-0.png"
    Image.open(picture).rotate(180).save(picture)
    program = ["-m", "training.export", str(folder), "--to", "torch"]
    later = shell(*program, PYTHONPATH=str(ROOT / "tests"))  # this process knows the images as they were
    assert later.code == 2 and later.err.count("\n") == 1 and "the images have changed" in later.err
    assert record_of(folder) == before and not (folder / "model.pt2").exists()


def test_a_network_that_cannot_be_traced_is_one_line(
    train: Door, tmp_path: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = trained(train, tmp_path, photos, "model._target_=own_parts.Curious", "trainer.precision=fp32")
    for kind in ("onnx", "torch"):
        capfd.readouterr()
        assert main([str(folder), "--to", kind]) == 2
        err = capfd.readouterr().err
        assert err.startswith(f"error: {folder}: can't be exported to {kind}: ") and err.count("\n") == 1, err
    assert not [*folder.glob("*model*")] and "exports" not in record_of(folder)


def test_a_swin(train: Door, shell: Door, tmp_path: Path) -> None:
    few = ["data.val_fraction=0.02", "data.test_fraction=0.02", "trainer.batch_size=8", "trainer.epochs=1"]
    few += ["debug.max_steps=2", "trainer.precision=fp32", "trainer.threads=1", "tracking=none"]
    result = train("model=swin_t", *few)
    assert result.code == 0, result.err
    folder = run_folders(tmp_path / "outputs")[0]
    done = shell("-m", "training.export", str(folder), "--to", "onnx", OMP_NUM_THREADS="1")
    assert (done.code, done.err) == (0, ""), done
    n = record_of(folder)["val"]["n"]
    assert f"answers as the run did on all {n} val images" in done.out and "batch_32: " in done.out
    assert (folder / "model.onnx").stat().st_size > 100e6, "the weights are inside"


@pytest.mark.parametrize("name", ["test_vit.r160_in1k", "test_convnext.r160_in1k"])
def test_a_model_of_timm(
    train: Door, tmp_path: Path, photos: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """As either file; `compare` asks it about batches of other sizes than it was traced with."""
    small = ["data.size=32", "trainer.precision=fp32", "debug.max_steps=2", "trainer.epochs=1", "trainer.batch_size=8"]
    common = ["data=folder", f"data.root={photos}", "tracking=none", "trainer.threads=1"]
    result = train("model=timm", f"model.name={name}", *small, *common)
    assert result.code == 0, result.err
    (folder,) = run_folders(tmp_path / "outputs")
    for kind in ("onnx", "torch"):
        assert main([str(folder), "--to", kind]) == 0, capfd.readouterr().err
        assert "answers as the run did on all 14 val images" in capfd.readouterr().out


def test_latency_goes_to_the_record_and_the_report(
    train: Door, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def columns() -> list[dict[str, str]]:
        capfd.readouterr()
        assert report([str(tmp_path / "outputs"), "--format", "csv"]) == 0
        return list(csv.DictReader(io.StringIO(capfd.readouterr().out)))

    command = [*QUICK, TINY, "tracking=none"]
    assert train(*command).code == 0
    (folder,) = run_folders(tmp_path / "outputs")
    plain, weights = outcome(folder), (folder / "best.safetensors").stat().st_mtime_ns
    assert "latency_ms" not in record_of(folder) and "latency_ms" not in columns()[0]
    assert report([str(folder), "--sort", "latency_ms"]) == 2
    assert "tracking.latency=true measures it" in capfd.readouterr().err

    assert train(*command, "tracking.latency=true").code == 0
    assert run_folders(tmp_path / "outputs") == [folder], "the same identity"
    assert (folder / "best.safetensors").stat().st_mtime_ns == weights, "measured, not trained again"
    latency = record_of(folder)["latency_ms"]
    assert set(latency) == {"batch_1", "batch_32"}
    assert all(0 < one["median"] <= one["p95"] < 10_000 for one in latency.values())
    (row,) = columns()
    assert float(row["latency_ms"]) == pytest.approx(latency["batch_1"]["median"], abs=1e-4)
    before = tree(tmp_path / "outputs")
    assert train(*command, "tracking.latency=true").code == 0
    changed = {name for name, when in tree(tmp_path / "outputs").items() if before.get(name) != when}
    assert not [name for name in changed if name.endswith("record.json")], "measured once"

    assert train(*command, "tracking.latency=true", "sweep.name=fresh").code == 0
    fresh = run_folders(tmp_path / "outputs" / "fresh")[0]
    assert record_of(fresh)["latency_ms"]["batch_1"]["median"] > 0
    measured = outcome(fresh)
    del (
        measured["record"]["latency_ms"],
        measured["record"]["config"]["tracking"],
        plain["record"]["config"]["tracking"],
    )
    assert measured == plain, "what is measured changes no result"

    (fresh / "model.onnx").touch()
    (fresh / "record.json").write_text(json.dumps(record_of(fresh) | {"status": "failed"}))
    assert train(*command, "sweep.name=fresh").code == 0
    assert not (fresh / "model.onnx").exists(), "of the network before"


def test_latency_as_an_objective(train: Door, tmp_path: Path) -> None:
    """It is measured without being asked for, for a run that was there without it too."""
    command = [*small(tmp_path, 1), "hydra.launcher.slots=1", "+model.kwargs.width=choice(4,40000)"]
    grid = [argument.replace("choice(4,40000)", "4") for argument in command]
    assert train(*grid).code == 0
    (there,) = run_folders(tmp_path / "outputs")
    search = [
        "hydra/sweeper=optuna_async",
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.objective=[val_acc,latency_ms]",
    ]
    off = train(*command, *search, "tracking.latency=false", "sweep.name=off")
    assert off.code == 2 and "objective=latency_ms needs tracking.latency=true" in off.err
    assert not (tmp_path / "outputs" / "off").exists()
    result = train(*command, *search)
    assert result.code == 0, result.err
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "outputs" / "grid" / "study.journal")))
    study = load_study(study_name="grid", storage=journal)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    found = {trial.params["+model.kwargs.width"]: trial.values for trial in study.trials}
    for trial in study.trials:
        record = record_of(tmp_path / "outputs" / "grid" / trial.user_attrs["run_folder"])
        assert trial.values == [record["val"]["acc"], record["latency_ms"]["batch_1"]["median"]]
    assert found[40000][1] > found[4][1], "ten thousand times as wide, and slower"
    assert len(run_folders(tmp_path / "outputs")) == 2 and "latency_ms" in record_of(there)
    assert "latency_ms" in result.out.partition("Pareto front")[2]


@pytest.mark.slow
def test_a_full_disk_is_one_line(train: Door, shell: Door, tmp_path: Path, photos: Path) -> None:
    """In a process of its own, which torch would end: no file may get longer than 4 KB, as on a disk that is full."""
    folder = trained(train, tmp_path, photos)
    full = "import resource as r, sys; r.setrlimit(r.RLIMIT_FSIZE, (4096, r.RLIM_INFINITY)); "
    program = full + "from training.export import main; sys.exit(main(sys.argv[1:]))"
    before = tree(folder)
    result = shell("-c", program, str(folder), "--to", "torch", PYTHONPATH=str(ROOT / "tests"))
    assert result.code == 2 and result.err.count("\n") == 1, result
    assert result.err.startswith(f"error: {folder / 'model.pt2'}: ") and tree(folder) == before
