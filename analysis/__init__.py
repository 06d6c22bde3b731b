"""What the runs show: records -> table, later statistics, pictures, report. Reads what runs left behind, never torch.

    from analysis import load
    runs = load("outputs/demo")  # a pandas DataFrame, a row a run

Read in this order: records (folders -> a row a run), table (-> a row an identity), formats (-> text), report (the
command).
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
