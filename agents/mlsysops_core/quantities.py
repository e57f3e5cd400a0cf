"""Quantities of descriptions as numbers: CPU in cores, memory and disk in bytes, frequency in hertz.

The grammar is that of Kubernetes quantities (k8s.io/apimachinery/pkg/api/resource: decimal suffixes n, u, m, k, M, G, T, P, E,
binary suffixes Ki … Ei, exponents), widened by what people write: ``GB``, ``GiB``, ``2.4 GHz``. Decimal arithmetic inside, so that
``0.1`` and ``100m`` are the same number.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from mlsysops_core.errors import InvalidInput

__all__ = [
    "InvalidQuantity",
    "format_bytes",
    "format_cpu",
    "format_frequency",
    "parse_bytes",
    "parse_cpu",
    "parse_frequency",
    "parse_percent",
]


class InvalidQuantity(InvalidInput, ValueError):
    """A text or number that is no quantity; a ``ValueError`` too, so that validators can let it through."""


_DECIMAL = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FRACTION = {"n": -9, "u": -6, "m": -3}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SPLIT = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,3}))?\s*([A-Za-z]*)\Z")
_MAX = Decimal(2) ** 63 - 1
"""Largest value of a Kubernetes quantity (int64)."""


def _split(value: str | float, what: str) -> tuple[Decimal, str]:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InvalidQuantity(f"{value!r} is no {what}")
    if not isinstance(value, str):
        if not math.isfinite(value) or value < 0:
            raise InvalidQuantity(f"{value!r} is no {what}: it must be finite and not negative")
        return Decimal(str(value)), ""
    match = _SPLIT.match(value.strip()) if len(value) <= 64 else None
    if match is None:
        raise InvalidQuantity(f"{value[:40]!r} is no {what}")
    digits, exponent, suffix = match.groups()
    # '1E' is one exa in Kubernetes; the pattern takes E as an exponent only where digits follow it.
    return Decimal(digits).scaleb(int(exponent or 0)), suffix


def _bounded(number: Decimal, value: str | float, what: str) -> Decimal:
    if number > _MAX:
        raise InvalidQuantity(f"{value!r} is no {what}: it is above 2^63-1")
    return number


def parse_cpu(value: str | float) -> float:
    """Reads an amount of CPU.

    Args:
        value: ``"250m"``, ``"1.5"``, ``2`` …

    Returns:
        Cores.

    Raises:
        InvalidQuantity: The value is none.
    """
    number, suffix = _split(value, "amount of CPU")
    exponent = _DECIMAL.get(suffix, _FRACTION.get(suffix))
    if exponent is None:
        raise InvalidQuantity(f"{value!r} is no amount of CPU", hint="cores, e.g. 250m or 1.5")
    return float(_bounded(number.scaleb(exponent), value, "amount of CPU"))


def _bytes_factor(suffix: str) -> Decimal | None:
    if suffix in _DECIMAL:
        return Decimal(1).scaleb(_DECIMAL[suffix])
    if suffix in _BINARY:
        return Decimal(2) ** _BINARY[suffix]
    if suffix in _FRACTION:
        return Decimal(1).scaleb(_FRACTION[suffix])
    # Spelled with a B there is no milli to confuse, so case does not matter: GB, gb, GiB, kB.
    if suffix[-1:] in {"B", "b"}:
        stem = suffix[:-1].lower()
        for table in (_BINARY, _DECIMAL):
            for known in table:
                if known.lower() == stem:
                    return _bytes_factor(known)
    return None


def parse_bytes(value: str | float, *, default_unit: str = "") -> int:
    """Reads an amount of memory or disk.

    Args:
        value: ``"64Mi"``, ``"128M"``, ``"1.5GB"``, ``4096`` …
        default_unit: Unit of a plain number, e.g. ``"G"`` where a field is in gigabytes (1 GB = 10^9 bytes).

    Returns:
        Bytes, rounded up.

    Raises:
        InvalidQuantity: The value is none.
    """
    number, suffix = _split(value, "amount of bytes")
    factor = _bytes_factor(suffix or default_unit)
    if factor is None:
        raise InvalidQuantity(f"{value!r} is no amount of bytes", hint="e.g. 64Mi, 2G or 1.5GB")
    return math.ceil(_bounded(number * factor, value, "amount of bytes"))


_HERTZ = {"": 0, "hz": 0, "khz": 3, "mhz": 6, "ghz": 9, "thz": 12}


def parse_frequency(value: str | float, *, default_unit: str = "") -> float:
    """Reads a frequency.

    Args:
        value: ``2400000000`` or ``"2.4GHz"``.
        default_unit: Unit of a plain number: ``""`` (Hz), ``"MHz"`` or ``"GHz"``.

    Returns:
        Hertz.

    Raises:
        InvalidQuantity: The value is none.
    """
    number, suffix = _split(value, "frequency")
    exponent = _HERTZ.get((suffix or default_unit).lower())
    if exponent is None:
        raise InvalidQuantity(f"{value!r} is no frequency", hint="hertz, or with a unit: 1.4GHz, 64MHz")
    return float(_bounded(number.scaleb(exponent), value, "frequency"))


def parse_percent(value: str | float) -> float:
    """Reads a percentage, with or without its sign.

    Args:
        value: ``"50%"``, ``"50"`` or ``50``.

    Returns:
        Percent, 0 to 100.

    Raises:
        InvalidQuantity: The value is none, or out of range.
    """
    number, suffix = _split(value.strip().removesuffix("%") if isinstance(value, str) else value, "percentage")
    if suffix or number > 100:
        raise InvalidQuantity(f"{value!r} is no percentage", hint="0 to 100, e.g. 50%")
    return float(number)


def format_cpu(cores: float) -> str:
    """Writes cores the way Kubernetes does: ``0.25`` as ``250m``, ``2.0`` as ``2``; rounds up to a millicore."""
    milli = math.ceil(Decimal(str(cores)) * 1000)
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def format_bytes(amount: int, *, exact: bool = True) -> str:
    """Writes bytes with a binary suffix.

    Args:
        amount: Bytes.
        exact: Lose nothing (``1500Mi``, ``1000``); otherwise for people, three digits (``1.46Gi``).

    Returns:
        Text that `parse_bytes` reads.
    """
    if exact:
        for suffix, shift in reversed(_BINARY.items()):
            if amount and amount % (1 << shift) == 0:
                return f"{amount >> shift}{suffix}"
        return str(amount)
    for suffix, shift in reversed(_BINARY.items()):
        if amount >= 1 << shift:
            return f"{_three_digits(amount / (1 << shift))}{suffix}"
    return str(amount)


def format_frequency(hertz: float) -> str:
    """Writes a frequency for people: ``2.4GHz``, ``64MHz``, ``50Hz``."""
    for unit, exponent in (("GHz", 9), ("MHz", 6), ("kHz", 3)):
        if hertz >= 10**exponent:
            return f"{_three_digits(hertz / 10**exponent)}{unit}"
    return f"{_three_digits(hertz)}Hz"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
