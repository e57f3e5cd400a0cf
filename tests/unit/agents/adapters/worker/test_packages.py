"""Packages that a policy asks for: refused unless allowed, installed from wheels for its own process alone, and once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest
from mlsysops_agents.adapters.worker import (
    PackageEnvironments,
    PackageSettings,
    PackagesRefused,
    WorkerLimits,
    load_in_worker,
)
from mlsysops_agents.adapters.worker.packages import _environment
from mlsysops_core.contracts import PolicyContext
from mlsysops_core.plugins import PluginError
from mlsysops_core.plugins.requirements import declared_packages

POLICY = """
import abacus_of_tests

def initialize():
    return {"packages": ["abacus-of-tests>=1"], "scope": "node"}

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    context["sum"] = abacus_of_tests.add(20, 22)
    return False, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {}, context
"""


def wheel(directory: Path, name: str = "abacus_of_tests", version: str = "1.0", text: str | None = None) -> Path:
    """A wheel as PEP 427 has it, of one module."""
    files = {
        f"{name}.py": text or "def add(a, b):\n    return a + b\n",
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).decode().rstrip("=")
        record += f"{path},sha256={digest},{len(content)}\n"
    made = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{name}-{version}.dist-info/RECORD", record + f"{name}-{version}.dist-info/RECORD,,\n")
    return made


@pytest.fixture
def house(tmp_path: Path) -> Path:
    directory = tmp_path / "wheels"
    directory.mkdir()
    wheel(directory)
    return directory


def environments(tmp_path: Path, house: Path | None, *allowed: str, timeout: float = 120.0) -> PackageEnvironments:
    return PackageEnvironments(tmp_path / "packages", PackageSettings(allowed, {}, house, timeout))


async def test_a_policy_gets_its_packages_in_its_own_process(tmp_path: Path, house: Path) -> None:
    packages = environments(tmp_path, house, "Abacus.of.Tests")
    loaded, policy = await load_in_worker(
        "p", "p.py", POLICY.encode(), limits=WorkerLimits(), directory=tmp_path / "w", packages=packages
    )
    try:
        _, context = await policy.analyze(PolicyContext("n", loaded.context), [], {}, {}, {}, None)
    finally:
        await policy.close()
    assert context["sum"] == 42
    assert "abacus_of_tests" not in sys.modules
    assert not any("packages" in path and str(tmp_path) in path for path in sys.path)


async def test_without_a_word_in_the_configuration_nothing_is_installed(tmp_path: Path, house: Path) -> None:
    packages = environments(tmp_path, house)
    with pytest.raises(PackagesRefused) as caught:
        await load_in_worker(
            "p", "p.py", POLICY.encode(), limits=WorkerLimits(), directory=tmp_path / "w", packages=packages
        )
    assert "policy p: packages abacus-of-tests are neither installed" in str(caught.value)
    assert "mls_policy_packages" in str(caught.value)
    assert not (tmp_path / "packages").exists()


async def test_what_the_agent_has_itself_needs_no_word(tmp_path: Path) -> None:
    packages = environments(tmp_path, None)
    assert await packages.prepare("policy", "p", ["PyYAML>=5", "packaging", "none-such; python_version < '3'"]) is None


async def test_the_same_is_installed_once_and_shared(tmp_path: Path, house: Path) -> None:
    packages = environments(tmp_path, house, "*")
    one, two = await asyncio.gather(*(packages.prepare("policy", name, ["abacus-of-tests"]) for name in "ab"))
    assert one is not None
    assert one == two
    before = (one / "abacus_of_tests.py").stat().st_ino
    again = await environments(tmp_path, house, "*").prepare("policy", "c", ["abacus-of-tests"])
    assert again == one
    assert (one / "abacus_of_tests.py").stat().st_ino == before
    wheel(house, version="2.0", text="def add(a, b):\n    return 'two'\n")
    newer = await packages.prepare("policy", "a", ["abacus-of-tests"])
    assert newer is not None
    assert newer != one
    assert "'two'" in (newer / "abacus_of_tests.py").read_text()


async def test_what_the_owner_gives_to_a_plug_in_it_may_have(tmp_path: Path, house: Path) -> None:
    settings = PackageSettings((), {"knob": ("abacus-of-tests",)}, house)
    packages = PackageEnvironments(tmp_path / "packages", settings)
    assert await packages.prepare("mechanism", "knob", []) is not None
    assert await packages.prepare("mechanism", "knob", ["abacus-of-tests"]) is not None
    with pytest.raises(PackagesRefused):
        await packages.prepare("mechanism", "other", ["abacus-of-tests"])


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("abacus-of-tests==7", "its packages cannot be installed: "),
        ("--index-url=x", "names no package"),
        ("-r /etc/passwd", "names no package"),
        ("abacus-of-tests @ https://example.org/a.whl", "name a URL"),
    ],
)
async def test_what_cannot_be_had_is_told_and_leaves_nothing(
    tmp_path: Path, house: Path, wanted: str, says: str
) -> None:
    with pytest.raises(PluginError) as caught:
        await environments(tmp_path, house, "*").prepare("policy", "p", [wanted])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "packages").exists() or not list((tmp_path / "packages").iterdir())


async def test_an_installation_that_takes_too_long_is_given_up(tmp_path: Path, house: Path) -> None:
    with pytest.raises(PluginError, match=r"not installed within 0\.01 s"):
        await environments(tmp_path, house, "*", timeout=0.01).prepare("policy", "p", ["abacus-of-tests"])
    assert not list((tmp_path / "packages").iterdir())


async def test_a_source_distribution_is_not_run(tmp_path: Path) -> None:
    house = tmp_path / "wheels"
    house.mkdir()
    with zipfile.ZipFile(house / "abacus-of-tests-1.0.zip", "w") as archive:
        archive.writestr("abacus-of-tests-1.0/setup.py", f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(PluginError, match="cannot be installed"):
        await environments(tmp_path, house, "*").prepare("policy", "p", ["abacus-of-tests"])
    assert not (tmp_path / "ran").exists()


async def test_what_a_policy_works_out_at_run_time_is_installed_too(tmp_path: Path, house: Path) -> None:
    text = POLICY.replace("import abacus_of_tests\n", "").replace(
        '["abacus-of-tests>=1"]', '["-".join(["abacus", "of", "tests"])]'
    )
    text = text.replace('context["sum"]', 'import abacus_of_tests\n    context["sum"]')
    packages = environments(tmp_path, house, "*")
    assert declared_packages(text.encode()) == ()
    loaded, policy = await load_in_worker(
        "p", "p.py", text.encode(), limits=WorkerLimits(), directory=tmp_path / "w", packages=packages
    )
    try:
        _, context = await policy.analyze(PolicyContext("n", loaded.context), [], {}, {}, {}, None)
    finally:
        await policy.close()
    assert context["sum"] == 42


async def test_where_nothing_can_be_written_it_says_so_in_one_line(tmp_path: Path, house: Path) -> None:
    (tmp_path / "packages").write_text("a file in the way")
    with pytest.raises(
        PluginError, match=r"policy p: its packages cannot be installed: \S+packages: File exists"
    ) as caught:
        await environments(tmp_path, house, "*").prepare("policy", "p", ["abacus-of-tests"])
    assert "\n" not in str(caught.value)


def test_an_index_that_is_configured_is_the_only_one() -> None:
    ours = {
        "PATH": "/bin",
        "PIP_INDEX_URL": "x",
        "PIP_EXTRA_INDEX_URL": "x",
        "PIP_FIND_LINKS": "x",
        "PIP_CERT": "/ca",
        "https_proxy": "p",
        "SECRET": "s",
    }
    assert _environment(ours, offline=False, index="http://a") == {
        "PATH": "/bin", "PIP_CERT": "/ca", "https_proxy": "p", "PIP_CONFIG_FILE": "/dev/null",
    }  # fmt: skip
    assert _environment(ours, offline=False) == {key: value for key, value in ours.items() if key != "SECRET"}
    assert _environment(ours, offline=True) == {"PATH": "/bin", "PIP_CONFIG_FILE": "/dev/null"}


def test_packages_are_found_without_running_anything() -> None:
    text = b"initialContext = {'packages': ['numpy>=2', ' ', 7, 'scipy']}\nraise SystemExit\n"
    assert declared_packages(text) == ("numpy>=2", "scipy")
    assert declared_packages(b"def (") == ()
    assert declared_packages(b"{'packages': make()}") == ()
