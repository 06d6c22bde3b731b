"""Recipes that can't be read, in a folder of the user's own, and searches that can't be."""

from pathlib import Path

import pytest
from doors import Case, Place, call, each, place
from odd_files import odd

__all__ = ["place"]

GLOBAL = "# @package _global_\n"
RUNS = f"{GLOBAL}hydra:\n  sweeper:\n    runs:"
FILES: dict[str, bytes] = {
    name: text.encode() if isinstance(text, str) else text
    for name, text in {
        "syntax": f"{GLOBAL}trainer: [1, 2\n",
        "tabs": f"{GLOBAL}trainer:\n\tepochs: 1\n",
        "indented": f"{GLOBAL}trainer:\n  epochs: 1\n seed: 0\n",
        "key_twice": f"{GLOBAL}seed: 0\nseed: 1\n",
        "list": f"{GLOBAL}- model=resnet18\n",
        "text": f"{GLOBAL}model=resnet18\n",
        "number": f"{GLOBAL}5\n",
        "latin": f"{GLOBAL}sweep:\n  name: caf".encode() + b"\xe9\n",
        "utf16": f"{GLOBAL}seed: 0\n".encode("utf-16"),
        "binary": bytes(range(256)),
        "html": "<!DOCTYPE html>\n<html><body>404</body></html>\n",
        "unknown_key": f"{GLOBAL}trainer:\n  epoch: 3\n",
        "unknown_group": f"{GLOBAL}trainr:\n  epochs: 3\n",
        "wrong_type": f"{GLOBAL}trainer:\n  epochs: ten\n",
        "out_of_range": f"{GLOBAL}trainer:\n  epochs: -3\n",
        "no_package": "trainer:\n  epochs: 3\n",
        "wrong_package": "# @package trainer\ntrainer:\n  epochs: 3\n",
        "unknown_default": f"{GLOBAL}defaults:\n  - override /model: resnet81\n",
        "defaults_text": f"{GLOBAL}defaults: resnet18\n",
        "no_override": f"{GLOBAL}defaults:\n  - override /modle: resnet18\n",
        "cycle": f"{GLOBAL}defaults:\n  - /sweeps/cycle\n",
        "round": f"{GLOBAL}defaults:\n  - /sweeps/about\n",
        "about": f"{GLOBAL}defaults:\n  - /sweeps/round\n",
        "runs_text": f"{RUNS} model=resnet18\n",
        "runs_number": f"{RUNS} 5\n",
        "runs_dicts": f"{RUNS}\n      - model: resnet18\n",
        "runs_lists": f"{RUNS}\n      - [model=resnet18]\n",
        "runs_key": f"{RUNS}\n      - modle=resnet18\n",
        "runs_choice": f"{RUNS}\n      - model=resnet81\n",
        "runs_value": f"{RUNS}\n      - optimizer.lr=fast\n",
        "runs_quote": f"{RUNS}\n      - sweep.name='a\n",
        "runs_half": f"{RUNS}\n      - model\n",
        "runs_space": f"{RUNS}\n      - model = resnet18\n",
        "sweeper_key": f"{GLOBAL}hydra:\n  sweeper:\n    run:\n      - seed=0\n",
        "params_list": f"{GLOBAL}hydra:\n  sweeper:\n    params: [seed]\n",
        "interpolation": f"{GLOBAL}trainer:\n  epochs: ${{no.such.key}}\n",
        "resolver": f"{GLOBAL}trainer:\n  epochs: ${{nosuch:3}}\n",
        "variable": f"{GLOBAL}sweep:\n  name: ${{oc.env:NO_SUCH_VARIABLE}}\n",
        "itself": f"{GLOBAL}seed: ${{seed}}\n",
        "anchor": f"{GLOBAL}seed: *nowhere\n",
        "python": f"{GLOBAL}seed: !!python/object/apply:os.system ['true']\n",
        "missing": f"{GLOBAL}optimizer:\n  lr: ???\n",
        "missing_group": f"{GLOBAL}optimizer: ???\n",
        "missing_choice": f"{GLOBAL}defaults:\n  - override /model: ???\n",
        "missing_of_hydra": f"{GLOBAL}hydra:\n  sweeper:\n    runs: ???\n",
        "no_seed": f"{GLOBAL}seed: null\n",
        "no_trainer": f"{GLOBAL}trainer: null\n",
        "null_character": f'{GLOBAL}sweep:\n  name: "a\\0b"\n',
        "bomb": GLOBAL
        + "a0: &a0 [x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
        + "sweep:\n  name: *a8\n",
    }.items()
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recipes")
    (root / "sweeps").mkdir()
    for name, content in FILES.items():
        (root / "sweeps" / f"{name}.yaml").write_bytes(content)
    odd(root / "sweeps", ".yaml")
    (root / "file").touch()
    return root


def recipe(kind: str, name: str, *words: str, doors: str = "grid") -> Case:
    return Case(kind, doors, f"--config-dir {{}} sweeps={name}", words)


RECIPES = [
    recipe("no such recipe", "nosuch", "sweeps=nosuch: no such choice", doors="grid plan"),
    recipe("misspelt recipe", "wrong_tipe", "did you mean wrong_type?"),
    recipe("YAML's syntax", "syntax", "syntax.yaml", doors="grid plan"),
    recipe("tabs", "tabs", "tabs.yaml"),
    recipe("indentation", "indented", "indented.yaml"),
    recipe("key twice", "key_twice", "key_twice.yaml", "seed"),
    recipe("list instead of settings", "list", "sweeps/list"),
    recipe("text instead of settings", "text", "sweeps/text"),
    recipe("number instead of settings", "number", "sweeps/number"),
    recipe("not UTF-8", "latin", "latin.yaml"),
    recipe("UTF-16", "utf16", "utf16.yaml"),
    recipe("binary file", "binary", "binary.yaml"),
    recipe("HTML page", "html", "html"),
    recipe("folder instead of a file", "folder", "sweeps=folder", "no such choice"),
    recipe("broken link", "broken", "sweeps=broken"),
    recipe("link loop", "loop", "sweeps=loop"),
    recipe("unknown key", "unknown_key", "trainer.epoch: no such key; did you mean trainer.epochs?", doors="grid plan"),
    recipe("unknown key", "unknown_group", "trainr: no such key; did you mean trainer"),
    recipe("text as a whole number", "wrong_type", "trainer.epochs=ten: expected a whole number", doors="grid plan"),
    recipe("negative", "out_of_range", "trainer.epochs=-3: expected 1 or more"),
    recipe("no package header", "no_package", "sweeps", "_global_"),
    recipe("wrong package header", "wrong_package", "trainer.trainer: no such key"),
    recipe("unknown choice", "unknown_default", "model=resnet81: no such choice; did you mean resnet18?"),
    recipe("text instead of a list", "defaults_text", "defaults"),
    recipe("unknown group", "no_override", "modle"),
    recipe("recipe that includes itself", "cycle", "cycle"),
    recipe("recipes that include each other", "round", "lead back to itself"),
    recipe("text instead of a list", "runs_text", "hydra.sweeper.runs"),
    recipe("number instead of a list", "runs_number", "hydra.sweeper.runs"),
    recipe("settings instead of lines", "runs_dicts", "hydra.sweeper.runs"),
    recipe("lists instead of lines", "runs_lists", "hydra.sweeper.runs"),
    recipe("misspelt key in runs", "runs_key", "modle: no such key; did you mean model?", doors="grid plan"),
    recipe("misspelt choice in runs", "runs_choice", "model=resnet81: no such choice", doors="grid plan"),
    recipe("wrong type in runs", "runs_value", "optimizer.lr=fast: expected a number", doors="grid plan"),
    recipe("quote that stays open", "runs_quote", "sweep.name='a"),
    recipe("line without a value", "runs_half", "model"),
    recipe("line with spaces", "runs_space", "model"),
    recipe("unknown key of the sweeper", "sweeper_key", "hydra.sweeper.run: no such key"),
    recipe("list instead of settings", "params_list", "sweeps/params_list"),
    recipe("interpolation of nothing", "interpolation", "trainer.epochs", "no.such.key"),
    recipe("unknown resolver", "resolver", "nosuch"),
    recipe("variable that is not set", "variable", "NO_SUCH_VARIABLE"),
    recipe("interpolation of itself", "itself", "seed"),
    recipe("anchor that is not there", "anchor", "anchor.yaml"),
    recipe("tag of Python", "python", "python.yaml"),
    recipe("null character", "null_character", "sweep.name"),
    recipe("value that is missing", "missing", "optimizer.lr=??? in sweeps/missing: a value is missing"),
    recipe("value that is missing", "missing_group", "optimizer: ??? in sweeps/missing_group: settings are missing"),
    recipe("value that is missing", "missing_choice", "You must specify 'model'"),
    recipe("value that is missing", "missing_of_hydra", "hydra.sweeper.runs=??? in sweeps/missing_of_hydra"),
    recipe("null for a number", "no_seed", "sweeps/no_seed: seed=null: expected a whole number"),
    recipe("null for settings", "no_trainer", "sweeps/no_trainer: trainer=null: expected settings"),
    recipe("pipe", "pipe", "sweeps=pipe: no such choice"),
    recipe("device", "device", "sweeps=device: no such choice"),
    recipe("socket", "socket", "sweeps=socket: no such choice"),
    recipe("empty file", "nothing", "sweeps/nothing"),
    recipe("bomb of anchors", "bomb", "bomb.yaml line 2", "exceeds"),
    recipe("recipe for one run", "syntax", "is for a sweep, which needs -m", doors="train"),
    Case("no such folder", "grid train", "--config-dir {}/no", ["{}/no"]),
    Case("file instead of a folder", "grid train", "--config-dir {}/file", ["{}/file"]),
    Case("pipe instead of a folder", "train", "--config-dir {}/sweeps/pipe.yaml", ["pipe.yaml"]),
    Case("link loop", "train", "--config-dir {}/sweeps/loop.yaml", ["loop.yaml"]),
    Case("pipe instead of a file", "train", "--config-dir {}/sweeps --config-name pipe", ["pipe"]),
]
SPACE = "optimizer.lr=interval(1e-4,1e-2)"


def search(kind: str, line: str, *words: str) -> Case:
    return Case(kind, "search", f"hydra.sweeper.n_trials=1 {line}", words)


SEARCHES = [
    search("text as a whole number", f"{SPACE} hydra.sweeper.n_trials=x", "hydra.sweeper.n_trials"),
    search("zero", f"{SPACE} hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0"),
    search("negative", f"{SPACE} hydra.sweeper.n_trials=-1", "hydra.sweeper.n_trials=-1"),
    search("unknown sampler", f"{SPACE} hydra/sweeper/sampler=tpee", "no such choice", "tpe"),
    search("unknown pruner", f"{SPACE} hydra/sweeper/pruner=hyperban", "did you mean hyperband?"),
    search("sampler that is none", f"{SPACE} hydra.sweeper.sampler._target_=nowhere.S", "sampler", "nowhere"),
    search("setting that the sampler lacks", f"{SPACE} +hydra.sweeper.sampler.nope=1", "sampler", "nope"),
    search(
        "unknown objective", f"{SPACE} hydra.sweeper.objective=val_accuracy", "hydra.sweeper.objective=val_accuracy"
    ),
    search("objective of the test set", f"{SPACE} hydra.sweeper.objective=test_acc", "the test set chooses nothing"),
    search("unknown direction", f"{SPACE} hydra.sweeper.direction=up", "hydra.sweeper.direction"),
    search("storage of an unknown kind", f"{SPACE} hydra.sweeper.storage=nosuch://a/b", "hydra.sweeper.storage"),
    search(
        "storage in no folder", f"{SPACE} hydra.sweeper.storage=sqlite:////no/such/folder/a.db", "hydra.sweeper.storage"
    ),
    search("text in an interval", "optimizer.lr=interval(a,b)", "interval"),
    search("interval of one value", "optimizer.lr=interval(1)", "interval"),
    search("value out of its range", "optimizer.lr=interval(-1,1)", "optimizer.lr=-1.0: expected a number above 0"),
    search("misspelt key", "optimizer.lrr=interval(1e-4,1e-2)", "optimizer.lrr: no such key", "optimizer.lr"),
    search("misspelt choice", "model=choice(resnet18,resnet81)", "model=resnet81: no such choice"),
    search("point out of the space", f"{SPACE} hydra.sweeper.enqueue=[seed=1]", "hydra.sweeper.enqueue"),
    search("seeds are missing", f"{SPACE} hydra.sweeper.confirm.top=2", "hydra.sweeper.confirm"),
]


def test_a_missing_value_may_come_from_the_command_line(place: Place) -> None:
    result = call("plan", "--config-dir", str(place.inputs), "sweeps=missing", "optimizer.lr=0.5")
    assert result.code == 0 and "-lr0.5-" in result.out, result


@pytest.mark.parametrize("door, case", each(*RECIPES, *SEARCHES))
def test_recipes(place: Place, door: str, case: Case) -> None:
    place.refused(door, case.arguments, case.words)
