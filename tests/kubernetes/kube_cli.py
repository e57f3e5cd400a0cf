"""The real kubectl, run as a person would run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def kubectls() -> list[str]:
    """The programs to test: those that MLS_KUBECTL lists, with colons between, or the one in PATH."""
    if listed := os.environ.get("MLS_KUBECTL", ""):
        return [name for name in listed.split(os.pathsep) if name]
    found = shutil.which("kubectl")
    return [found] if found else []


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class Kubectl:
    """kubectl with a kubeconfig and a home of its own.

    Args:
        program: Which kubectl.
        kubeconfig: To use.
        home: For its caches.
        namespace: Default namespace of every command.
    """

    def __init__(self, program: str, kubeconfig: Path, home: Path, namespace: str) -> None:
        self.base = [program, f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        self.environment = {
            "HOME": str(home),
            "KUBECACHEDIR": str(home / "cache"),
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *arguments: str, stdin: str = "", timeout: float = 60, env: dict[str, str] | None = None) -> Ran:
        """Run it, whatever it answers."""
        done = subprocess.run(
            [*self.base, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**self.environment, **(env or {})},
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Ran:
        """Run it; it has to succeed."""
        ran = self.run(*arguments, stdin=stdin, env=env)
        assert ran.code == 0, f"kubectl {' '.join(arguments)}: exit code {ran.code}\n{ran.out}\n{ran.err}"
        return ran

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run it in the background."""
        return subprocess.Popen(
            [*self.base, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
