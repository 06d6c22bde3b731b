"""timm's classifiers as a family. Their weights are files that the tests make: there is no network here."""

import json
import re
from pathlib import Path

import pytest
import timm
import torch
from conftest import QUICK, Door, run_folders
from outcome import only_run, record_of
from safetensors.torch import load_file, save_file
from torch import testing

from sweeps.hydra_glue.compose import CONF
from training.config import ModelConfig, WeightsConfig
from training.errors import ConfigError, Impossible
from training.models.build import build_model, head_prefix, layers_of
from training.models.timm_models import Timm
from training.models.weights import resolve_weights

TARGET = "training.models.timm_models.Timm"
CONV, VIT = "test_convnext.r160_in1k", "test_vit.r160_in1k"  # timm's small ones
STILL = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "trainer.precision=fp32"]  # weights stay as they were
SMALL = [*QUICK, "tracking=none", "trainer.batch_size=16", "data.size=32"]
GROUPS = [
    *("convnext_tiny", "convnext_base", "convnextv2_tiny", "efficientnet_b0", "tf_efficientnetv2_s", "caformer_s18"),
    *("vit_small_patch14_dinov2", "swinv2_tiny_window8_256", "mobilenetv4_conv_small", "tiny_vit_21m_224"),
]


def config(name: str, **kwargs: object) -> ModelConfig:
    return ModelConfig(TARGET, name, accepts=["name", "drop_path", "dropout"], kwargs=kwargs)


def weights_of(name: str, **kwargs: object) -> dict[str, torch.Tensor]:
    """As timm would save them, from a seed."""
    torch.manual_seed(7)
    return {key: value.clone() for key, value in timm.create_model(name, **kwargs).state_dict().items()}


@pytest.fixture
def by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user puts files of weights; the Hub isn't asked."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_weights_preprocessing_and_licence(train: Door, shell: Door, tmp_path: Path, by_hand: Path) -> None:
    state = weights_of(CONV)
    save_file(state, by_hand / f"timm--{CONV}.safetensors")
    result = train("model=timm", f"model.name={CONV}", "weights=default", *SMALL, *STILL)
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    assert "-r160_in1k-" in folder.parent.name
    resolved = record_of(folder)["resolved"]
    wanted = timm.get_pretrained_cfg(CONV)
    assert resolved["weights"] == "R160_IN1K" and resolved["licence"] == wanted.license == "apache-2.0"
    about = json.loads((folder / "record.json").read_text())
    assert about["config"]["model"]["kwargs"] == {"img_size": 32}
    trained = load_file(folder / "best.safetensors")
    same = [name for name, tensor in trained.items() if tensor.shape == state[name].shape]
    assert set(trained) - set(same) == {"head.fc.weight", "head.fc.bias"}
    for name in same:
        testing.assert_close(trained[name], state[name], rtol=1e-6, atol=1e-7)
    image = next((Path(__file__).parents[3] / "docs").glob("*.png"))
    done = shell("-m", "training.predict", str(folder), str(image), "--out", str(tmp_path / "predicted.csv"))
    assert done.code == 0, done.err


def test_mean_and_std_are_those_that_the_weights_saw() -> None:
    timms = Timm()
    imagenet = timms.pretraining(config("convnext_tiny.in12k_ft_in1k"), "IN12K_FT_IN1K")
    assert (imagenet.normalize, imagenet.size, imagenet.shorter_side) == ("imagenet", 224, 236)
    assert (imagenet.interpolation, imagenet.licence) == ("bicubic", "apache-2.0")
    other = timms.pretraining(config("tf_efficientnetv2_s.in21k_ft_in1k"), "IN21K_FT_IN1K")
    assert (other.normalize, other.mean, other.size) == ("weights", (0.5, 0.5, 0.5), 300)


def test_position_embeddings_of_another_size_of_images(train: Door, by_hand: Path) -> None:
    save_file(weights_of(VIT), by_hand / f"timm--{VIT}.safetensors")
    result = train("model=timm", f"model.name={VIT}", "weights=default", *SMALL, "data.size=64")
    assert result.code == 0, result.err
    assert re.search(r"R160_IN1K: took \d+ of \d+ tensors, all but head.weight, head.bias", result.out + result.err)
    assert "trained on images of 160 px" in result.out + result.err


def test_weights_in_the_cache_of_the_hub(shell: Door, tmp_path: Path) -> None:
    """(Where it lies is read once a process.)"""
    revision = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "hf" / "hub" / f"models--timm--{CONV}"
    snapshot = cache / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(revision)
    save_file(weights_of(CONV), snapshot / "model.safetensors")
    command = ["train.py", "model=timm", f"model.name={CONV}", "weights=default", *SMALL]
    command += [f"sweep.root={tmp_path / 'outputs'}"]
    variables = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "TORCH_HOME": str(tmp_path / "torch")}
    done = shell(*command, **variables)
    assert done.code == 0, done.err
    assert record_of(only_run(tmp_path / "outputs"))["resolved"]["weights"] == "R160_IN1K"


