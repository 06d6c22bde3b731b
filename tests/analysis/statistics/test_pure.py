"""analysis.statistics may be imported by training's programs and by sweeps: it needs no pandas, and nothing of ours."""

import json
import subprocess
import sys

from conftest import ROOT


def test_it_is_imported_without_pandas_and_without_other_rooms() -> None:
    names = [f"analysis.statistics.{file.stem}" for file in (ROOT / "analysis" / "statistics").glob("[!_]*.py")]
    assert "analysis.statistics.inference" in names
    code = "import importlib, json, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    code += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert set(names) <= set(loaded)
    foreign = ("pandas", "torch", "rich", "training", "sweeps", "analysis.read", "analysis.model", "analysis.show")
    assert not [name for name in loaded if name.startswith(foreign)]
