"""The small language of --where and --reference: which runs, by their columns. Nothing in it can act.

    model == 'resnet18' and lr < 1e-2
    augment.flip > 0 and optimizer in ('adamw', 'sgd')
    'resnet' in model

Names of columns (dotted ones too), comparisons, and, or, not, in, parentheses, strings and numbers. It is read by
Python's own parser and worked out here; there are no calls, no attributes and no arithmetic in it.
"""

import ast
import difflib
import operator
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
WORDS = {"true": True, "false": False}
GRAMMAR = "expected columns, numbers and 'strings' with ==, !=, <, <=, >, >=, in, and, or, not"
MOST_VALUES = 8  # that are named
EXAMPLE = "such as \"model == 'resnet18' and lr < 1e-2\""


class QueryError(ValueError):
    """Not a query over these columns; one line says why."""


def matching(table: pd.DataFrame, query: str) -> "pd.Series[bool]":
    """For which rows of `table` the query is true; a missing value is neither less nor greater than anything, and
    equals nothing. Raises QueryError."""
    try:
        tree = ast.parse(re.sub(r"`([^`]*)`", r"\1", query).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise QueryError(f"can't be read{_slip(query)}; {GRAMMAR}, {EXAMPLE}") from None
    try:
        answer = _truth(tree.body, table)
    except RecursionError:
        raise QueryError("is nested too deeply") from None
    return answer.fillna(False).astype(bool)


def unknown_values(table: pd.DataFrame, query: str) -> list[str]:
    """For each comparison with a value that no row of `table` has, which values there are: what is to be said of a
    `query` (which matching() has taken) that is true for none."""
    lines = []
    for node in ast.walk(ast.parse(re.sub(r"`([^`]*)`", r"\1", query).strip(), mode="eval")):
        match node:
            case ast.Compare(left=ast.Name() | ast.Attribute() as left, ops=[ast.Eq() | ast.In()], comparators=[right]):
                column, wanted = _operand(left, table), _operand(right, table)
            case _:
                continue
        if not isinstance(column, pd.Series) or isinstance(wanted, pd.Series):
            continue
        values = list(column.dropna().unique())
        missing = [one for one in (wanted if isinstance(wanted, list) else [wanted]) if one not in values]
        if missing and len(missing) == (len(wanted) if isinstance(wanted, list) else 1):
            said = ", ".join(map(repr, missing))
            lines.append(f"no run has {_name(left)} {said}; there {_these(values)}")
    return lines


def _these(values: list[Any]) -> str:
    """So that it can be copied into a query."""
    if not values:
        return "is none"
    shown = [repr(value.item() if hasattr(value, "item") else value) for value in values[:MOST_VALUES]]
    return f"{'is' if len(values) == 1 else 'are'} {', '.join(shown)}{', ...' * (len(values) > MOST_VALUES)}"


def _slip(query: str) -> str:
    """What is mostly meant by what Python can't read."""
    if re.search(r"\b(AND|OR|NOT|IN)\b", query):
        return " (and, or, not, in are in small letters)"
    if re.search(r"[^=!<>]=(?!=)", query):
        return " (equal is ==)"
    return ""


def _truth(node: ast.expr, table: pd.DataFrame) -> "pd.Series[bool]":
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_truth(value, table) for value in values]
            return _joined(parts, isinstance(op, ast.And))
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):  # as pandas spells and, or
            return _joined([_truth(left, table), _truth(right, table)], isinstance(op, ast.BitAnd))
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return ~_truth(operand, table)
        case ast.Compare(left=left, ops=ops, comparators=rights):
            pairs = zip([left, *rights], ops, rights, strict=False)
            return _joined([_compared(one, op, other, table) for one, op, other in pairs], True)
        case ast.Name() | ast.Attribute():
            column = _column(_name(node), table)
            if not pd.api.types.is_bool_dtype(column.dropna().infer_objects().dtype):
                raise QueryError(f"{_name(node)} is neither true nor false for a run; {EXAMPLE}")
            return column.fillna(False).astype(bool)
        case _:
            raise QueryError(f"{ast.unparse(node)} is neither true nor false for a run; {GRAMMAR}, {EXAMPLE}")


