"""The Common Expression Language with the functions that Kubernetes adds to it.

Source of the functions: https://kubernetes.io/docs/reference/using-api/cel/. Quantities are numbers here, so that of two
that differ by less than a double can say, neither is greater.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable
from typing import Any, Final

from mlsysops_embedded.validation.quantities import parse_quantity

__all__ = ["Expression", "ExpressionError", "SyntaxFaultError", "UndefinedFieldError", "UnknownNameError"]


class ExpressionError(Exception):
    """An expression that cannot be compiled or evaluated."""


class SyntaxFaultError(ExpressionError):
    """It is no expression."""


class UnknownNameError(ExpressionError):
    """It names a variable or function that there is not."""


class UndefinedFieldError(ExpressionError):
    """It selects a field that is not there."""


def _is_quantity(text: Any) -> bool:
    try:
        parse_quantity(text)
    except (ValueError, TypeError):
        return False
    return True


def _substring(text: str, start: int, end: int | None = None) -> str:
    if not 0 <= start <= (len(text) if end is None else end) <= len(text):
        raise ValueError("index out of range")
    return text[start:end]


def _index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str):
        return value.find(wanted)
    return value.index(wanted) if wanted in value else -1


def _last_index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str):
        return value.rfind(wanted)
    return len(value) - 1 - value[::-1].index(wanted) if wanted in value else -1


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    # lists
    "sum": lambda items: sum(items),
    "isSorted": lambda items: all(a <= b for a, b in itertools.pairwise(items)),
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    # strings
    "charAt": lambda text, index: text[index],
    "lowerAscii": lambda text: text.lower(),
    "upperAscii": lambda text: text.upper(),
    "replace": lambda text, old, new, count=-1: text.replace(old, new, count),
    "split": lambda text, sign, count=-1: text.split(sign, count - 1 if count > 0 else -1) if count else [],
    "join": lambda items, sign="": sign.join(items),
    "substring": _substring,
    "trim": lambda text: text.strip(),
    # quantities
    "isQuantity": _is_quantity,
    "quantity": lambda text: float(parse_quantity(text)),
    "isGreaterThan": lambda a, b: a > b,
    "isLessThan": lambda a, b: a < b,
    "compareTo": lambda a, b: (a > b) - (a < b),
    "asInteger": lambda value: int(value),
    "asApproximateFloat": lambda value: float(value),
    "sign": lambda value: (value > 0) - (value < 0),
}


def _library() -> Any:
    # The package imports its command line with a terminal toolkit, some 25 MB that no server needs.
    sys.modules.setdefault("cel.cli", types.ModuleType("cel.cli"))
    import cel

    return cel


class Expression:
    """One expression, compiled on first use.

    Args:
        text: The expression.
    """

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._program: Any = None

    def compile(self) -> None:
        """Parses it.

        Raises:
            SyntaxFaultError: It is no expression.
        """
        if self._program is None:
            try:
                self._program = _library().compile(self.text)
            except ValueError as exc:
                raise SyntaxFaultError(" ".join(str(exc).split())[:300]) from exc

    def __call__(self, variables: dict[str, Any]) -> Any:
        """Its value.

        Raises:
            ExpressionError: It cannot be evaluated.
        """
        self.compile()
        context = _library().Context(variables=variables)
        for name, function in _FUNCTIONS.items():
            context.add_function(name, function)
        try:
            return self._program.execute(context)
        except KeyError as exc:
            raise UndefinedFieldError(f"no such key: {exc.args[0] if exc.args else ''}") from exc
        except RuntimeError as exc:
            if "Undefined variable or function" in str(exc):
                raise UnknownNameError(str(exc).partition(". ")[0]) from exc
            raise ExpressionError(str(exc)) from exc
        except Exception as exc:
            raise ExpressionError(" ".join(str(exc).split())[:200]) from exc

    def attempt(self, variables: dict[str, Any]) -> Any:
        """Its value, or None where it cannot be evaluated."""
        try:
            return self(variables)
        except ExpressionError:
            return None
