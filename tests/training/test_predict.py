"""Predictions for unlabelled images, by `python -m training.predict`."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Door, run_folders
from outcome import TINY
from PIL import ExifTags, Image
from safetensors.torch import save_file

from training.models.checkpoint_file import read_checkpoint
from training.models.trained_model import TrainedModel, weights_file
from training.predict import main, predict


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of two colours, in class folders with given splits; the test images are what is predicted."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 5)):
        for label, colour in (("blue", (20, 20, 220)), ("red", (220, 20, 20))):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + random.normal(0, 30, (20, 24, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}-{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def run_folder(train: Door, tmp_path: Path, photos: Path) -> Path:
    """A run on them."""
    quick = ["data.size=16", "trainer.batch_size=8", "trainer.epochs=8", "optimizer.lr=0.02", "trainer.precision=fp32"]
    result = train(TINY, "data=folder", f"data.root={photos}", *quick, "tracking=none", "trainer.threads=1")
    assert result.code == 0, result.err
    return run_folders(tmp_path / "outputs")[0]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_same_answers_as_the_run_itself(
    run_folder: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ID_result.csv"
    assert main([str(run_folder), str(photos / "test"), "--out", str(out), "--indices"]) == 0
    assert "10 predictions" in capfd.readouterr().out
    assert out.read_text().startswith("ID,label\n")
    stored = np.load(run_folder / "predictions_test.npz")
    names = [f"{Path(str(name)).parent.name}/{Path(str(name)).stem}" for name in stored["id"]]
    assert [row["ID"] for row in rows(out)] == names == sorted(names)
    assert [int(row["label"]) for row in rows(out)] == stored["logits"].argmax(1).tolist()
    assert set(stored["logits"].argmax(1).tolist()) == {0, 1}, "or this test shows little"

    for form in ([], ["--names"]):
        capfd.readouterr()
        assert main([str(run_folder), str(photos / "test"), "--out", str(out), "--batch-size", "3", *form]) == 0
        assert "class names; their indices are in classes.json" in capfd.readouterr().out
        assert [row["label"] for row in rows(out)] == [["blue", "red"][i] for i in stored["logits"].argmax(1)]
    assert json.loads((tmp_path / "classes.json").read_text()) == {"0": "blue", "1": "red"}
    assert sorted(file.name for file in tmp_path.glob("*.*")) == ["ID_result.csv", "classes.json"], "no part is left"


def test_the_id_in_the_report_names_the_run(
    run_folder: Path, photos: Path, tmp_path: Path, train: Door, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """Of two seeds the best by val; as the start of another run, too."""
    monkeypatch.chdir(tmp_path)
    identity = run_folder.parent.name[-10:]
    worse = shutil.copytree(run_folder, run_folder.with_name("seed=1")) / "record.json"
    record = json.loads(worse.read_text())
    worse.write_text(json.dumps(record | {"seed": 1, "val": record["val"] | {"acc": record["val"]["acc"] - 1}}))
    state, about = read_checkpoint(run_folder / "best.safetensors")
    worse.with_name("best.safetensors").write_bytes(weights_file(state, about | {"seed": 1}))
    for name, seed in ((identity[:5], 0), (f"{identity[:5]}/seed=1", 1), (str(run_folder.parent), 0)):
        capfd.readouterr()
        assert main([name, str(photos / "test"), "--out", "out.csv"]) == 0 and len(rows(Path("out.csv"))) == 10
        assert f"{run_folder.with_name(f'seed={seed}').relative_to(tmp_path)}" in capfd.readouterr().err
    plan = ["-m", TINY, "data=folder", f"data.root={photos}", "data.size=16", "trainer.threads=1", "sweep.plan=true"]
    begun = train(*plan, "weights=checkpoint", f"weights.path={identity[:5]}", "seed=0,1")
    assert begun.code == 0 and begun.out.count("tiny-checkpoint-") == 2, begun.err
    assert begun.out.count("data.root=") == 1, "what the runs share is said once"
    shutil.copytree(run_folder.parent, run_folder.parent.with_name(f"other-{identity[:5]}fffff"))
    capfd.readouterr()
    assert main([identity[:5], str(photos / "test"), "--out", "out.csv"]) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and "2 configurations" in told and identity in told


def test_scores_are_probabilities_in_columns_of_the_classes(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    assert main([str(run_folder), str(photos / "test"), "--out", str(out), "--scores"]) == 0
    logits = np.load(run_folder / "predictions_test.npz")["logits"]
    expected = torch.from_numpy(logits).double().softmax(1).numpy()
    given = np.array([[float(row["probability_blue"]), float(row["probability_red"])] for row in rows(out)])
    assert np.allclose(given, expected, atol=1e-4) and np.allclose(given.sum(1), 1, atol=1e-5)
    assert [row["label"] for row in rows(out)] == [["blue", "red"][i] for i in given.argmax(1)]
    (photos / "test/blue/blue-0.png").write_text("<html>404</html>")
    assert main([str(run_folder), str(photos / "test"), "--out", str(out), "--scores", "--indices"]) == 1
    assert list(rows(out)[0].values()) == ["blue/blue-0", "", "", ""]
    assert list(rows(out)[1]) == ["ID", "label", "probability_0", "probability_1"]


def test_images_of_every_mode_and_names_that_would_collide(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for mode, name in (("L", "a.png"), ("RGBA", "b.png"), ("P", "c.gif"), ("CMYK", "d.jpg"), ("I;16", "e.png")):
        Image.new(mode, (30, 20)).save(folder / name)
    out = tmp_path / "odd.csv"
    assert main([str(run_folder), str(folder), "--out", str(out)]) == 0
    assert [row["ID"] for row in rows(out)] == ["a", "b", "c", "d", "e"]
    Image.new("L", (30, 20)).save(folder / "a.jpg")
    assert main([str(run_folder), str(folder), "--out", str(out)]) == 0
    assert [row["ID"] for row in rows(out)][:2] == ["a.jpg", "a.png"], "two a: the ending is kept"


def test_mistakes_are_one_line(
    run_folder: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    empty, bad = tmp_path / "empty", tmp_path / "bad"
    empty.mkdir()
    bad.mkdir()
    (bad / "x.jpg").write_text("no picture")
    out = tmp_path / "never.csv"
    texts = {
        "label.csv": "image,label\na.png,cat\n",
        "twice.csv": "path,path\na.png,b.png\n",
        "none.csv": "path\n",
        "gone.csv": "path\na.png\nb.png\n",
        "again.csv": "path\nbad/x.jpg\nbad/./x.jpg\n",
        "comma.csv": "path,note\nbad/x.jpg,one, two\n",
        "gap.csv": "path,note\nbad/x.jpg,one\n,two\n",
    }
    lists = {name: tmp_path / name for name in texts}
    for name, text in texts.items():
        lists[name].write_text(text)
    run_of_images = [str(run_folder), str(photos)]
    cases = [
        ([str(run_folder), str(lists["label.csv"])], "its first line has image,label, expected one column path"),
        ([str(run_folder), str(lists["twice.csv"])], "its first line has path,path, expected one column path"),
        ([str(run_folder), str(lists["none.csv"])], "no rows below its header"),
        ([str(run_folder), str(lists["gone.csv"])], "none of its 2 paths exists in"),
        ([str(run_folder), str(lists["again.csv"])], "line 3: bad/./x.jpg is on line 2 already"),
        ([str(run_folder), str(lists["comma.csv"])], "line 2: 3 cells, expected 2"),
        ([str(run_folder), str(lists["gap.csv"])], "line 3: the path is empty"),
        ([str(run_folder), str(lists["gone.csv"]), "--root", str(tmp_path / "nowhere")], "--root"),
        ([*run_of_images, "--root", str(tmp_path)], "--root is for a CSV"),
        ([str(run_folder), str(tmp_path / "*.png")], "no image matches"),
        ([str(run_folder), str(tmp_path / "*.csv")], "no image matches (no images: 7 .csv)"),
        ([str(run_folder), ""], "empty"),
        ([str(run_folder), str(run_folder), str(photos)], "is a run folder"),
        ([str(run_folder), str(bad), "--on-bad", "raise"], "x.jpg: not an image"),
        ([str(run_folder), str(empty)], "no images"),
        ([str(run_folder), str(tmp_path / "nowhere")], "no such folder"),
        ([str(tmp_path / "nowhere"), str(bad)], "no such run folder"),
        ([str(empty), str(bad)], "best.safetensors"),
        ([str(run_folder), str(bad), "--batch-size", "0"], "--batch-size 0"),
    ]
    for arguments, words in cases:
        capfd.readouterr()
        assert main([*arguments, "--out", str(out)]) == 2, words
        err = capfd.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1 and words in err, err
    assert not list(tmp_path.glob("never*")) and not (tmp_path / "classes.json").exists()


def test_nothing_else_is_overwritten(
    run_folder: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listing, other = tmp_path / "list.csv", tmp_path / "classes.json"
    listing.write_text("path\nphotos/test/red/red-0.png\n")
    assert main([str(run_folder), str(listing), "--out", str(listing)]) == 2
    assert "the file that the images are taken from" in capfd.readouterr().err
    assert main([str(run_folder), str(listing), "--out", str(photos)]) == 2
    assert "expected a file" in capfd.readouterr().err
    mine = tmp_path / "record.json"
    mine.write_text('{"schema": 1}')
    assert main([str(run_folder), str(listing), "--out", str(mine)]) == 2
    assert "record.json is there and is not of predictions" in capfd.readouterr().err
    assert mine.read_text() == '{"schema": 1}'
    (tmp_path / "out.csv").touch()  # as mktemp does
    assert main([str(run_folder), str(listing), "--out", str(tmp_path / "out.csv")]) == 0
    assert main([str(run_folder), str(listing), "--out", str(tmp_path / "out.csv")]) == 0, "predictions are replaced"
    (tmp_path / "out.csv").unlink()
    capfd.readouterr()
    other.write_text('["my", "own"]')
    assert main([str(run_folder), str(listing), "--out", str(tmp_path / "out.csv")]) == 2
    assert "classes.json is there and is not of predictions" in capfd.readouterr().err
    assert other.read_text() == '["my", "own"]' and not (tmp_path / "out.csv").exists()
    other.write_text('{"0": "cat"}')
    assert main([str(run_folder), str(listing), "--out", str(tmp_path / "out.csv")]) == 0
    assert "classes.json: replaced" in capfd.readouterr().err
    assert json.loads(other.read_text()) == {"0": "blue", "1": "red"}


def test_it_goes_on_after_bad_images(
    run_folder: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "some"
    shutil.copytree(photos / "test", folder)
    (folder / "blue/page.jpg").write_text("<html>404</html>")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "red/cut.png").write_bytes((folder / "red/red-0.png").read_bytes()[:200])
    out = tmp_path / "some.csv"
    capfd.readouterr()
    assert main([str(run_folder), str(folder), "--out", str(out), "--batch-size", "2"]) == 1
    said = capfd.readouterr()
    labels = {row["ID"]: row["label"] for row in rows(out)}
    assert len(labels) == 14 and [name for name in labels if not labels[name]] == [
        "blue/page",
        "gone",
        "pipe",
        "red/cut",
    ]
    assert {labels[f"{name}/{name}-{number}"] for name in ("blue", "red") for number in range(5)} == {"blue", "red"}
    assert said.out.startswith("10 predictions in ") and said.err.count("no label: ") == 4
    assert all(f"{folder / name}: " in said.err for name in ("blue/page.jpg", "gone.png", "pipe.png", "red/cut.png"))
    assert "4 of 14 images can't be read: their labels are empty" in said.err
    before = out.read_bytes()
    assert main([str(run_folder), str(folder), "--out", str(out), "--on-bad", "raise"]) == 2
    err = capfd.readouterr().err
    assert (
        err.startswith("error: ")
        and err.count("\n") == 1
        and "page.jpg: an HTML page, as a failed download leaves it" in err
    )
    assert out.read_bytes() == before and not list(tmp_path.glob("some.csv?*"))


def test_the_same_files_as_training_and_what_is_left_out(
    run_folder: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Links to folders are followed, even in a circle; endings count in any case; the system's files don't."""
    new, elsewhere = tmp_path / "new", tmp_path / "elsewhere"
    shutil.copytree(photos / "test/red", elsewhere)
    new.mkdir()
    (new / "more").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(new)
    shutil.copy(elsewhere / "red-0.png", new / "UPPER.PNG")
    shutil.copy(elsewhere / "red-0.png", new / "scan")
    (new / "IMG_1.HEIC").write_bytes(b"x")
    (new / "@eaDir").mkdir()
    shutil.copy(elsewhere / "red-0.png", new / "@eaDir/thumb.png")
    (new / "._UPPER.PNG").write_bytes(b"x")
    out = tmp_path / "new.csv"
    capfd.readouterr()
    assert main([str(run_folder), str(new), "--out", str(out)]) == 0
    assert [row["ID"] for row in rows(out)] == ["UPPER", *(f"more/red-{number}" for number in range(5))]
    said = capfd.readouterr().err
    assert f"no images, not used in {new}: 1 .heic, 1 without extension\n" in said
    assert f"system and hidden files and folders, not used in {new}: " in said
    assert "1 @eaDir" in said and "1 ._*" in said


