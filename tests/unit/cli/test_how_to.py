"""What the how-to pages print can be used as it is printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[3] / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    """The code of a page in a language."""
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_application_is_valid(mls: Any) -> None:
    (application,) = blocks("describe-an-application.md", "yaml")
    result = mls("apps", "deploy-app", "--dry-run=client", "--path", mls.file("app.yaml", application))
    assert (result.code, result.out) == (0, "application/greenhouse valid (client dry run)\n"), result.err
    assert result.err == "", "it is warned of"


def test_the_inventory_is_valid(mls: Any) -> None:
    inventory = blocks("write-an-inventory.md", "yaml")[0]
    result = mls("inventory", "validate", mls.file("inv.yml", inventory))
    assert result.code == 0, result.err
    assert "valid: slice lab, embedded engine, 1 cluster, 3 hosts, 1 worker" in result.out


def test_the_policy_decides(mls: Any) -> None:
    policy = blocks("write-a-policy.md", "python")[0]
    applications = "applications: [{name: demo, spec: {components: []}}]\n"
    mechanisms = "mechanisms: {fluidity: {state: {applications: {}}, options: {}}}\n"
    scenario = mls.file("scenario.yaml", f"duration: 5s\n{applications}{mechanisms}")
    result = mls("agent", "test-policy", mls.file("policy-calm.py", policy), "--scenario", scenario)
    assert result.code == 0, result.err
    assert "calm: 1 turn, 1 of them told here" in result.out


def test_the_settings_of_agents_are_valid(mls: Any) -> None:
    (settings,) = [text for text in blocks("write-a-policy.md", "yaml") if text.startswith("policies:")]
    path = mls.file("quiet.yaml", settings)
    result = mls("agent", "set-config", "--agent", "cluster", "--file", path, "--dry-run")
    assert (result.code, result.out) == (0, "config/quiet created, revision 1 for cluster (server dry run)\n"), (
        result.err
    )
