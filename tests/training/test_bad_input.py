"""A user's mistake: exit code 2, no folder, and one line on stderr that says what is wrong and what would be right."""

import contextlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from conftest import QUICK, Door, Result, run_folders
from pictures import table, tree, write
from safetensors.torch import save_file

from training.engine.prepare import _check_weights
from training.errors import ConfigError

NO_SERVER = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights come from an empty cache folder, and nowhere else."""
    _check_weights.cache_clear()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", NO_SERVER)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr("urllib.request._opener", None)  # it remembers the proxies of who asked first


@pytest.fixture
def complaint(train: Door, tmp_path: Path) -> Callable[..., str]:
    """The one line that train.py says to these arguments. Anything more than that is a failure."""

    def call(*arguments: str) -> str:
        return complaint_of(train(*arguments), tmp_path / "outputs")

    return call


def complaint_of(result: Result, outputs: Path) -> str:
    assert result.code == 2, result
    assert result.err.startswith("error: ") and result.err.count("\n") == 1, result.err
    assert "error: " not in result.out and "Traceback" not in result.out
    assert not outputs.exists()
    return result.err.removeprefix("error: ").rstrip("\n")


def test_a_good_line_leaves_a_run(train: Door, tmp_path: Path) -> None:
    result = train(*QUICK)
    assert result.code == 0 and result.err == ""
    assert len(run_folders(tmp_path / "outputs")) == 1


# ---- keys and choices


@pytest.mark.parametrize(
    "line, words",
    [
        ("modle=resnet18", ["modle: no such key", "did you mean model?", "--cfg job"]),
        ("model.nmae=resnet18", ["model.nmae: no such key", "did you mean model.name?"]),
        ("trainer.epoch=3", ["trainer.epoch: no such key", "did you mean trainer.epochs?"]),
        ("optimizer.LR=1", ["optimizer.LR: no such key", "did you mean optimizer.lr?"]),
        ("optimizer/lr=1", ["optimizer/lr: no such key", "did you mean optimizer.lr?"]),
        ("lr=0.1", ["lr: no such key", "did you mean optimizer.lr?"]),
        ("trainer.lr=0.1", ["trainer.lr: no such key", "did you mean optimizer.lr?"]),
        ("scheduler.step_size=3", ["scheduler.step_size: no such key", "scheduler.kwargs.step_size"]),
        ("optimizer.momentum=0.9", ["optimizer.momentum: no such key", "optimizer.kwargs.momentum"]),
        ("+foo=3", ["foo: no such key"]),
        ("optimizer={lrr:3}", ["optimizer.lrr: no such key", "did you mean optimizer.lr?"]),
        ("hydra.foo=3", ["hydra.foo: no such key", "--cfg hydra"]),
        ("model=resnet81", ["model=resnet81: no such choice", "did you mean resnet18?", "choose from caformer_s18, "]),
        ("model=ResNet50", ["model=ResNet50: no such choice", "did you mean resnet50?"]),
        ("weights=imagenet", ["weights=imagenet: no such choice", "checkpoint, default, imagenet1k_v1"]),
        ("scheduler=cosin", ["scheduler=cosin: no such choice", "did you mean cosine?"]),
        ("model=3", ["model=3: no such choice", "--help"]),
        ("model=", ["model=: no such choice", "--help"]),
        ("experiment=fintune", ["experiment=fintune: no such choice", "did you mean finetune?"]),
        ("-m sweeps=smok", ["sweeps=smok: no such choice; did you mean smoke?"]),
        ("hydra/sweeper=gird", ["hydra/sweeper=gird: no such choice", "did you mean grid?"]),
        ("model=torchvision", ["model=torchvision needs model.name="]),
        ("model=torchvision model.name=resnet19", ["model.name=resnet19: torchvision has no such", "resnet18"]),
        ("model.name=resnet50", ["model.name=resnet50 needs model=torchvision"]),
        ("model=torchvision model.name=vit_b_16", ["data.size=32: vit_b_16 can't take such images", "224"]),
        ("model=torchvision model.name=resnet50 model.drop_path=0.1", ["model.drop_path=0.1: resnet50 has no drop"]),
        ("weights=imagenet1k_v2", ["resnet18 has no such weights; choose from none, default, imagenet1k_v1, check"]),
        (
            "weights.source=imagenet1k_v7",
            ["weights.source=imagenet1k_v7: expected one of none, default, imagenet1k_v1"],
        ),
    ],
)
def test_what_there_is_not(complaint: Callable[..., str], line: str, words: list[str]) -> None:
    said = complaint(*line.split())
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    "line, words",
    [
        ("trainer.epochs=ten", ["trainer.epochs=ten: expected a whole number"]),
        ("trainer.epochs=1.5", ["trainer.epochs=1.5: expected a whole number"]),
        ("optimizer.lr=fast", ["optimizer.lr=fast: expected a number"]),
        ("trainer.deterministic=maybe", ["trainer.deterministic=maybe: expected true or false"]),
        ("data.resize=squash", ["data.resize=squash: expected one of stretch, crop"]),
        ("tracking.histogram_layers=all", ["tracking.histogram_layers=all: expected a list, such as [a,b]"]),
        ("augment.crop_scale=0.5", ["augment.crop_scale=0.5: expected a list of numbers", "or null"]),
        ("optimizer.kwargs=5", ["optimizer.kwargs=5: expected settings, such as {a:1,b:2}"]),
        ("seed=null", ["seed=null: expected a whole number"]),
        ("optimizer.lr=???", ["optimizer.lr=???: a value is missing"]),
        ("optimizer.lr=${foo}", ["optimizer.lr: Interpolation key 'foo' not found"]),
        ("optimizer.lr=-1", ["optimizer.lr=-1.0: expected a number above 0"]),
        ("optimizer.lr=nan", ["optimizer.lr=nan: expected a number above 0"]),
        ("optimizer.lr=inf", ["optimizer.lr=inf: expected a number above 0"]),
        ("optimizer.weight_decay=-1", ["optimizer.weight_decay=-1.0: expected 0 or more"]),
        ("trainer.epochs=0", ["trainer.epochs=0: expected 1 or more"]),
        ("trainer.batch_size=0", ["trainer.batch_size=0: expected 1 or more"]),
        ("trainer.accumulate=0", ["trainer.accumulate=0: expected 1 or more"]),
        ("trainer.clip_norm=0", ["trainer.clip_norm=0.0: expected above 0"]),
        ("trainer.label_smoothing=1", ["trainer.label_smoothing=1.0: expected 0 to 1"]),
        ("trainer.threads=0", ["trainer.threads=0: expected auto or 1 or more"]),
        ("trainer.device=tpu", ["trainer.device=tpu: expected auto, cpu, mps, cuda or cuda:N"]),
        ("trainer.device=cuda:99", ["trainer.device=cuda:99: this machine has"]),
        ("trainer.precision=fp16 trainer.device=cpu", ["trainer.precision=fp16 needs a CUDA device"]),
        ("trainer.capture=true trainer.device=cpu", ["trainer.capture=true needs a CUDA device", "not cpu"]),
        ("trainer.capture=always", ["trainer.capture=always: expected auto, true or false"]),
        ("scheduler.warmup_epochs=6", ["scheduler.warmup_epochs=6.0 leaves nothing of trainer.epochs=6"]),
        ("scheduler=step scheduler.warmup_epochs=0.5", ["scheduler.warmup_epochs=0.5", "scheduler.interval=step"]),
        ("seed=-1", ["seed=-1: expected 0 to 4294967295"]),
        ("data.size=4", ["data.size=4: expected 8 to 4096 px"]),
        ("data.stored_size=16", ["data.stored_size=16: expected 32 to 8192"]),
        ("data.val_fraction=1.5", ["data.val_fraction=1.5: expected a fraction between 0 and 0.9"]),
        ("data.val_fraction=0.5 data.test_fraction=0.5", ["leave no train set"]),
        ("model.drop_path=2", ["model.drop_path=2.0: expected 0 <= drop_path < 1"]),
        ("augment.flip=2", ["augment.flip=2.0: expected a probability, 0 to 1"]),
        ("augment.crop_scale=[0.9,0.1]", ["augment.crop_scale=[0.9, 0.1]: expected [least, largest]"]),
        ("augment.crop_ratio=[0,1]", ["augment.crop_ratio=[0.0, 1.0]: expected [least, largest]"]),
        ("tracking.histograms_every=-1", ["tracking.histograms_every=-1: expected 0 or more"]),
        ("debug.max_steps=0", ["debug.max_steps=0: expected 1 or more"]),
        ("sweep.name=a/b", ["sweep.name='a/b': expected a plain folder name"]),
        ("sweep.stale=ignore", ["sweep.stale=ignore: expected one of warn, rerun"]),
    ],
)
def test_types_and_ranges(complaint: Callable[..., str], line: str, words: list[str]) -> None:
    said = complaint(*line.split())
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    "line, words",
    [
        (
            "optimizer._target_=torch.optim.AdamV",
            ["optimizer._target_=torch.optim.AdamV", "did you mean torch.optim.Ad"],
        ),
        ("optimizer._target_=torch.nn.Linear", ["optimizer._target_=torch.nn.Linear: no Optimizer"]),
        ("optimizer._target_=torch.optim.LBFGS", ["its step needs a closure"]),
        ("optimizer.kwargs.momentumm=0.9", ["unexpected keyword argument 'momentumm'", "it takes", "betas"]),
        ("optimizer.kwargs.betas=[0.9]", ["optimizer refuses these settings", "IndexError"]),
        ("scheduler._target_=torch.optim.Adam", ["scheduler._target_=torch.optim.Adam: no learning-rate schedule"]),
        ("scheduler=step scheduler.kwargs.gama=1", ["unexpected keyword argument 'gama'", "it takes", "gamma"]),
        ("model._target_=nowhere.net", ["model._target_=nowhere.net: No module named 'nowhere'", "module.name"]),
        ("model._target_=training.config", ["model._target_=training.config: expected module.name of a function"]),
        ("model._target_=torch.nn.Linear", ["Linear refuses these settings", "in_features"]),
        ("model._target_=torch.nn.Identity", ["model torch.nn.Identity: gives scores of shape", "expected [2, 10]"]),
        ("model.kwargs.foo=1", ["resnet18", "unexpected keyword argument 'foo'"]),
        ("data._target_=nowhere.images", ["data._target_=nowhere.images: No module named 'nowhere'"]),
    ],
)
def test_targets_and_their_settings(complaint: Callable[..., str], line: str, words: list[str]) -> None:
    said = complaint(*line.split())
    assert all(word in said for word in words), said


# ---- the command line itself


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["model=resnet18,resnet50"], ["several values make a sweep", "python train.py -m model=resnet18,resnet50"]),
        (["optimizer.lr=interval(0,1)"], ["optimizer.lr=interval(0,1)", "needs -m"]),
        (["-m", "optimizer.lr=interval(0,1)"], ["hydra/sweeper=optuna"]),
        (["model", "=", "resnet18"], ["model: expected KEY=VALUE without spaces"]),
        (["-m", "model=resnet18,", "resnet50"], ["model=resnet18,: a value is missing after the comma"]),
        (["model=[resnet18,resnet50]"], ["takes one choice", "-m model=resnet18,resnet50"]),
        (["+model=resnet50"], ["+model=resnet50: write it without the +"]),
        (["sweeps=smoke"], ["sweeps=smoke: is for a sweep, which needs -m: python train.py -m sweeps=smoke"]),
        (["sweep.plan=true", "seed=1"], ["sweep.plan=true: is for a sweep, which needs -m"]),
        (["--lr", "0.1"], ["unrecognized arguments: --lr 0.1", "KEY=VALUE"]),
        (["--cfg"], ["--cfg/-c: expected one argument"]),
        (["-m", "--cfg", "job"], ["only one of -m, --cfg"]),
        (["model.name=a(b"], ["model.name=a(b: can't be read as KEY=VALUE", "'model.name=\"a(b\"'"]),
        (["data.root=a,b"], ["data.root=a,b: several values", "'data.root=\"a,b\"'"]),
        (["data=folder", "data.root=~/no such (folder)"], ["/no such (folder): no such folder"]),
        (["weights=checkpoint", "weights.path=no/such/seed=0"], ["weights.path=no/such/seed=0: no such file"]),
    ],
)
def test_the_command_line(complaint: Callable[..., str], arguments: list[str], words: list[str]) -> None:
    said = complaint(*arguments)
    assert all(word in said for word in words), said


@pytest.mark.parametrize("key", ["sweep.root", "data.root", "data.csv", "weights.path"])
def test_a_path_that_is_not_utf8_is_told_before_anything_is_made(train: Door, tmp_path: Path, key: str) -> None:
    """Neither the YAML nor the JSON of a run could hold it."""
    path = tmp_path / "caf\udce9"
    path.mkdir()
    use = "data=folder" if key.startswith("data") else "weights=checkpoint" if key.startswith("weights") else "seed=0"
    told = train(use, f"{key}={path}")
    assert told.code == 2 and told.err.count("\n") == 1 and key in told.err and "\\udce9" in told.err, told
    assert not list(path.iterdir()) and not (tmp_path / "outputs").exists()


def test_outputs_need_a_folder(train: Door, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = complaint_of(train(f"sweep.root={tmp_path}/file/below"), tmp_path / "outputs")
    assert f"sweep.root={tmp_path}/file/below: {tmp_path}/file is a file, expected a folder" in said


def test_a_bug_is_no_mistake_of_the_user(train: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("training.engine.prepare.resolve_compute", broken)
    result = train()
    assert result.code == 1 and result.err == "error: ZeroDivisionError: on purpose\n"


# ---- images


def photos(root: Path) -> Path:
    return tree(root, {f"{split}/{label}": 2 for split in ("train", "val", "test") for label in ("cat", "dog")})


def missing(root: Path) -> str:
    return f"data.root={root}: no such folder"


def empty(root: Path) -> str:
    root.mkdir()
    return f"{root} has no class folders"


def class_without_images(root: Path) -> str:
    photos(root)
    for file in (root / "test/dog").iterdir():
        file.unlink()
    return "class without images in test: dog"


def different_classes(root: Path) -> str:
    (photos(root) / "test/dog").rename(root / "test/wolf")
    return "train and test have different classes"


def corrupt(root: Path) -> str:
    (photos(root) / "train/cat/999.png").write_text("no image")
    return f"bad image: {root}/train/cat/999.png: not an image that Pillow can read"


def truncated(root: Path) -> str:
    file = write(photos(root) / "val/dog/999.png")
    file.write_bytes(file.read_bytes()[:-60])
    return f"bad image: {file}: image file is truncated"


@pytest.mark.parametrize("spoil", [missing, empty, class_without_images, different_classes, corrupt, truncated])
def test_images(complaint: Callable[..., str], tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    root = tmp_path / "my photos = (1)"
    expected = spoil(root)
    said = complaint("data=folder", f"data.root={root}", *QUICK)
    assert expected in said
    if "bad image" in expected:
        assert "data.on_bad=skip" in said


def test_csv_with_unknown_paths(complaint: Callable[..., str], tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    csv = table(tmp_path / "list.csv", "a.png,cat", "b.png,dog", "c.png,dog", header="path,label")
    said = complaint("data=folder", f"data.csv={csv}")
    assert f"data.csv={csv} line 3: no such file: {tmp_path}/b.png, and 1 more" in said


# ---- weights


class Trap:
    """A pickle that runs code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files, most of them bad."""
    folder = tmp_path_factory.mktemp("checkpoints")
    state = torchvision.models.resnet18(num_classes=10).half().state_dict()
    torch.save(state, folder / "resnet18.pth")
    save_file(state, folder / "resnet18.safetensors")
    for ending in ("pth", "safetensors"):
        whole = (folder / f"resnet18.{ending}").read_bytes()
        (folder / f"truncated.{ending}").write_bytes(whole[: len(whole) // 2])
        (folder / f"text.{ending}").write_text("<html>404 not found</html>")
        (folder / f"nothing.{ending}").touch()
    torch.save([torch.zeros(3)], folder / "list.pth")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, folder / "part.pth")
    shutil.copy(folder / "resnet18.pth", folder / "resnet18.h5")
    (folder / "empty_run").mkdir()
    return folder


@pytest.mark.parametrize(
    "name, words",
    [
        ("truncated.pth", "not a readable checkpoint"),
        ("truncated.safetensors", "not a readable safetensors file"),
        ("text.pth", "an HTML page"),
        ("text.safetensors", "an HTML page"),
        ("nothing.pth", "an empty file"),
        ("nothing.safetensors", "an empty file"),
        ("list.pth", "expected a state dict, names to tensors"),
        (
            "part.pth",
            "a checkpoint of another architecture: 1 of 122 tensors fit this model; bn1.weight [64] is missing",
        ),
        ("resnet18.h5", "expected a .safetensors, .pth, .pt, .ckpt, .bin or .pth.tar file, or a run folder"),
        ("empty_run", "no best.safetensors in this folder; is it a finished run's?"),
        ("absent.pth", "no such file"),
    ],
)
def test_checkpoints(complaint: Callable[..., str], checkpoints: Path, name: str, words: str) -> None:
    said = complaint("weights=checkpoint", f"weights.path={checkpoints / name}")
    assert f"weights.path={checkpoints / name}: {words}" in said


@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {"state_dict": {}, "args": trap}])
@pytest.mark.parametrize("save", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content))])
def test_no_code_of_a_checkpoint_runs(
    complaint: Callable[..., str], tmp_path: Path, wrap: Callable[..., object], save: Callable[..., object]
) -> None:
    marker, file = tmp_path / "marker", tmp_path / "trap.pth"
    save(wrap(Trap(marker)), file)
    said = complaint("weights=checkpoint", f"weights.path={file}")
    assert f"weights.path={file}: refused" in said and "code" in said and "state_dict()" in said
    assert not marker.exists()
    with contextlib.suppress(RuntimeError):
        torch.load(file, weights_only=False)  # so it would have
    assert marker.exists()


@pytest.mark.parametrize("model", ["resnet34", "resnet50", "swin_t"])
def test_checkpoint_of_another_architecture(complaint: Callable[..., str], checkpoints: Path, model: str) -> None:
    said = complaint(f"model={model}", "weights=checkpoint", f"weights.path={checkpoints}/resnet18.safetensors")
    assert "a checkpoint of another architecture" in said and "tensors fit this model" in said


@pytest.mark.parametrize("arguments", [["weights=none"], ["weights=default"], []])
def test_a_path_without_a_use(complaint: Callable[..., str], checkpoints: Path, arguments: list[str]) -> None:
    said = complaint(*arguments, f"weights.path={checkpoints}/resnet18.pth")
    assert "weights.path is only for weights=checkpoint" in said


def test_a_checkpoint_without_a_path(complaint: Callable[..., str]) -> None:
    assert "weights=checkpoint needs weights.path=FILE" in complaint("weights=checkpoint")


def test_weights_that_cannot_be_downloaded(complaint: Callable[..., str], tmp_path: Path) -> None:
    said = complaint("weights=default")
    name = "resnet18-f37072fd.pth"
    assert "can't download them for resnet18" in said and "refused" in said
    assert f"put https://download.pytorch.org/models/{name} at {tmp_path}/torch/hub/checkpoints/{name}" in said


def test_a_wrong_file_in_place_of_weights(complaint: Callable[..., str], checkpoints: Path, tmp_path: Path) -> None:
    place = tmp_path / "torch/hub/checkpoints/resnet18-f37072fd.pth"
    place.parent.mkdir(parents=True)
    shutil.copy(checkpoints / "resnet18.pth", place)
    said = complaint("weights=imagenet1k_v1")
    assert f"{place}: not the file that https://download.pytorch.org/models/{place.name} names" in said


# ---- sweeps: the mistake is in the last job, and not even the first one starts


@pytest.mark.parametrize(
    "line, words",
    [
        ("model=resnet18,resnt50", "model=resnt50: no such choice; did you mean resnet50?"),
        ("seed=0,1 optimizer.lr=1e-3,-1", "optimizer.lr=-1.0: expected a number above 0"),
        ("trainer.epochs=1,ten", "trainer.epochs=ten: expected a whole number"),
        ("model=resnet50,resnet18 weights=imagenet1k_v2", "resnet18 has no such weights; choose from none, default"),
        ("weights=none,default", "can't download them for resnet18"),
        ("optimizer=adam,sgd optimizer.kwargs.betas=[0.9,0.99]", "SGD refuses these settings"),
        ("data=digits,folder", "data=folder needs data.root=FOLDER"),
        ("model=resnet18 weights=none,checkpoint", "weights=checkpoint needs weights.path=FILE"),
    ],
)
def test_sweeps(complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch, line: str, words: str) -> None:
    # resnet50's weights can't be downloaded either: as if they lay there
    monkeypatch.setattr("training.models.torchvision.imagenet_file", only_resnet18_lacks_its_file)
    assert words in complaint("-m", *line.split(), "trainer.device=cpu")
    _check_weights.cache_clear()


def only_resnet18_lacks_its_file(name: str, resolved: str) -> Path:
    if name == "resnet18":
        raise ConfigError("can't download them for resnet18")
    return Path("there")
