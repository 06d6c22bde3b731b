"""The config groups compose, and a configuration's name depends on what can change its result and on nothing else."""

import dataclasses
import functools
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Door
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pictures import fresh as fresh
from pictures import tree, write
from torchvision.models import get_model_weights

from sweeps.hydra_glue.compose import run_config
from training.config import ModelConfig, RunConfig, WeightsConfig
from training.data import dataset as dataset_module
from training.engine import prepare as prepare_module
from training.engine.identity import ResolvedSettings, identity, slug
from training.engine.prepare import Prepared, prepare
from training.errors import Impossible
from training.models.weights import resolve_weights

GROUPS = ("model", "weights", "data", "augment", "optimizer", "scheduler", "trainer", "tracking", "debug", "experiment")
MODELS = sorted(file for file in (ROOT / "conf/model").glob("*.yaml") if "timm" not in file.read_text())
CHOICES = {group: sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml")) for group in GROUPS}
CHOICES["model"] = [file.stem for file in MODELS]  # torchvision's; timm's: models/test_timm.py


@pytest.fixture(autouse=True, scope="module")
def composing() -> Iterator[None]:
    """Hydra, ready to compose."""
    with initialize_config_dir(str(ROOT / "conf")):
        yield


@functools.cache
def composed(*overrides: str) -> RunConfig:
    return run_config(compose("config", [*overrides], return_hydra_config=True))


def prepared(*overrides: str) -> Prepared:
    return prepare(composed(*overrides))


# ---- the groups


def rows_with_all_pairs() -> list[dict[str, str]]:
    """Few rows with a choice from every group, in which every two choices of two groups meet."""
    pairs = {
        frozenset({(a, x), (b, y)})
        for a, b in itertools.combinations(GROUPS, 2)
        for x, y in itertools.product(CHOICES[a], CHOICES[b])
    }

    def new(row: dict[str, str]) -> set[frozenset[tuple[str, str]]]:
        return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)} & pairs

    draw, rows = random.Random(0), []
    while pairs:
        wanted = dict(min(pairs, key=sorted))
        row = max(
            ({group: draw.choice(CHOICES[group]) for group in GROUPS} | wanted for _ in range(40)),
            key=lambda r: len(new(r)),
        )
        pairs -= new(row)
        rows.append(row)
    return rows


