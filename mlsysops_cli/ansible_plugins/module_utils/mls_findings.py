"""What a look at a host found: one fault or warning each, with what to do about it.

Standard library only, and no syntax newer than Python 3.8: a host whose Python is too old must be told so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Finding", "bounded", "fault", "line", "warning"]

#: ``{"check": what was looked at, "found": what is wrong, "fix": what to do, "level": "fault"|"warning"}``, and
#: ``"family"`` where it is not invalid input.
Finding = Any


def fault(check: str, found: str, fix: str, family: str = "invalid-input") -> Finding:
    """Return a finding that keeps a host from taking its part.

    Args:
        check: What was looked at, a word or two.
        found: What is wrong.
        fix: What to do.
        family: Family of the error, as the command line's exit codes have it.
    """
    return {"check": check, "found": found, "fix": fix, "level": "fault", "family": family}


def warning(check: str, found: str, fix: str) -> Finding:
    """Return a finding that a person should know of, and with which the host can take its part."""
    return {"check": check, "found": found, "fix": fix, "level": "warning"}


def line(finding: Finding) -> str:
    """Return a finding on one line."""
    return "{}: {}".format(finding["found"], finding["fix"])


def bounded(checks: dict[str, Callable[[], list[Finding]]], seconds: float) -> list[Finding]:
    """Run checks side by side; one that does not come to an end is a finding, too.

    Args:
        checks: By name; each returns findings.
        seconds: Until all of them must have ended.
    """
    found: dict[str, list[Finding]] = {}

    def run(name: str, check: Callable[[], list[Finding]]) -> None:
        try:
            found[name] = check()
        except Exception as exc:  # noqa: BLE001 - one check that cannot look must not hide what the others see
            found[name] = [fault(name, f"cannot be looked at ({type(exc).__name__}: {exc})", "mend that on the host")]

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in checks.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"did not answer within {seconds:.0f} s"
    return [
        one
        for name in checks
        for one in found.get(name, [fault(name, late, "look at the host: a device or a server hangs", "timed-out")])
    ]
