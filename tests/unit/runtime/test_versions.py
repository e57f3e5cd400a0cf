"""Which versions hosts get: those of this environment, and of nothing that they do not need."""

from __future__ import annotations

from importlib.metadata import version

from packaging.requirements import Requirement

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