@pytest.mark.slow
def test_every_two_choices_compose_and_prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def weights_of_the_model(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        config = ModelConfig(name=row["model"] if row["model"] != "torchvision" else "convnext_tiny")
        return prepare_module._sketch(prepare_module._key(config), 1000).state_dict(), {}

    monkeypatch.setattr("training.engine.prepare.read_checkpoint", weights_of_the_model)
    monkeypatch.setattr("training.models.torchvision.imagenet_file", lambda name, resolved: Path(name))
    root = tree(tmp_path / "images", {str(label): 3 for label in range(10)})
    tree(tmp_path / "sets" / "eurosat" / "2750", {str(label): 3 for label in range(10)})
    checkpoint = tmp_path / "checkpoint.pth"
    checkpoint.touch()
    given = {
        ("data", "torchvision"): ["data.name=EuroSAT", f"data.root={tmp_path / 'sets'}", "data.size=32"],
        ("data", "folder"): [f"data.root={root}", "data.size=32"],
        ("weights", "checkpoint"): [f"weights.path={checkpoint}"],
        ("model", "torchvision"): ["model.name=convnext_tiny"],
    }
    met, impossible = set(), 0
    for row in rows_with_all_pairs():
        extra = [override for choice in row.items() for override in given.get(choice, [])]
        config = composed(*(f"{group}={choice}" for group, choice in row.items()), *extra)
        try:
            run = prepare(config)
        except Impossible:
            assert row["weights"] == "imagenet1k_v2" and "imagenet1k_v2" not in (config.model.weights or [])
            impossible += 1
            continue
        met |= {(group, choice) for group, choice in row.items()}
        assert run.subfolder.startswith(config.model.name) and len(run.identity) == 10
        assert run.resolved.normalize == ("imagenet" if run.resolved.weights.startswith("IMAGENET") else "dataset")
    prepare_module._check_weights.cache_clear()
    assert met == {(group, choice) for group in GROUPS for choice in CHOICES[group]}
    assert impossible >= 9  # all models but three of the ResNets


@pytest.mark.parametrize("file", [file for file in MODELS if file.stem != "torchvision"], ids=lambda file: file.stem)
def test_weights_of_a_model_are_torchvisions(file: Path) -> None:
    values = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(values, dict) and values["name"] == file.stem
    enum = get_model_weights(file.stem)
    assert sorted(values["weights"]) == sorted(entry.name.lower() for entry in enum)
    assert values["weights"][-1] == enum["DEFAULT"].name.lower()
    model = ModelConfig(name=file.stem, weights=values["weights"])
    assert resolve_weights(model, WeightsConfig("default")) == enum["DEFAULT"].name


def test_models_have_the_same_keys() -> None:
    keys = {file.stem: set(OmegaConf.to_container(OmegaConf.load(file))) for file in MODELS}  # type: ignore[arg-type]
    assert len(keys) == 12 and len(set(map(frozenset, keys.values()))) == 1, keys


@pytest.mark.parametrize("file", MODELS, ids=lambda file: file.stem)
def test_what_a_model_accepts(file: Path) -> None:
    """drop_path and dropout work where the file says so, and change nothing elsewhere."""
    name = ["model.name=swin_t"] if file.stem == "torchvision" else []
    config = composed(f"model={file.stem}", *name, "model.drop_path=0.5", "model.dropout=0.25")
    text = str(prepare_module._sketch(prepare_module._key(config.model), 10))
    assert ("StochasticDepth(p=0.5" in text) == ("Dropout(p=0.25" in text) == ("drop_path" in config.model.accepts)
    assert bool(config.model.accepts) == ("swin" in config.model.name)


def test_the_command_line_wins_over_an_experiment() -> None:
    plain, strong = composed(), composed("experiment=finetune")
    assert strong.augment.crop_scale and not plain.augment.crop_scale
    mixed = composed("experiment=finetune", "augment=none", "optimizer.lr=0.5")
    assert mixed.augment == plain.augment and mixed.optimizer.lr == 0.5
    assert mixed.trainer == strong.trainer != plain.trainer


def test_kwargs_take_any_key() -> None:
    config = composed("optimizer=sgd", "optimizer.kwargs.dampening=0.1", "optimizer.kwargs={nesterov:false}")
    assert config.optimizer.kwargs == {"momentum": 0.9, "nesterov": False, "dampening": 0.1}


@pytest.mark.parametrize("key", ["data.root", "data.csv", "weights.path", "sweep.root"])
@pytest.mark.parametrize(
    "path", ["my photos (1)", "a=b/seed=0", "it's", "Fotos/Köln", "[x]{y}", "1e3", "a\\b", "C:\\x\\"]
)
def test_paths_need_no_quotes(key: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweeps.hydra_glue.arguments import readable

    group, _, last = key.partition(".")
    weights = ["weights=checkpoint"] if key == "weights.path" else []
    for written in (path, f"'{path}'") if "'" not in path and "\\" not in path else (path,):
        config = composed(*readable([*weights, f"{key}={written}"]))
        assert getattr(getattr(config, group), last) == path
    monkeypatch.setenv("HOME", "/home/me")
    assert getattr(getattr(composed(*readable([*weights, f"{key}=~/{path}"])), group), last) == f"/home/me/{path}"


def test_lists_and_functions_of_paths_stay_what_they_are() -> None:
    from sweeps.hydra_glue.arguments import readable

    assert readable(["-m", "weights.path=a/seed=0,b"]) == ["-m", "weights.path='a/seed=0','b'"]
    for argument in ("data.root=choice(a,b)", "data.root=null", "data.root=", "data.root=${sweep.root}", "seed=0,1"):
        assert readable(["-m", argument]) == ["-m", argument]


# ---- identity

FACTS = ResolvedSettings("none", "dataset", "fp32", "channels_last", "0123456789abcdef", ("train", "val", "test"))


def name(*overrides: str, **resolved: Any) -> str:
    return identity(composed(*overrides), dataclasses.replace(FACTS, **resolved))


def test_golden_identities() -> None:
    """Runs of the past keep their names. Every default is written down here, so a changed one changes these hashes."""
    defaults: dict[str, dict[str, Any]] = {
        "model": {"_target_": "training.models.torchvision_model", "name": "resnet18", "drop_path": None}
        | {"dropout": None, "kwargs": {}},
        "weights": {"source": "none"},
        "data": {"_target_": "training.sources.digits", "kwargs": {}, "val_fraction": 0.15, "test_fraction": 0.15}
        | {"split_seed": 0, "size": 32, "resize": "stretch", "stored_size": None, "normalize": "auto"},
        "augment": {"flip": 0.0, "crop_scale": [0.5, 1.0], "crop_ratio": [0.75, 1.3333]},
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001, "weight_decay": 0.01}
        | {"decay_norm_and_bias": False, "kwargs": {}},
        "scheduler": {"_target_": None, "warmup_epochs": 0.0, "interval": "epoch", "kwargs": {}},
        "trainer": {"epochs": 6, "batch_size": 64, "accumulate": 1, "precision": "auto", "memory_format": "auto"}
        | {"clip_norm": None, "label_smoothing": 0.0, "deterministic": True},
        "debug": {"overfit_batch": False, "max_steps": None},
    }

    def of(changes: dict[str, dict[str, Any]], **resolved: Any) -> str:
        values = {part: defaults[part] | changes.get(part, {}) for part in defaults}
        return identity(from_values(values), dataclasses.replace(FACTS, **resolved))

    swin = {"name": "swin_v2_s", "drop_path": 0.2, "accepts": ["drop_path", "dropout"]}
    sgd = {"_target_": "torch.optim.SGD", "lr": 0.01, "weight_decay": 0.0001, "kwargs": {"momentum": 0.9}}
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "warmup_epochs": 2.0, "kwargs": {"step_size": 2}}
    assert of({}) == "3a80ab405c"
    assert of({"model": swin}, weights="IMAGENET1K_V1", normalize="imagenet", precision="bf16") == "ddd83f49e5"
    assert of({"optimizer": sgd, "scheduler": step, "trainer": {"epochs": 30}}) == "23fd0bceca"


