"""When `mls_health` takes a Lease for renewed, whatever clock its holder has."""

from __future__ import annotations

import importlib.util
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import mlsysops_cli

# At import: Ansible asks for the name of this machine when it is imported, which tests may not.
_spec = importlib.util.spec_from_file_location(
    "mls_health", Path(mlsysops_cli.__file__).parent / "ansible_plugins/modules/mls_health.py"
)
assert _spec is not None
assert _spec.loader is not None
mls_health = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mls_health)


def lease(ahead: float) -> dict[str, Any]:
    renewed = datetime.fromtimestamp(time.time() + ahead, UTC)
    return {"renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "leaseDurationSeconds": 4000}


@pytest.mark.parametrize(
    ("ahead", "changed", "expected"),
    [(0, False, True), (-9000, False, False), (9000, False, False), (-9000, True, True), (9000, True, True)],
)
def test_a_lease_counts_that_is_recent_or_changes(ahead: float, changed: bool, expected: bool) -> None:
    spec = lease(ahead)
    first = "before" if changed else spec["renewTime"]
    assert mls_health._renewed(spec, {"again": False, "renewed_after": 0.0}, first) is expected
    assert mls_health._renewed(spec, {"again": True, "renewed_after": 0.0}, first) is changed
    assert not mls_health._renewed({}, {"again": False, "renewed_after": 0.0}, "None")


def test_who_knows_the_clock_of_the_holder_compares_with_that() -> None:
    began = time.time() + 9000
    assert mls_health._renewed(lease(9001), {"again": False, "renewed_after": began}, "")
    assert not mls_health._renewed(lease(8990), {"again": False, "renewed_after": began}, "")
