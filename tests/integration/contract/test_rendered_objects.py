"""What inventories render to is taken by the API servers as it is: definitions, accounts, permissions, agents as pods.

Karmada's own kinds are left out: the API server that has them is Karmada's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kube_cli import Kubectl

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden/render"
OURS = ("mlsysops", "mlsysops-framework")
CASES = ("existing", "existing-processes", "testbed", "users")


@pytest.fixture
def prepared(kubectl: Kubectl) -> Iterator[Kubectl]:
    """An API with our definitions and namespaces, which are removed again."""
    definitions = sorted(str(path) for path in (ROOT / "templates/crds").glob("*.yaml"))
    files = [word for path in definitions for word in ("-f", path)]
    try:
        kubectl("apply", "--server-side", *files)
        kubectl("wait", "--for=condition=Established", "--timeout=60s", *files)
        for name in OURS:
            kubectl("create", "namespace", name)
        yield kubectl
    finally:
        kubectl.run("delete", "--ignore-not-found", "--wait=false", "namespace", *OURS)
        kubectl.run("delete", "--ignore-not-found", "--wait=true", "--timeout=60s", *files)


@pytest.mark.usefixtures("controllers")
def test_everything_rendered_is_accepted(prepared: Kubectl) -> None:
    rendered: dict[str, object] = {}
    for path in sorted(file for case in CASES for file in (GOLDEN / case).rglob("*.yaml")):
        if {"descriptions", "hosts"} & set(path.relative_to(GOLDEN).parts[1:2]):
            continue  # as people write them; files of processes
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if "karmada.io" not in document["apiVersion"]:
                rendered.setdefault(yaml.safe_dump(document), document)
    kinds = {yaml.safe_load(text)["kind"] for text in rendered}
    assert {"Deployment", "DaemonSet", "Secret", "ServiceAccount", "ClusterRole", "MLSysOpsNode", "Service"} <= kinds
    done = prepared.run(
        "apply",
        "--namespace=",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        stdin="---\n".join(rendered),
    )
    assert done.code == 0, done.err
    assert done.out.count("(server dry run)") == len(rendered)
    assert "Warning" not in done.err