def from_values(values: dict[str, Any]) -> RunConfig:
    return run_config(OmegaConf.create(values))


@pytest.mark.parametrize(
    "override",
    [
        "seed=5",
        "trainer.threads=1",
        "trainer.device=cpu",
        "tracking=none",
        "tracking.histograms_every=3",
        "sweep.name=other",
        "sweep.root=/elsewhere",
        "sweep.stale=rerun",
        "data.root=/elsewhere",
        "data.memory_gb=1",
        "data.on_bad=skip",  # what was left out, the fingerprint says
        "model.drop_path=0.3",  # a ResNet has none
        "model.dropout=0.3",
        "augment.crop_ratio=[0.5,2]",  # nothing is cropped
        "data.stored_size=32",  # as it is
        "trainer.precision=bf16",  # the resolved one counts, which is among the resolved settings here
        "trainer.on_oom=accumulate",  # the same steps, if in pieces
        "hydra.verbose=true",
    ],
)
def test_what_changes_no_result_changes_no_name(override: str) -> None:
    assert name(override) == name()


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.lr=0.002",
        "optimizer.weight_decay=0.02",
        "optimizer.decay_norm_and_bias=true",
        "optimizer=sgd",
        "optimizer.kwargs.amsgrad=true",
        "scheduler=cosine",
        "scheduler.warmup_epochs=1",
        "augment=flip",
        "augment=standard",
        "model=resnet34",
        "data.size=64",
        "data.stored_size=48",
        "data.resize=crop",
        "data.split_seed=1",
        "data.val_fraction=0.2",
        "data.test_fraction=0.2",
        "trainer.epochs=7",
        "trainer.batch_size=32",
        "trainer.accumulate=2",
        "trainer.clip_norm=1",
        "trainer.label_smoothing=0.1",
        "trainer.deterministic=false",
        "trainer.ema=0.999",
        "trainer.freeze_epochs=1",
        "trainer.class_weights=balanced",
        "trainer.monitor=val_loss",
        "trainer.patience=3",
        "data.sampling=balanced",
        "augment.mixup=0.2",
        "augment.cutmix=1",
        "augment.trivial=true",
        "augment.erasing=0.1",
        "optimizer.layer_decay=0.8",
        "optimizer.head_lr_factor=10",
        "trainer.tta=flip",
        "trainer.probe=true",
        "trainer.wise=true",
        "trainer.freeze_epochs=all",
        "trainer.cache_features=true",
        "data.test_size=64",
        "debug.max_steps=2",
        "debug.overfit_batch=true",
    ],
)
def test_what_can_change_a_result_changes_the_name(override: str) -> None:
    assert name(override) != name()


