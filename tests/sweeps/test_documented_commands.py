"""Commands as the documentation of Hydra (basic and extended override grammar, multirun, command line flags, debugging)
and of its Optuna sweeper write them, in this project's keys: each runs, or is refused in one line."""

from pathlib import Path

import pytest
from conftest import QUICK, Door
from outcome import TINY

SMALL = [*QUICK, TINY, "trainer.epochs=1", "tracking=none"]
PLAN = "sweep.plan=true"
SEARCH = ["-m", "hydra/sweeper=optuna_async", PLAN]
LR = "optimizer.lr=interval(1e-4,1e-1)"
TWO = ["hydra.sweeper.direction=[maximize,minimize]", "hydra.sweeper.objective=[val_acc,val_loss]"]

WORKS = [
    # https://hydra.cc/docs/advanced/override_grammar/basic: values, additions, deletions, quotes, casts
    (["-m", "trainer.epochs=2", PLAN], "1 run: 1 new"),
    (["-m", "+model.kwargs.width=8", PLAN], "1 run: 1 new"),
    (["-m", "++model.kwargs.width=8", PLAN], "1 run: 1 new"),
    (["-m", "++optimizer.lr=0.1", PLAN], "lr0.1-"),
    (["-m", "optimizer=sgd", "~optimizer.kwargs.nesterov", PLAN], "1 run: 1 new"),
    (["-m", "optimizer=sgd", "~optimizer.kwargs.nesterov=true", PLAN], "1 run: 1 new"),
    (["-m", "optimizer.kwargs.betas=[0.8,0.99]", PLAN], "betas=[0.8,0.99]"),
    (["-m", "optimizer.kwargs={eps:1e-6}", PLAN], "1 run: 1 new"),
    (["-m", "optimizer.kwargs={eps:1e-6,betas:[0.8,0.99]}", PLAN], "1 run: 1 new"),
    (["-m", "model.drop_path=null", PLAN], "1 run: 1 new"),
    (["-m", "trainer.ema=null", PLAN], "1 run: 1 new"),
    (["-m", "sweep.name='with space'", PLAN], "1 run: 1 new"),
    (["-m", 'sweep.name="a, b"', PLAN], "1 run: 1 new"),
    (["-m", "sweep.name=with\\ space", PLAN], "1 run: 1 new"),
    (["-m", "sweep.name=a-${seed}", PLAN], "1 run: 1 new"),
    (["-m", "sweep.name=${oc.env:HOME_OF_NOBODY,there}", PLAN], "1 run: 1 new"),
    (["-m", "seed=int(3.7)", PLAN], "seed=3"),
    (["-m", "optimizer.lr=float(1)", PLAN], "lr1-"),
    (["-m", "trainer.deterministic=bool(1)", PLAN], "1 run: 1 new"),
    (["-m", "sweep.name=str(12)", PLAN], "1 run: 1 new"),
    # https://hydra.cc/docs/advanced/override_grammar/extended: sweeps and functions
    (["-m", "seed=0,1,2", PLAN], "3 runs: 3 new"),
    (["-m", "seed=choice(0,1)", PLAN], "2 runs: 2 new"),
    (["-m", "seed=range(0,3)", PLAN], "3 runs: 3 new"),
    (["-m", "seed=range(3)", PLAN], "3 runs: 3 new"),
    (["-m", "seed=range(0,10,step=5)", PLAN], "2 runs: 2 new"),
    (["-m", "optimizer.lr=range(0.1,0.4,0.1)", PLAN], "runs: "),
    (["-m", "seed=sort(3,1,2)", PLAN], "3 runs: 3 new"),
    (["-m", "seed=sort(3,1,2,reverse=true)", PLAN], "3 runs: 3 new"),
    (["-m", "seed=shuffle(1,2,3)", PLAN], "3 runs: 3 new"),
    (["-m", "seed=shuffle(range(0,3))", PLAN], "3 runs: 3 new"),
    (["-m", "seed=int(choice(1.1,2.2))", PLAN], "2 runs: 2 new"),
    (["-m", "seed=tag(mine,choice(1,2))", PLAN], "2 runs: 2 new"),
    (["-m", "optimizer.kwargs={eps:1e-6},{eps:1e-5}", PLAN], "2 runs: 2 new"),
    (["-m", "optimizer.kwargs.betas=[0.9,0.99],[0.8,0.99]", PLAN], "2 runs: 2 new"),
    # https://hydra.cc/docs/tutorials/basic/running_your_app/multi-run, and config groups
    (["-m", "optimizer=adam,sgd", PLAN], "2 runs: 2 new"),
    (["-m", "optimizer=adam,sgd", "scheduler=cosine,none", PLAN], "4 runs: 4 new"),
    (["-m", "scheduler=glob(*)", PLAN], "5 runs: 5 new"),
    (["-m", "scheduler=glob([c*,s*])", PLAN], "2 runs: 2 new"),
    (["-m", "scheduler=glob(*,exclude=[none,step])", PLAN], "3 runs: 3 new"),
    (["--multirun", "seed=0,1", PLAN], "2 runs: 2 new"),
    (["hydra.mode=MULTIRUN", "seed=0,1", PLAN], "2 runs: 2 new"),
    (["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1", PLAN], "2 runs: 2 new"),
    (["-m", "hydra/launcher=basic", "seed=0,1", PLAN], "2 runs: 2 new"),
    (["-m", "hydra/launcher=folder_workers", "hydra.launcher.workers=4", "seed=0,1", PLAN], "2 runs: 2 new"),
    (["-m", "hydra/launcher=slurm_workers", "hydra.launcher.gres=gpu:1", "seed=0,1", PLAN], "2 runs: 2 new"),
    (["-m", "hydra/launcher=ray_workers", "hydra.launcher.resources={a100: 1}", "seed=0,1", PLAN], "2 runs: 2 new"),
    # https://hydra.cc/docs/advanced/hydra-command-line-flags, and debugging
    (["--cfg", "job"], "lr: 0.001"),
    (["--cfg", "job", "--resolve"], "name: runs"),
    (["--cfg", "job", "-p", "optimizer"], "_target_: torch.optim.AdamW"),
    (["--cfg", "hydra"], "GridSweeper"),
    (["--cfg", "all"], "GridSweeper"),
    (["--info", "defaults"], "Defaults List"),
    (["--info", "defaults-tree"], "optimizer"),
    (["--info", "config"], "Config search path"),
    (["--info", "plugins"], "GridSweeper"),
    (["--info", "searchpath"], "conf"),
    (["--help"], "KEY=VALUE"),
    (["--hydra-help"], "--multirun"),
    (["--version"], "Hydra"),
    (["-m", "-cn", "config", PLAN], "1 run: 1 new"),
    (["-m", "hydra/job_logging=disabled", PLAN], "1 run: 1 new"),
    (["-m", "hydra/hydra_logging=disabled", PLAN], "1 run: 1 new"),
    (["-m", "hydra.output_subdir=null", PLAN], "1 run: 1 new"),
    # https://hydra.cc/docs/plugins/optuna_sweeper
    ([*SEARCH, LR], "FloatDistribution"),
    ([*SEARCH, "optimizer.lr=tag(log,interval(1e-4,1e-1))"], "log=True"),
    ([*SEARCH, "optimizer=choice(adam,sgd)"], "CategoricalDistribution"),
    ([*SEARCH, "trainer.accumulate=range(1,4,step=2)"], "IntDistribution"),
    ([*SEARCH, LR, "hydra/sweeper/sampler=random"], "plan: study"),
    ([*SEARCH, "optimizer=choice(adam,sgd)", "hydra/sweeper/sampler=grid"], "plan: study"),
    ([*SEARCH, LR, "hydra.sweeper.sampler.seed=123"], "plan: study"),
    ([*SEARCH, LR, "hydra.sweeper.n_trials=30", "hydra.sweeper.n_jobs=4"], "30 trials"),
    ([*SEARCH, LR, "hydra.sweeper.study_name=sphere"], "study sphere"),
    ([*SEARCH, LR, "hydra.sweeper.sampler.multivariate=true"], "plan: study"),
    (
        [*SEARCH, LR, "hydra.sweeper.direction=[maximize,minimize]", "hydra.sweeper.objective=[val_acc,val_loss]"],
        "plan: ",
    ),
    ([*SEARCH, "trainer.batch_size=tag(log,int(interval(8,64)))"], "IntDistribution(high=64, log=True"),
]

