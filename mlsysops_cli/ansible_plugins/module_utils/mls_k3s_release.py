"""What this host's k3s is before it is upgraded, kept until the new one has proved itself, and the way back to it.

Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_files import write_file
from ansible.module_utils.mls_k3s import CONFIG, PROGRAM, UNITS, K3s, K3sError, run

__all__ = ["Release"]


class Release:
    """The release of one slice's k3s on this host.

    Args:
        k3s: It.
        directory: Private directory for what is kept.
        artifacts: Further files that come with a release: images, other programs, what is known of their checksums.
    """

    def __init__(self, k3s: K3s, directory: Path, artifacts: list[Path]) -> None:
        self._k3s = k3s
        self.directory = directory
        self._record = directory / "release.json"
        config = [CONFIG / name for name in ("config.yaml", "registries.yaml", "k3s.env")]
        self._paths = list(dict.fromkeys([PROGRAM, UNITS / k3s.unit, *config, *artifacts]))

    @property
    def kept(self) -> bool:
        """Whether there is a release to go back to."""
        return self._record.is_file()

    def remember(self) -> None:
        """Keep what runs; an upgrade that was interrupted keeps the first thing that it remembered."""
        if self.kept or self._k3s.state() != "active":
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True, mode=0o700)
        kept: dict[str, str] = {}
        for number, path in enumerate(self._paths):
            if path.is_file():
                kept[str(path)] = str(number)
                _keep(path, self.directory / str(number))
        runs = self._k3s.record().get("runs")
        known = {"files": kept, "missing": [str(path) for path in self._paths if not path.is_file()], "runs": runs}
        write_file(self._record, json.dumps({**known, "pid": self._pid()}, indent=1) + "\n")

    def restore(self, timeout: float) -> bool:
        """Put what ran back, and start it where something else runs by now; return whether there was anything.

        Args:
            timeout: Seconds until it must run.

        Raises:
            K3sError: It does not run again; what was kept stays.
        """
        if not self.kept:
            return False
        known: dict[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
        for name, number in known["files"].items():
            path = Path(name)
            partial = path.with_name(f".{path.name}.back")
            partial.unlink(missing_ok=True)
            _keep(self.directory / number, partial)
            partial.replace(path)
        for name in known["missing"]:
            Path(name).unlink(missing_ok=True)
        if self._pid() != known["pid"] or self._k3s.state() != "active":
            try:
                self._k3s.restart(timeout)
            except K3sError as exc:
                raise K3sError(
                    f"the old version does not run either, all of it is kept in {self.directory}: {exc}"
                ) from exc
        self._k3s.note(runs=known["runs"])
        self.settle()
        return True

    def settle(self) -> None:
        """Forget what ran before."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _pid(self) -> str:
        return str(run("systemctl", "show", "--property", "MainPID", "--value", self._k3s.unit).stdout.strip())


def _keep(source: Path, target: Path) -> None:
    """Keep a file under a second name; files of a release are replaced and never written to, so that a link will do."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