@pytest.mark.parametrize(
    "fact",
    [
        {"weights": "IMAGENET1K_V1"},
        {"weights": "checkpoint:12345678"},
        {"normalize": "imagenet"},
        {"precision": "bf16"},
        {"memory_format": "contiguous_format"},
        {"fingerprint": "fedcba9876543210"},
    ],
)
def test_what_autos_came_to_changes_the_name(fact: dict[str, str]) -> None:
    assert name(**fact) != name()


def test_drop_path_counts_where_there_is_one() -> None:
    assert name("model=swin_t", "model.drop_path=0.3") != name("model=swin_t")
    assert name("model=swin_t", "model.dropout=0.3") != name("model=swin_t")


def test_fractions_and_split_seed_count_only_where_splits_are_drawn() -> None:
    given = {"drawn": ("val",)}
    assert name("data.test_fraction=0.2", **given) == name(**given)
    assert name("data.val_fraction=0.2", **given) != name(**given)
    assert name("data.split_seed=2", **given) != name(**given)
    everything = ("data.val_fraction=0.2", "data.test_fraction=0.2", "data.split_seed=2")
    assert name(*everything, drawn=()) == name(drawn=())


def test_a_key_at_its_default_leaves_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a new key with a default changes no name: whatever is at its default isn't hashed at all."""
    hashed: list[str] = []
    real = json.dumps
    monkeypatch.setattr(
        "training.engine.identity.json.dumps",
        lambda content, **how: hashed.append(real(content)) or real(content, **how),
    )
    identity(RunConfig(), FACTS)
    assert json.loads(hashed[0]) == {
        "model": {"name": "resnet18"},
        "weights": "none",
        "data": {"fingerprint": FACTS.fingerprint, "normalize": "dataset", "stored_size": 32},
        "trainer": {"precision": "fp32", "memory_format": "channels_last"},
    }


def test_an_alias_is_the_same_configuration() -> None:
    def of(model: str, source: str) -> tuple[str, str]:
        config = composed(f"model={model}", f"weights={source}")
        resolved = dataclasses.replace(FACTS, weights=resolve_weights(config.model, config.weights))
        return resolved.weights, identity(config, resolved)

    assert of("resnet18", "default") == of("resnet18", "imagenet1k_v1")
    assert of("resnet50", "default") == of("resnet50", "imagenet1k_v2") != of("resnet50", "imagenet1k_v1")
    assert of("resnet18", "default")[0] == "IMAGENET1K_V1" and of("resnet50", "default")[0] == "IMAGENET1K_V2"
    with pytest.raises(Impossible, match="choose from none, default, imagenet1k_v1, checkpoint"):
        of("resnet18", "imagenet1k_v2")


def test_any_torchvision_model_knows_its_weights() -> None:
    def of(called: str, source: str) -> str:
        return resolve_weights(ModelConfig(name=called), WeightsConfig(source))  # type: ignore[arg-type]

    assert of("mobilenet_v3_large", "default") == "IMAGENET1K_V2"
    assert of("convnext_tiny", "default") == "IMAGENET1K_V1"
    with pytest.raises(Impossible, match="convnext_tiny has no such weights"):
        of("convnext_tiny", "imagenet1k_v2")


def test_precision_counts_as_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.device.cpu_has_bf16", lambda: True)
    cpu = ["trainer.device=cpu", "data.size=48"]
    assert prepared(*cpu).identity == prepared(*cpu, "trainer.precision=bf16").identity
    assert prepared(*cpu).identity != prepared(*cpu, "trainer.precision=fp32").identity
    small = ["trainer.device=cpu", "data.size=47"]
    assert prepared(*small).identity == prepared(*small, "trainer.precision=fp32").identity
    for network, size, precision in (
        ("model.name=mobilenet_v3_small", 48, "fp32"),
        ("model.name=mobilenet_v3_small", 224, "fp32"),
        ("model.name=mobilenet_v3_small", 256, "bf16"),
        ("model.name=convnext_tiny", 64, "bf16"),  # depthwise too, but most of its work is in wide linear layers
    ):
        of = ["trainer.device=cpu", f"data.size={size}", "model=torchvision", network]
        assert prepared(*of).identity == prepared(*of, f"trainer.precision={precision}").identity, (network, size)
        assert prepared(*of).compute.precision == precision
    monkeypatch.setattr("training.device.cpu_has_bf16", lambda: False)
    assert prepared(*cpu).identity == prepared(*cpu, "trainer.precision=fp32").identity


