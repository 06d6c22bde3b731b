"""How a sweep tells train.py that it did not end well."""


class SweepEnded(Exception):
    """Some runs failed, or the sweep was stopped. `code` is train.py's exit code."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code
