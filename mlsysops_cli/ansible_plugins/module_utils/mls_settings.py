"""Settings of a host that a slice needs: kernel parameters, a clock that is kept, Debian packages; and the way back.

Each kind has ``want`` (returns what was or would be changed) and ``release``. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ansible.module_utils.mls_files import write_file
from ansible.module_utils.mls_record import Record

__all__ = ["Clock", "Packages", "SettingError", "Sysctl"]

_APT_SECONDS = 600


class SettingError(Exception):
    """A setting cannot be changed; the message says what to do."""


class Sysctl:
    """Kernel parameters (sysctl.d(5)). Whole numbers are least values: what is more is left alone.

    Args:
        user: The slice.
        kept: The host's record.
        root: Where the host's files are.
    """

    kind = "sysctl"

    def __init__(self, user: str, kept: Record, root: str = "/") -> None:
        self._user, self._record, self._root = user, kept, Path(root)
        self._file = self._root / "etc/sysctl.d/60-mlsysops.conf"

    def want(self, wanted: dict[str, str], *, change: bool) -> list[str]:
        """Raise parameters where they are too low; return those that were."""
        changed = []
        for name, value in wanted.items():
            now = self._get(name)
            if self._enough(now, value) and name not in self._record.entries(self.kind):
                continue
            if not self._enough(now, value):
                changed.append(name)
            if change:
                self._record.add(self.kind, name, now, self._user, value)
                if not self._enough(now, value):
                    self._set(name, value)
        changed += [name for name in self._mine() if name not in wanted and self._release_one(name, change=change)]
        if change:
            self._persist()
        return changed

    def release(self, *, change: bool) -> list[str]:
        """Put back what this slice alone wanted; return the parameters."""
        changed = [name for name in self._mine() if self._release_one(name, change=change)]
        if change:
            self._persist()
        return changed

    def _mine(self) -> list[str]:
        return [name for name, entry in self._record.entries(self.kind).items() if self._user in entry["users"]]

    def _release_one(self, name: str, *, change: bool) -> bool:
        entry = self._record.entries(self.kind)[name]
        ours = self._most(entry["users"].values())
        if not change:
            return len(entry["users"]) == 1
        if not self._record.drop(self.kind, name, self._user):
            return False
        if self._get(name) == ours:  # somebody else's later value is theirs
            self._set(name, entry["before"])
        self._record.forget(self.kind, name)
        return True

    def _persist(self) -> None:
        lines = [
            "{} = {}\n".format(name, self._most(entry["users"].values()))
            for name, entry in sorted(self._record.entries(self.kind).items())
        ]
        if lines:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._file, "# Written by mls, which removes it with its last slice.\n" + "".join(lines), 0o644)
        else:
            self._file.unlink(missing_ok=True)

    @staticmethod
    def _enough(now: str, wanted: str) -> bool:
        if now.lstrip("-").isdigit() and wanted.lstrip("-").isdigit():
            return int(now) >= int(wanted)
        return now == wanted

    @staticmethod
    def _most(values: object) -> str:
        texts = [str(value) for value in values]  # type: ignore[attr-defined] # of a dictionary of texts
        return max(texts, key=int) if all(text.lstrip("-").isdigit() for text in texts) else texts[-1]

    def _path(self, name: str) -> Path:
        return self._root / "proc/sys" / name.replace(".", "/")

    def _get(self, name: str) -> str:
        try:
            return " ".join(self._path(name).read_text(encoding="ascii").split())
        except OSError as exc:
            raise SettingError(f"the kernel has no parameter {name}: remove it from mls_sysctl") from exc

    def _set(self, name: str, value: str) -> None:
        try:
            self._path(name).write_text(value + "\n", encoding="ascii")
        except OSError as exc:
            why = f"{name} cannot be set to {value} ({exc.strerror})"
            raise SettingError(f"{why}: where the host is a container, set it on the machine that it runs on") from exc


class Clock:
    """A clock that is kept by NTP: systemd-timesyncd is switched on where it is there and nothing else keeps the time.

    Args:
        user: The slice.
        kept: The host's record.
    """

    kind = "time"
    unit = "systemd-timesyncd.service"
    #: What else keeps clocks on Debian and Ubuntu.
    others = ("chrony.service", "chronyd.service", "ntp.service", "ntpd.service", "ntpsec.service", "openntpd.service")

    def __init__(self, user: str, kept: Record) -> None:
        self._user, self._record = user, kept

    def want(self, *, change: bool) -> list[str]:
        """Switch it on; return the unit where it was off."""
        if self.unit in self._record.entries(self.kind):
            if change:
                self._record.add(self.kind, self.unit, "disabled", self._user, "enabled")
            return []
        # Masked is somebody's decision; not there is nothing that we could switch on.
        if _systemctl("is-enabled", self.unit) != "disabled":
            return []
        if any(_systemctl("is-active", name) == "active" for name in self.others):
            return []
        if change:
            self._record.add(self.kind, self.unit, "disabled", self._user, "enabled")
            _systemctl("enable", "--now", self.unit, check=True)
        return [self.unit]

    def release(self, *, change: bool) -> list[str]:
        """Switch it off where we switched it on, and no other slice wants it."""
        entry = self._record.entries(self.kind).get(self.unit, {"users": {}})
        if set(entry["users"]) != {self._user}:
            if change:
                self._record.drop(self.kind, self.unit, self._user)
            return []
        if change:
            _systemctl("disable", "--now", self.unit, check=True)
            self._record.forget(self.kind, self.unit)
        return [self.unit]


class Packages:
    """Debian packages; those that came with them go with them.

    Args:
        user: The slice.
        kept: The host's record.
    """

    kind = "packages"

    def __init__(self, user: str, kept: Record) -> None:
        self._user, self._record = user, kept

    def want(self, names: list[str], *, change: bool) -> list[str]:
        """Install what is missing; return the packages that were."""
        before = _installed()
        missing = [name for name in names if name not in before]
        if change:
            for name in names:
                if name in self._record.entries(self.kind):
                    self._record.add(self.kind, name, [], self._user, True)
        if not missing or not change:
            return missing
        done = _apt("install", *missing)
        if done.returncode != 0:
            why = " ".join(line for line in done.stderr.splitlines() if line.startswith("E:"))[:300]
            fix = "run apt-get update there, or give the host a mirror"
            raise SettingError("{} cannot be installed ({}): {}".format(", ".join(missing), why, fix))
        came = sorted(_installed() - before)
        for name in missing:
            self._record.add(self.kind, name, [other for other in came if other not in missing], self._user, True)
        return missing

    def release(self, *, change: bool) -> list[str]:
        """Remove what no slice wants any more, unless somebody else's packages need it by now."""
        gone: set[str] = set()
        for name, entry in list(self._record.entries(self.kind).items()):
            if self._user not in entry["users"]:
                continue
            if len(entry["users"]) > 1:
                if change:
                    self._record.drop(self.kind, name, self._user)
                continue
            gone |= {name, *entry["before"]}
            if change:
                self._record.forget(self.kind, name)
        names = sorted(gone & _installed()) if gone else []
        if names and change:
            planned = {
                line.split()[1] for line in _apt("-s", "purge", *names).stdout.splitlines() if line[:5] == "Purg "
            }
            if not planned <= gone:
                return []
            _apt("purge", *names)
        return names


def _systemctl(*arguments: str, check: bool = False) -> str:
    done = subprocess.run(
        ["systemctl", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
    )
    if check and done.returncode != 0:
        raise SettingError("systemctl {}: {}".format(" ".join(arguments), " ".join(done.stderr.split())))
    return done.stdout.strip()


def _installed() -> set[str]:
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
    )  # fmt: skip
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed ")}


def _apt(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", *arguments],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_APT_SECONDS, check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