def _joined(parts: "list[pd.Series[bool]]", every: bool) -> "pd.Series[bool]":
    answer = parts[0]
    for part in parts[1:]:
        answer = answer & part if every else answer | part
    return answer


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, table: pd.DataFrame) -> "pd.Series[bool]":
    one, other = _operand(left, table), _operand(right, table)
    if isinstance(op, ast.In | ast.NotIn):
        if isinstance(one, str) and isinstance(other, pd.Series):  # part of a text: 'resnet' in model
            has_part = other.astype("str").str.contains(one, regex=False, na=False)
            return has_part if isinstance(op, ast.In) else ~has_part
        if not isinstance(one, pd.Series) or not isinstance(other, list):
            raise QueryError(f"{ast.unparse(left)} in {ast.unparse(right)}: expected a column in a list of values")
        found = one.isin(other)
        return found if isinstance(op, ast.In) else ~found
    if isinstance(one, list) or isinstance(other, list):
        raise QueryError(f"a list of values goes with `in`; {EXAMPLE}")
    if type(op) not in COMPARISONS:
        raise QueryError(f"`is` is not in the language; {GRAMMAR}")
    if not isinstance(one, pd.Series) and not isinstance(other, pd.Series):
        raise QueryError(f"no column in {ast.unparse(left)} ... {ast.unparse(right)}; {EXAMPLE}")
    one, other = _as_numbers(one, other), _as_numbers(other, one)
    try:
        answer = COMPARISONS[type(op)](one, other)
    except TypeError:
        raise QueryError(f"{ast.unparse(left)} and {ast.unparse(right)} can't be compared: text and number") from None
    known = pd.Series(True, table.index)
    for side in (one, other):
        if isinstance(side, pd.Series):
            known &= side.notna()
    true: pd.Series[bool] = answer.fillna(isinstance(op, ast.NotEq)).astype(bool)
    return true if isinstance(op, ast.NotEq) else true[known].reindex(true.index, fill_value=False)


def _as_numbers(one: Any, other: Any) -> Any:
    """A column of numbers and words (a learning rate, or auto) that is compared with a number: the words are missing
    values then."""
    mixed = isinstance(one, pd.Series) and pd.api.types.is_object_dtype(one.dtype)
    if not mixed or isinstance(other, str | pd.Series):
        return one
    numbers = pd.to_numeric(one, errors="coerce")
    return numbers if numbers.notna().any() else one


def _operand(node: ast.expr, table: pd.DataFrame) -> Any:
    """A column, a value, or a list of values."""
    match node:
        case ast.Constant(value=str() | int() | float() | bool() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            values = [_operand(part, table) for part in parts]
            if any(isinstance(value, pd.Series | list) for value in values):
                raise QueryError(f"{ast.unparse(node)}: a list holds numbers and strings")
            return values
        case ast.Name(id=name) if name in WORDS and name not in table:
            return WORDS[name]
        case ast.Name() | ast.Attribute():
            return _column(_name(node), table)
        case _:
            raise QueryError(f"{ast.unparse(node)} is not in the language; {GRAMMAR}")


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{_name(value)}.{attr}"
        case _:
            raise QueryError(f"{ast.unparse(node)} is not in the language; {GRAMMAR}")


def _column(name: str, table: pd.DataFrame) -> "pd.Series[Any]":
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name, [str(column) for column in table.columns], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    for column in table.select_dtypes(["object", "str", "category"]):
        if name in set(table[column].dropna().astype("str")):
            hint = f", but a value of {column}, which wants quotes: {column} == {name!r}"
            break
    raise QueryError(f"{name} is not a column{hint}")
