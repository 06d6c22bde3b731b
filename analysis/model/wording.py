"""How numbers and levels of settings are written in sentences and cells."""

from collections.abc import Sequence

from analysis.statistics.metric_names import Metric

DIGITS = 3  # significant ones of a setting that was drawn: lr 0.000443


def signed(value: float, form: str = "+.1f") -> str:
    """`value` with a sign, but for what rounds to nothing."""
    text = f"{value:{form}}"
    return text.lstrip("+-") if float(text) == 0 else text


def plural(count: int) -> str:
    """The s of a noun that is counted."""
    return "" if count == 1 else "s"


def level_text(level: object) -> str:
    """A level of a setting: 0.001, adamw."""
    return level_texts([level])[0]


def level_texts(levels: Sequence[object]) -> list[str]:
    """Levels of one setting: 0.001, adamw; numbers with three significant digits, more where some would look alike."""
    numbers = {level for level in levels if isinstance(level, float)}
    digits = DIGITS
    while digits < 17 and len({f"{number:.{digits}g}" for number in numbers}) < len(numbers):
        digits += 1
    return [f"{level:.{digits}g}" if isinstance(level, float) else str(level) for level in levels]


def level_order(level: object) -> tuple[int, float, str]:
    """Sorts levels: numbers, then none and default, then the other words."""
    number = isinstance(level, int | float) and not isinstance(level, bool)
    return (0, float(level), "") if number else (1, 0.0, "" if level in ("none", "default") else str(level))  # type: ignore[arg-type]


def unit(metric: Metric) -> str:
    """What effects by `metric` are in: points of test accuracy."""
    if metric.scale > 1:
        return f"points of test {metric.title}"
    return f"test {metric.title}, {'higher' if metric.sign > 0 else 'lower'} is better"
