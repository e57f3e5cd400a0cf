"""Which versions hosts get: those of this environment, and of nothing that they do not need."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from packaging.requirements import Requirement

from mlsysops_cli.runtime import Target
from mlsysops_cli.runtime.wheel import constraints, requirements


def test_only_what_the_parts_of_a_host_stand_on() -> None:
    pins = dict(line.split("==") for line in constraints("agents,embedded,northbound"))
    assert pins["aiohttp"] == version("aiohttp")
    assert pins["multidict"] == version("multidict")  # of aiohttp
    assert pins["h2"] == version("h2")
    assert not {"pytest", "mypy", "ansible-core", "mlsysops-cli", "ortools"} & pins.keys()


def test_requirements_are_those_of_the_source() -> None:
    names = {Requirement(line).name for line in requirements("agents")}
    assert {"pydantic", "aiohttp", "h2"} <= names
    assert "fastapi" not in names
    assert all(Requirement(line).marker is None for line in requirements("agents,northbound"))


def test_what_only_control_planes_need_is_left_out_where_nobody_builds_it() -> None:
    assert Target("3.11", "armv7l", 36).without == {"cel-expr-python", "google-re2", "httptools", "uvloop"}
    assert Target("3.11", "aarch64", 36).without == frozenset()


BLOCKED = """
import importlib, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cel_expr_python", "re2", "httptools", "uvloop") or name == "yaml._yaml":
            raise ImportError(name)
sys.meta_path.insert(0, Block())
for name in ("mlsysops_embedded.kubelet", "mlsysops_agents.__main__", "mlsysops_agents.node.agent"):
    importlib.import_module(name)
import yaml
assert not hasattr(yaml, "CSafeLoader")
from mlsysops_core.yaml import load_yaml
assert load_yaml("a: [1]").value == {"a": [1]}
"""


def test_a_worker_does_without_it() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