def test_files_patterns_and_lists(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    out, red = tmp_path / "out.csv", photos / "test/red"
    shutil.copy(red / "red-0.png", tmp_path / "scan")

    def ids(*arguments: str) -> list[str]:
        assert main([str(run_folder), *arguments, "--out", str(out)]) == 0
        assert all(row["label"] in ("red", "blue") for row in rows(out))
        return [row["ID"] for row in rows(out)]

    assert ids(str(red / "red-1.png")) == ["red-1"]
    assert ids(str(tmp_path / "scan")) == ["scan"], "named, so it is read"
    assert ids(str(red / "red-1.png"), str(red / "red-0.png"), str(red / "red-1.png")) == ["red-1", "red-0"]
    assert ids(f"{photos}/test/*/*-[01].png") == ["blue/blue-0", "blue/blue-1", "red/red-0", "red/red-1"]
    assert ids(f"{photos}/t*/red") == [
        *(f"test/red/red-{number}" for number in range(5)),
        *(f"train/red/red-{number}" for number in [0, 1, 10, 11, *range(2, 10)]),
    ]
    assert len(ids(f"{photos}/**", str(photos))) == 42, "each once"
    both = [str(photos / split / "red") for split in ("val", "test")]
    assert ids(*both)[::4] == [f"{both[0]}/red-0.png", f"{both[1]}/red-0.png", f"{both[1]}/red-4.png"]
    brackets = tmp_path / "red [2024]"
    shutil.copytree(red, brackets)
    assert len(ids(str(brackets))) == 5, "a folder of that name, no pattern"

    listing = tmp_path / "list.csv"
    listing.write_text("\ufeffnote;Path\na;photos/test/red/red-4.png\nb;photos\\test\\blue\\blue-0.png\n")
    assert ids(str(listing)) == ["photos/test/red/red-4.png", "photos\\test\\blue\\blue-0.png"], (
        "in its order, as written"
    )
    listing.write_text("path\nred-4.png\nred-1.png\n")
    assert ids(str(listing), "--root", str(red)) == ["red-4.png", "red-1.png"]
    listing.write_text(f"path\nphotos/test/red/red-4.png\nmissing.png\n{'x' * 300}.png\n")
    assert main([str(run_folder), str(listing), "--out", str(out)]) == 1
    assert [bool(row["label"]) for row in rows(out)] == [True, False, False]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems have no such names")
def test_names_that_are_not_utf8(
    run_folder: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = os.fsencode(tmp_path) + b"/na\xefve"
    Path(os.fsdecode(folder)).mkdir()
    shutil.copy(os.fsencode(photos / "test/red/red-0.png"), folder + b"/caf\xe9.png")
    shutil.copy(os.fsencode(photos / "test/red/red-1.png"), folder + b"/th\xe9.png")
    Path(os.fsdecode(folder + b"/b\xe4d.png")).write_text("no picture")
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/sort\xe9.csv"))
    capfd.readouterr()
    assert main([str(run_folder), os.fsdecode(folder), "--out", str(out)]) == 1
    assert [row["ID"] for row in rows(out)] == ["b\\udce4d", "caf\\udce9", "th\\udce9"]
    said = capfd.readouterr()
    assert "sort\\udce9.csv" in said.out and "na\\udcefve/b\\udce4d.png: not an image" in said.err
    listing = tmp_path / "list.csv"
    listing.write_bytes(b"path\nna\xefve/caf\xe9.png\n")
    assert main([str(run_folder), str(listing), "--out", str(out)]) == 0
    assert [row["ID"] for row in rows(out)] == ["na\\udcefve/caf\\udce9.png"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_what_was_predicted_before_a_kill_is_there(
    run_folder: Path, photos: Path, tmp_path: Path, end: signal.Signals
) -> None:
    """Rows are written as they come, to a file that says by its name that it is partial; an older one stays whole."""
    out, part = tmp_path / "out.csv", tmp_path / "out.csv.part"
    out.write_text("ID,label\nolder,red\n")
    many = tmp_path / "many"
    many.mkdir()
    for number in range(5000):  # so many that none of the sizes of machines gets to the end before the signal
        (many / f"{number:05}.png").hardlink_to(photos / "test/red/red-0.png")
    words = [sys.executable, "-m", "training.predict", str(run_folder), str(many), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    with subprocess.Popen([*words, "--batch-size", "1"], env=environment, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (part.exists() and part.read_text().count("\n") > 3):
            time.sleep(0.01)
        process.send_signal(end)
        err = process.communicate()[1]
    assert process.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL)
    assert out.read_text() == "ID,label\nolder,red\n"
    complete = part.read_text().rpartition("\n")[0].splitlines()
    assert complete[0] == "ID,label" and complete[1:4] == ["00000,red", "00001,red", "00002,red"]
    if end == signal.SIGINT:
        assert f"of 5000 rows are in {part}\n" in err
    assert main([str(run_folder), str(photos / "test"), "--out", str(out)]) == 0
    assert len(rows(out)) == 10 and not part.exists(), "the next start replaces it"


def test_as_a_program(run_folder: Path, tmp_path: Path, photos: Path, shell: Door) -> None:
    """In a folder with other things in it, and subfolders; the run folder's path is all that it is told."""
    images = tmp_path / "my photos"
    shutil.copytree(photos / "test/red", images / "sub")
    shutil.copy(photos / "test/blue/blue-0.png", images / "zz.PNG")
    (images / "notes.txt").write_text("no image")
    (images / ".thumbs").mkdir()
    shutil.copy(images / "zz.PNG", images / ".thumbs/hidden.png")
    out = tmp_path / "new folder/answers.csv"
    arguments = ["-m", "training.predict", str(run_folder), str(images), "--names", "--out", str(out)]
    result = shell(*arguments, PYTHONPATH=str(ROOT / "tests"))  # where the run's own model is
    assert result.code == 0, result
    left_out = [
        f"no images, not used in {images}: 1 .txt",
        f"system and hidden files and folders, not used in {images}",
    ]
    assert result.err == f"{left_out[0]}\n{left_out[1]}: 1 .thumbs\n"
    assert result.out == f"6 predictions in {out} (class names; their indices are in classes.json beside it)\n"
    labels = ["red"] * 5 + ["blue"]
    ids = [f"sub/red-{number}" for number in range(5)] + ["zz"]
    assert out.read_text() == "".join(f"{a},{b}\n" for a, b in [("ID", "label"), *zip(ids, labels, strict=True)])


def test_a_checkpoint_of_others_is_no_run(run_folder: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_file({"weight": torch.zeros(2)}, run_folder / "best.safetensors")
    capfd.readouterr()
    assert main([str(run_folder), str(photos / "test")]) == 2
    said = capfd.readouterr().err
    assert said == f"error: {run_folder}/best.safetensors: not written by a run (no classes in its metadata)\n"


def test_an_image_lies_as_it_was_held(run_folder: Path, tmp_path: Path) -> None:
    """A photograph with an EXIF rotation gets the label of the same one stored upright."""
    half = Image.new("RGB", (40, 30), (220, 20, 20))
    half.paste((20, 20, 220), (0, 0, 40, 12))
    folder = tmp_path / "turned"
    folder.mkdir()
    half.save(folder / "a.png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    half.rotate(180).save(folder / "b.png", exif=exif)
    trained = TrainedModel.load(run_folder)
    seen = []
    trained.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    list(predict(trained, [folder / "a.png", folder / "b.png"]))
    assert torch.equal(seen[0][0], seen[0][1])


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_an_exported_file_answers_as_its_run(run_folder: Path, photos: Path, tmp_path: Path, kind: str) -> None:
    """Far from its run folder, which is gone; images of another shape than those of training among them."""
    from training.export import main as export

    file, out = tmp_path / ("moved.onnx" if kind == "onnx" else "moved.pt2"), tmp_path / "ID_result.csv"
    assert export([str(run_folder), "--to", kind, "--out", str(file)]) == 0
    Image.new("RGBA", (90, 30), (250, 10, 10, 255)).save(photos / "test" / "red" / "wide.png")
    command = [str(photos / "test"), "--out", str(out), "--scores", "--batch-size", "3"]
    assert main([str(run_folder), *command]) == 0
    before = rows(out)
    run_folder.rename(tmp_path / "away")
    assert main([str(file), *command]) == 0
    assert [(row["ID"], row["label"]) for row in rows(out)] == [(row["ID"], row["label"]) for row in before]
    for one, other in zip(rows(out), before, strict=True):
        assert float(one["probability_red"]) == pytest.approx(float(other["probability_red"]), abs=1e-3)


def test_files_that_are_no_exports(tmp_path: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("model.onnx", "model.pt2"):
        for content, words in ((None, "no such file"), (b"nothing", "can't be read as")):
            if content is not None:
                (tmp_path / name).write_bytes(content)
            capfd.readouterr()
            assert main([str(tmp_path / name), str(photos), "--out", str(tmp_path / "out.csv")]) == 2
            said = capfd.readouterr().err
            assert words in said and said.startswith("error: ") and said.count("\n") == 1, said
