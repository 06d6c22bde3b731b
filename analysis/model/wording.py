"""How numbers and levels of settings are written in sentences and cells."""


def signed(value: float, form: str = "+.1f") -> str:
    """`value` with a sign, but for what rounds to nothing."""
    text = f"{value:{form}}"
    return text.lstrip("+-") if float(text) == 0 else text


def plural(count: int) -> str:
    """The s of a noun that is counted."""
    return "" if count == 1 else "s"


def level_text(level: object) -> str:
    """A level of a setting: 0.001, adamw."""
    return f"{level:g}" if isinstance(level, float) else str(level)


def level_order(level: object) -> tuple[int, float, str]:
    """Sorts levels: numbers, then none and default, then the other words."""
    number = isinstance(level, int | float) and not isinstance(level, bool)
    return (0, float(level), "") if number else (1, 0.0, "" if level in ("none", "default") else str(level))  # type: ignore[arg-type]
