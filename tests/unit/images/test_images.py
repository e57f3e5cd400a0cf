"""What images are built from: linted as far as that goes without a registry, and the commands that build them."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mlsysops_cli.artifacts import archive_architecture

ROOT = Path(__file__).parents[3]
TOOL = ROOT / "tests/tools/images.py"
PARTS = ("agents", "northbound")


def instructions(part: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, continuation lines joined, comments left out."""
    text = (ROOT / part / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word
    ]


def stages(part: str) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = [[]]
    for word, rest in instructions(part):
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


@pytest.mark.parametrize("part", PARTS)
def test_two_stages_on_one_pinned_base(part: str) -> None:
    arguments, build, final = stages(part)
    base = dict(arguments)["ARG"].removeprefix("BASE_IMAGE=")
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+-[\w.-]+", base), "a tag that names a full version"
    assert build[0] == ("FROM", "${BASE_IMAGE} AS build")
    assert final[0] == ("FROM", "${BASE_IMAGE}")
    words = [word for word, _ in final]
    assert "RUN" not in words, "the final stage only takes what was built"
    assert [rest for word, rest in final if word == "COPY"] == ["--from=build /opt/mlsysops /opt/mlsysops"]


@pytest.mark.parametrize("part", PARTS)
def test_final_stage_runs_as_nobody_and_says_how_it_is(part: str) -> None:
    final = dict(stages(part)[2])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", final["USER"]), "numbers, which runAsNonRoot can check"
    assert final["ENTRYPOINT"] == f'["python", "-m", "mlsysops_{part}"]'
    assert "CMD" in final["HEALTHCHECK"]
    assert final["EXPOSE"].isdecimal()
    assert not [rest for word, rest in instructions(part) if word == "ADD" or "curl" in rest or ":latest" in rest]


@pytest.mark.parametrize("part", PARTS)
def test_everything_copied_is_there_and_let_through(part: str) -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    copied = {
        source
        for word, rest in stages(part)[1]
        if word == "COPY"
        for source in [item.rstrip("/") for item in rest.split()[:-1]]
    }
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)
    # Everything that the wheel holds is there to be built.
    wheel = re.search(r"only-include = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.DOTALL)
    assert wheel
    assert {path.split("/")[0] for path in re.findall(r'"([^"]+)"', wheel[1])} <= copied


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("images", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["images"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["podman", "buildah", "docker"])
def test_commands(name: str) -> None:
    builder = tool().Builder(name)
    options = argparse.Namespace(platform="linux/arm64", version="1.2.3", base_image="", option=["--isolation=chroot"])
    command = builder.build("agents", "x/mlsysops-agents:1.2.3", options)
    assert command[:4] == [name, "build", "--file", "agents/Dockerfile"]
    assert command[command.index("--platform") + 1] == "linux/arm64"
    assert "VERSION=1.2.3" in command
    assert command[-2:] == ["--isolation=chroot", "."]
    assert ("--timestamp" in command) == (name != "docker")
    assert str(Path("/x/a.tar")) in " ".join(builder.save("t", Path("/x/a.tar")))


@pytest.mark.parametrize(
    ("platform", "name"),
    [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm64/v8", "arm64"), ("linux/arm/v7", "armhf")],
)
def test_an_archive_says_which_hosts_it_is_for(platform: str, name: str) -> None:
    assert tool().architecture(platform) == name
    assert archive_architecture(f"mlsysops-agents-1.2.3-{name}.tar") == name


def test_an_archive_for_this_machine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    images = tool()
    monkeypatch.setattr(images.platform, "machine", lambda: "aarch64")
    assert images.architecture("") == "arm64"


def test_without_a_builder_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL)],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 6
    assert done.stderr.splitlines() == [
        "error: none of podman, buildah, docker works on this machine: install one (Debian: apt install buildah)"
    ]