def test_weights_that_are_not_there(train: Door, by_hand: Path) -> None:
    command = ["model=timm", f"model.name={CONV}", "weights=default", *SMALL]
    refused = train(*command)
    place = by_hand / f"timm--{CONV}.safetensors"
    url = f"https://huggingface.co/timm/{CONV}/resolve/main/model.safetensors"
    assert refused.code == 2 and len(refused.err.splitlines()) == 1
    assert f"put {url} at {place}" in refused.err and "HF_HUB_OFFLINE is set" in refused.err
    planned = train("-m", *command, "sweep.plan=true")
    assert planned.code == 0 and f"r160_in1k not checked: {place} is not there" in planned.out
    assert f"weights under the licence apache-2.0: {CONV}" in planned.out
    save_file(weights_of("test_convnext2"), place)
    foreign = train(*command)
    assert foreign.code == 2 and len(foreign.err.splitlines()) == 1 and str(place) in foreign.err
    place.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    pointer = train(*command)
    assert pointer.code == 2 and "Git LFS pointer" in pointer.err and len(pointer.err.splitlines()) == 1


def test_tags_are_weight_sources() -> None:
    timms = Timm()
    assert timms.sources(config("resnet50.a1_in1k"))[-1] == "a1_in1k"
    assert {"a1_in1k", "a2_in1k"} < set(timms.sources(config("resnet50")))
    assert resolve_weights(config("resnet50.a1_in1k"), WeightsConfig("default")) == "A1_IN1K"
    assert resolve_weights(config("resnet50.a1_in1k"), WeightsConfig("a2_in1k")) == "A2_IN1K"
    with pytest.raises(Impossible, match=r"expected one of none, default, .*a1_in1k"):
        resolve_weights(config("resnet50"), WeightsConfig("a99_in1k"))


@pytest.mark.parametrize(
    "name, message",
    [
        ("resnet5o", "timm has no such classifier; near: resnet50"),
        ("resnet50.a99_in1k", "resnet50 has no weights a99_in1k; there are "),
        ("", "timm has no such classifier"),
    ],
)
def test_names_that_timm_does_not_list(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_model(config(name), 3)


def test_drop_path_dropout_and_other_settings() -> None:
    model = build_model(ModelConfig(TARGET, VIT, drop_path=0.3, dropout=0.2, kwargs={"img_size": 64}), 3)
    rates = [part.drop_prob for part in model.modules() if type(part).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.3)
    assert any(isinstance(part, torch.nn.Dropout) and part.p == 0.2 for part in model.modules())
    with pytest.raises(Impossible, match=r"refuses .*nonsense"):
        build_model(config(VIT, nonsense=3), 3)


def test_checkpointing_changes_memory_and_nothing_else() -> None:
    images, scores = torch.randn(2, 3, 64, 64), []
    for kwargs in ({}, {"grad_checkpointing": True}):
        torch.manual_seed(0)
        model = build_model(config(VIT, img_size=64, **kwargs), 3)
        model.train()
        found = model(images)
        found.sum().backward()
        scores.append((found.detach(), next(iter(model.parameters())).grad))
    testing.assert_close(scores[0], scores[1])
    assert model.grad_checkpointing


@pytest.mark.parametrize("name", GROUPS)
def test_the_groups(name: str, train: Door) -> None:
    """Names, tags, head and layers, by the installed timm; a plan of each goes through the network without numbers."""
    planned = train(
        "-m", f"model={name}", "data=digits", "data.size=${trained_size:}", "weights=none", "sweep.plan=true"
    )
    assert planned.code == 0 and f"-> {name}." in planned.out, planned.err
    line = next(line for line in (CONF / "model" / f"{name}.yaml").read_text().splitlines() if line.startswith("name:"))
    network = config(line.partition(": ")[2], img_size=224)
    with torch.device("meta"):
        model = build_model(network, 7)
    parameters = {name for name, _ in model.named_parameters()}
    layers = layers_of(model)
    assert sorted(part for _, parts in layers for part in parts) == sorted(parameters) and len(layers) > 5
    head = [part for part in parameters if part.startswith(f"{head_prefix(model)}.")]
    assert head and set(head) <= set(layers[-1][1])
    assert Timm().sources(network)[-1] == network.name.partition(".")[2]


def test_layer_decay_and_freezing(train: Door, tmp_path: Path) -> None:
    more = ["optimizer.layer_decay=0.5", "trainer.freeze_epochs=1"]
    assert train("model=timm", f"model.name={VIT}", *SMALL, "data.size=64", *more).code == 0
    assert len(run_folders(tmp_path / "outputs")) == 1


@pytest.mark.slow
def test_zoo(shell: Door) -> None:
    listed = shell("-m", "training.zoo", "convnextv2_tiny", "--json")
    assert listed.code == 0, listed.err
    rows = json.loads(listed.out)
    assert {row["name"] for row in rows} == {"convnextv2_tiny"} and {row["family"] for row in rows} == {"timm"}
    default = rows[0]
    assert default["weights"] == "fcmae_ft_in22k_in1k" and default["licence"] == "cc-by-nc-4.0"
    assert default["size"] == 224 and 28e6 < default["parameters"] < 29e6
    both = json.loads(shell("-m", "training.zoo", "resnet18", "--json").out)
    assert {row["family"] for row in both if row["name"] == "resnet18"} == {"torchvision", "timm"}
    groups = shell("-m", "training.zoo", COLUMNS="160")
    assert groups.code == 0 and all(name in groups.out for name in (*GROUPS, "resnet18", "swin_v2_s"))
    nothing = shell("-m", "training.zoo", "no_such_net")
    assert nothing.code == 2 and "no_such_net: neither torchvision nor timm" in nothing.err