REFUSED = [
    (["seed=0,1"], "several values make a sweep, which needs -m"),
    (["seed=range(0,3)"], "several values make a sweep, which needs -m"),
    (["scheduler=glob(*)"], "several values make a sweep, which needs -m"),
    (["+trainer.new=1"], "trainer.new: no such key"),
    (["~trainer.new"], "trainer.new"),
    (["optimizer@optimizer=sgd"], "did you mean optimizer?"),
    (["optimizer=nothing"], "optimizer=nothing: no such choice"),
    (["-m", "seed=interval(0,3)"], "is for a search"),
    (["-m", "hydra.launcher.slots=1,2"], "one value for the whole sweep"),
    (["-m", "hydra.sweeper.n_trials=3"], "hydra.sweeper.n_trials: no such key; it is for a search"),
    (["-m", "+hydra.sweeper.nothing=2"], "hydra.sweeper.nothing: no such key"),
    (["-m", "+hydra.launcher.nothing=2"], "hydra.launcher.nothing: no such key"),
    ([*SEARCH, "optimizer.lr=tag(log,range(0.1,0.5))"], "a range goes in equal steps, which log can't"),
    (["-m", "seed=1,,2"], "seed=1,,2: can't be read as KEY=VALUE"),
    (["-m", "seed:0,1"], "seed:0,1: expected KEY=VALUE"),
    (["-m", "--seed=3"], "unrecognized arguments: --seed=3"),
    (["-m", "~scheduler=cosine"], "Could not delete 'scheduler=cosine'"),
    (["-m", "+scheduler@second=cosine"], "second: no such key"),
    (["-m", "seed=${nowhere}"], "seed: Interpolation key 'nowhere' not found"),
    (["-m", "hydra/sweeper=ax", "seed=0,1"], "hydra/sweeper=ax: no such choice"),
    (["-m", "hydra/sweeper=optuna", LR, PLAN], "hydra/sweeper=optuna makes no plan"),
    (["-m", "hydra/launcher=joblib", "hydra.launcher.nothing=2"], "hydra.launcher.nothing: no such key"),
    (["-m", "+hydra.callbacks.x._target_=nowhere.Callback"], "hydra.callbacks.x: Error locating target"),
    (["--cfg", "job", "--package", "nothing"], "--package nothing: no such part of the config"),
    ([*SEARCH, LR, "hydra.sweeper.direction=[maximize,minimize]"], "1 objectives, but 2 directions"),
    ([*SEARCH, LR, "hydra.sweeper.direction=up"], "hydra.sweeper.direction=up: expected minimize or maximize"),
    ([*SEARCH, LR, "hydra/sweeper/sampler=motpe"], "'motpe' sampler was removed"),
    ([*SEARCH, LR, "hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs=0: expected 1 or more"),
    ([*SEARCH, "+hydra.sweeper.search_space={optimizer.lr:{type:float}}"], "hydra.sweeper.search_space: no such key"),
    ([*SEARCH, "hydra.sweeper.custom_search_space=nowhere.configure"], "custom_search_space=nowhere.configure: "),
    (["-m", "seed=0,1", "hydra.sweep.dir=multirun", "hydra.sweep.subdir=${hydra.job.num}"], "sweep.root=FOLDER"),
    (["hydra.run.dir=."], "sweep.root=FOLDER"),
    (["hydra.job.chdir=true"], "relative paths"),
    (["--multirun", "--cfg", "job"], "only one of -m, --cfg"),
    (["--resolve"], "is only for --cfg"),
    (["--config-name", "other"], "Cannot find primary config 'other'"),
    (["--config-dir", "nowhere"], "nowhere"),
    (["--experimental-rerun", "nowhere"], ".hydra/config.pickle"),
    (["hydra/launcher=rq"], "hydra/launcher=rq: no such choice"),
    (["seed=int(abc)"], "invalid literal for int()"),
    (["seed=nothing(1)"], "Unknown function 'nothing'"),
    (["model.kwargs={width:4,width:8}"], "width stands twice"),
]


def test_there_are_more_than_forty() -> None:
    assert len(WORKS) + len(REFUSED) > 40


@pytest.mark.parametrize("arguments, words", WORKS, ids=lambda value: str(value)[:60])
def test_it_works(train: Door, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = train(*SMALL, *arguments)
    assert result.code == 0 and words in result.out, result
    assert (result.err == "" or arguments[0].startswith("--")) and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("arguments, words", REFUSED, ids=lambda value: str(value)[:60])
def test_it_is_refused_in_one_line(train: Door, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = train(*SMALL, *arguments)
    assert result.code == 2 and words in result.err, result
    assert result.err.startswith("error: ") and result.err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()
