"""What the runs show. Reads what runs left behind, and never imports torch.

    from analysis import load
    runs = load("outputs/demo")  # a pandas DataFrame, a row a run

Rooms, each of which may import those before it: read (run folders -> a row a run) and statistics (pure functions of
arrays), model (-> a row an identity, and what is to be said of it), show (-> text or a page), report (the command).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.read.records import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # pandas is loaded by the first one who needs it, not by `import analysis`
    if name == "load":
        from analysis.read.records import load

        return load
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
