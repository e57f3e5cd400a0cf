"""The few modules of the MLSysOps framework that its policies import, so that they run here unmodified.

They exist only in `sys.modules` of a process that loads module policies: nothing called ``mlsysops`` is installed, and
where a distribution of that name is installed it stays in charge.
"""

from __future__ import annotations

import importlib.util
import logging
import operator
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .declaration import parse_interval

__all__ = ["FrameworkLogger", "evaluate_condition", "install_framework_modules"]

#: Relations of the descriptions' QoS metrics.
_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "lower_or_equal": operator.le,
    "greater_or_equal": operator.ge,
    "equal": operator.eq,
    "lower_than": operator.lt,
    "greater_than": operator.gt,
}


class FrameworkLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger with the one extra level that the framework's policies use."""

    def test(self, message: str, *args: object, **kwargs: Any) -> None:
        """Log what the framework calls its test level; debug here."""
        self.debug(message, *args, **kwargs)


def evaluate_condition(a: Any, b: Any, relation: str) -> bool:
    """Compare ``a`` with ``b`` by the name of a relation.

    Raises:
        ValueError: The relation is unknown.
    """
    try:
        compare = _RELATIONS[relation]
    except KeyError:
        raise ValueError(f"unknown relation {relation!r} (one of {', '.join(_RELATIONS)})") from None
    return bool(compare(a, b))


def _parse_analyze_interval(interval: str) -> int:
    return int(parse_interval(interval))


def install_framework_modules() -> None:
    """Make ``mlsysops.logger_util`` and ``mlsysops.utilities`` importable; does nothing where they are already."""
    if "mlsysops" in sys.modules or importlib.util.find_spec("mlsysops") is not None:
        return
    logger = FrameworkLogger(logging.getLogger("mlsysops.policy"), {})
    package = ModuleType("mlsysops", "Stand-in for the MLSysOps framework's package.")
    package.__path__ = []
    logger_util = ModuleType("mlsysops.logger_util", "The framework's logger.")
    logger_util.__dict__["logger"] = logger
    utilities = ModuleType("mlsysops.utilities", "The framework's helpers for policies.")
    utilities.__dict__.update(
        logger=logger, evaluate_condition=evaluate_condition, parse_analyze_interval=_parse_analyze_interval
    )
    package.__dict__.update(logger_util=logger_util, utilities=utilities)
    for module in (package, logger_util, utilities):
        sys.modules[module.__name__] = module