def test_the_content_of_images_counts_and_their_place_does_not(tmp_path: Path) -> None:
    def of(root: Path) -> str:
        dataset_module._open.cache_clear()
        dataset_module._usable_images.cache_clear()
        return prepared("data=folder", f"data.root={root}", "data.size=32").identity

    first = of(tree(tmp_path / "first", {"a": 4, "b": 4}))
    assert of((tmp_path / "first").rename(tmp_path / "second")) == first
    write(tmp_path / "second/a/003.png", seed=9)
    assert of(tmp_path / "second") != first


def test_the_folder_depends_on_the_config_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["model=resnet34", "optimizer=sgd", "optimizer.lr=3e-2", "scheduler=cosine", "seed=7", "sweep.name=mine"]
    run = prepared(*line)
    assert run.folder == Path("outputs/mine") / f"resnet34-none-sgd-lr0.03-cosine-{run.identity}" / "seed=7"
    monkeypatch.chdir(tmp_path)
    assert prepared(*reversed(line), "hydra.job.num=3", "trainer.threads=1").subfolder == run.subfolder
    assert slug(composed("model._target_=my_parts.Net"), FACTS).startswith("Net-")


# ---- help, without torch

# Seconds depend on the machine. What is imported, and how many functions are called, do not.
HEAVY = {"torch", "torchvision", "pandas", "scipy", "sklearn", "statsmodels", "optuna", "sqlalchemy", "tensorboard"}
MODULES, CALLS = 800, 2_500_000  # three quarters of that, most of it Hydra

WATCHED = """
import cProfile, json, runpy, sys
sys.argv = sys.argv[1:]
profile = cProfile.Profile()
try:
    profile.runcall(runpy.run_path, sys.argv[0], run_name="__main__")
finally:
    calls = sum(entry.callcount for entry in profile.getstats())
    print(json.dumps([sorted(sys.modules), calls]), file=sys.stderr)
"""


def watched(shell: Door, *arguments: str, **environment: str) -> str:
    """What `python train.py ARGUMENTS` prints, if it imports and does little enough for an answer at once."""
    result = shell("-c", WATCHED, "train.py", *arguments, **environment)
    assert result.code == 0, result
    modules, calls = json.loads(result.err)
    assert not HEAVY & set(modules)
    assert len(modules) < MODULES and calls < CALLS
    return result.out


def test_help(shell: Door) -> None:
    text = watched(shell, "--help")
    for group in GROUPS:
        names = sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml"))
        assert f"{group}: {', '.join(names)}" in text
    keys = [
        line.split()[0].split("=")[0] for line in text.partition("change most:")[2].splitlines() if line[:2] == "  "
    ]
    assert len(keys) == 11
    config = compose("config")
    for key in keys:
        OmegaConf.select(config, key, throw_on_missing=True)
        assert key.rpartition(".")[2] in (config if "." not in key else config[key.partition(".")[0]])


def test_all_keys_and_values(shell: Door) -> None:
    shown = OmegaConf.create(watched(shell, "--cfg", "job", "model=swin_t", "optimizer.lr=0.5"))
    assert shown.model.name == "swin_t" and shown.optimizer.lr == 0.5
    assert set(shown) >= {field.name for field in dataclasses.fields(RunConfig)}


@pytest.mark.parametrize(
    "typed, offered",
    [
        ("model=resnet1", {"model=resnet101", "model=resnet152", "model=resnet18"}),
        ("trainer.ep", {"trainer.epochs="}),
        ("sch", {"scheduler=", "scheduler."}),
    ],
)
def test_tab_completion(shell: Door, typed: str, offered: set[str]) -> None:
    line = f"python train.py {typed}"
    words = watched(shell, "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line))).split()
    assert set(words) == offered


def test_the_command_works_from_anywhere(shell: Door, tmp_path: Path) -> None:
    """And takes paths as the shell would: relative to where it was called, ~ at home."""
    script = f"""
import os, sys
os.chdir({str(tmp_path)!r})
os.execv(sys.executable, [sys.executable, {str(ROOT / "train.py")!r}, *sys.argv[1:]])
"""
    result = shell("-c", script, "data=folder", "data.root=photos", "sweep.root=~/runs", HOME=str(tmp_path))
    assert result.code == 2
    assert result.err == f"error: data.root=photos: no such folder (the nearest folder that exists is {tmp_path})\n"
    assert list(tmp_path.iterdir()) == []
