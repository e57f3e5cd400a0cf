"""Resource quantities in built-in objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from typing import Any, Final

from mlsysops_embedded.errors import Cause

__all__ = ["canonical_quantity", "exact_quantity", "parse_quantity", "quantity_faults"]

_FORM: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(|[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse_quantity(value: str | int | float) -> float:
    """A quantity as a number.

    Raises:
        ValueError: Not a quantity.
    """
    return float(value) if isinstance(value, (int, float)) else float(exact_quantity(value))


def exact_quantity(value: str) -> Decimal:
    """A quantity without rounding.

    Raises:
        ValueError: Not a quantity.
    """
    match = _FORM.fullmatch(value)
    if match is None or len(value) > 64:
        raise ValueError(
            f"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': {value!r}"
        )
    number, unit = Decimal(match[1]), match[2]
    if unit in _BINARY:
        return number * Decimal(1024 ** _BINARY[unit])
    return number.scaleb(int(unit[1:]) if unit[:1] in ("e", "E") and len(unit) > 1 else _DECIMAL[unit])


@lru_cache(maxsize=4096)
def canonical_quantity(value: str, finest: int = -9) -> str:
    """A quantity as Kubernetes writes it: the largest unit that leaves no fraction, rounded up to the finest one.

    Args:
        value: The quantity.
        finest: Power of ten of the finest unit: nano, and milli in lists of resources (`SetDefaults_ResourceList`).

    Source: apimachinery `pkg/api/resource/quantity.go`, `CanonicalizeBytes`.

    Raises:
        ValueError: Not a quantity.
    """
    exact = exact_quantity(value)
    if not exact:
        return "0"
    unit = value.lstrip("+-0123456789.")
    if unit in _BINARY and abs(exact) >= 1024:
        number, power = int(exact.to_integral_value(ROUND_UP)), 0
        while number % 1024 == 0 and power < len(_BINARY):
            number, power = number // 1024, power + 1
        return f"{number}{next((name for name, size in _BINARY.items() if size == power), '')}"
    number, exponent = int(exact.scaleb(-finest).to_integral_value(ROUND_UP)), finest
    while number % 1000 == 0 and exponent < 18:
        number, exponent = number // 1000, exponent + 3
    if unit[:1] in ("e", "E") and len(unit) > 1:
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{next(name for name, size in _DECIMAL.items() if size == exponent)}"


def quantity_faults(value: Any, schema: Mapping[str, Any], path: str = "") -> list[Cause]:
    """Faults of all quantities in an object; writes them in their canonical form, in place."""
    causes: list[Cause] = []
    properties = schema.get("properties")
    if isinstance(value, dict):
        extra = schema.get("additionalProperties")
        for key, item in value.items():
            sub = (properties or {}).get(key) or (extra if isinstance(extra, Mapping) else None)
            if not sub or item is None:
                continue
            place = f"{path}.{key}" if path else key
            if "x-quantity" in sub:
                try:
                    value[key] = canonical_quantity(str(item), sub["x-quantity"])
                except ValueError as exc:
                    causes.append(Cause("FieldValueInvalid", place, f'Invalid value: "{item}": {exc}'))
            elif isinstance(item, (dict, list)):
                causes += quantity_faults(item, sub, place)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                causes += quantity_faults(item, schema["items"], f"{path}[{index}]")
    return causes
