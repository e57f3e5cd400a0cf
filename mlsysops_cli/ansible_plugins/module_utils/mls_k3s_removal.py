"""The way back from k3s: processes, mounts, interfaces, packet filter rules, files. Each step goes on past failures.

What was here before k3s came (see `mls_k3s.K3s.claim`) stays.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_k3s import CONFIG, DATA, UNITS, K3s, nft_tables, run

__all__ = ["halt", "remove"]

_CGROUPS = Path("/sys/fs/cgroup")
#: Control groups of k3s and of its pods, below any hierarchy's root.
_OURS = ("system.slice/k3s.service", "system.slice/k3s-agent.service", "kubepods", "kubepods.slice")
_MOUNTS = ("/run/k3s/", "/var/lib/rancher/k3s/", "/var/lib/kubelet/pods", "/var/lib/kubelet/plugins", "/run/netns/cni-")
_LINKS = ("cni0", "flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0", "nodelocaldns")
_CHAINS = ("KUBE-", "CNI-", "FLANNEL-", "cali-")
_DIRECTORIES = (
    "/run/k3s", "/run/flannel", "/var/lib/cni", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers",
)  # fmt: skip


def remove(k3s: K3s, *, check: bool) -> tuple[list[str], list[str]]:
    """Remove the slice's k3s from this host.

    Args:
        k3s: It.
        check: Only look.

    Returns:
        What was removed, and what could not be.
    """
    record = k3s.record()
    if record.get("slice") != k3s.owner:
        return [], []  # nothing is here, or it is not ours to touch
    if check:
        return [str(CONFIG)], []
    steps = (_stop, _end_processes, _unmount, _remove_links, _remove_rules, _remove_files)
    done: list[str] = []
    left: list[str] = []
    for step in steps:
        try:
            done += step(k3s, record)
        except (OSError, ValueError, LookupError) as exc:
            left.append(f"{step.__name__.strip('_').replace('_', ' ')}: {exc}")
    if not left:
        CONFIG.joinpath("mlsysops.json").unlink(missing_ok=True)
        _rmdir(CONFIG, CONFIG.parent, DATA.parent, before=record.get("before", {}))
    return done, left


def halt(k3s: K3s) -> list[str]:
    """Stop the slice's k3s and every container of this host, as k3s' own ``k3s-killall.sh`` does; its data stays.

    Returns:
        What could not be done.
    """
    record = k3s.record()
    if record.get("slice") != k3s.owner:
        return []
    left: list[str] = []
    run("systemctl", "stop", k3s.unit, timeout=120)
    for step in (_end_processes, _unmount, _remove_links, _remove_rules):
        try:
            step(k3s, record)
        except (OSError, ValueError, LookupError) as exc:
            left.append(f"{step.__name__.strip('_').replace('_', ' ')}: {exc}")
    return left


def _stop(k3s: K3s, _record: dict[str, Any]) -> list[str]:
    there = [unit for unit in ("k3s.service", "k3s-agent.service") if (UNITS / unit).exists()]
    for unit in there:
        run("systemctl", "disable", "--quiet", "--now", unit, timeout=120)
    return there


def _end_processes(_k3s: K3s, _record: dict[str, Any]) -> list[str]:
    """End what outlived the unit: containers and their shims, found by control group and by program."""
    named = {}
    for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        for pid in _processes():
            named[pid] = True
            _signal(pid, number)
        deadline = time.monotonic() + seconds
        while _processes() and time.monotonic() < deadline:
            time.sleep(0.05)
    left = sorted(_processes())
    if left:
        raise OSError("processes do not end: " + ", ".join(map(str, left)))
    return [f"{len(named)} processes"] if named else []


def _processes() -> set[int]:
    found: set[int] = set()
    roots = [_CGROUPS, *(path for path in _CGROUPS.iterdir() if path.is_dir())] if _CGROUPS.is_dir() else []
    for group in (root / name for root in roots for name in _OURS):
        for path in group.rglob("cgroup.procs") if group.is_dir() else []:
            try:
                found |= {int(word) for word in path.read_text(encoding="ascii").split()}
            except OSError:  # the group went meanwhile, or is threaded
                continue
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.readlink(entry / "exe").startswith(f"{DATA}/data/"):  # noqa: PTH115 - a pathlib of 3.11 resolves nothing more
                    found.add(int(entry.name))
            except OSError:
                continue
    return found - {os.getpid(), os.getppid(), 0}


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _unmount(_k3s: K3s, _record: dict[str, Any]) -> list[str]:
    done = []
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    points = {line.split()[1].encode("latin-1", "replace").decode("unicode_escape") for line in lines}
    for point in sorted((p for p in points if p.startswith(_MOUNTS)), key=len, reverse=True):
        if run("umount", point, timeout=20).returncode != 0:
            run("umount", "--lazy", point, timeout=20)
        done.append(point)
    return done


def _remove_links(_k3s: K3s, _record: dict[str, Any]) -> list[str]:
    done = []
    for space in run("ip", "netns", "list", timeout=15).stdout.split():
        if space.startswith("cni-"):
            run("ip", "netns", "delete", space, timeout=15)
            done.append(space)
    classes = Path("/sys/class/net")
    members = [
        path.name
        for path in classes.iterdir()
        if (path / "master").exists() and (path / "master").resolve().name == "cni0"
    ]
    for link in [*members, *_LINKS]:
        if (classes / link).exists():
            run("ip", "link", "delete", link, timeout=15)
            done.append(link)
    return done


def _remove_rules(k3s: K3s, record: dict[str, Any]) -> list[str]:
    """Remove the chains of kube-proxy, CNI and flannel, and every rule that leads to one."""
    done = _remove_iptables()
    if shutil.which("nft"):
        done += _remove_nft(record.get("tables", []))
    return done


def _remove_iptables() -> list[str]:
    done = []
    # Where the host has none, k3s brought its own.
    places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), f"{DATA}/data/current/bin/aux"]
    for tool in ("iptables", "ip6tables"):
        save = shutil.which(f"{tool}-save", path=os.pathsep.join(places))
        restore = shutil.which(f"{tool}-restore", path=os.pathsep.join(places))
        if not save or not restore:
            continue
        rules = run(save, timeout=30).stdout
        kept = [line for line in rules.splitlines() if not any(mark in line for mark in (*_CHAINS, "flannel"))]
        if kept != rules.splitlines():
            answer = run(restore, timeout=30, text="\n".join(kept) + "\n")
            if answer.returncode != 0:
                raise OSError(f"{tool}-restore: {' '.join(answer.stderr.split())}")
            done.append(f"{tool} rules")
    return done


def _remove_nft(before: Iterable[str]) -> list[str]:
    entries = json.loads(run("nft", "--json", "list", "ruleset", timeout=30).stdout or '{"nftables": []}')["nftables"]
    chains = [entry["chain"] for entry in entries if "chain" in entry and entry["chain"]["name"].startswith(_CHAINS)]
    names = {(one["family"], one["table"], one["name"]) for one in chains}
    commands = []
    for entry in entries:
        rule = entry.get("rule")
        if rule and (rule["family"], rule["table"], rule["chain"]) not in names and _leads_to_ours(rule):
            commands.append("delete rule {family} {table} {chain} handle {handle}".format(**rule))
    commands += ["flush chain {family} {table} {name}".format(**one) for one in chains]
    commands += ["delete chain {family} {table} {name}".format(**one) for one in chains]
    if commands:
        answer = run("nft", "-f", "-", timeout=30, text="\n".join(commands) + "\n")
        if answer.returncode != 0:
            raise OSError(f"nft: {' '.join(answer.stderr.split())}")
    # A table that came with k3s and holds no rule any more is nobody's.
    for table in set(nft_tables()) - set(before):
        listed = json.loads(
            run("nft", "--json", "list", "table", *table.split(), timeout=15).stdout or '{"nftables": []}'
        )
        if table.split()[1] in ("filter", "nat", "mangle", "kube-proxy") and not any(
            "rule" in e for e in listed["nftables"]
        ):
            run("nft", "delete", "table", *table.split(), timeout=15)
            commands.append(table)
    return ["nftables rules"] if commands else []


def _leads_to_ours(rule: dict[str, Any]) -> bool:
    for part in rule.get("expr", []):
        for verb in ("jump", "goto"):
            if isinstance(part.get(verb), dict) and str(part[verb].get("target", "")).startswith(_CHAINS):
                return True
    return "flannel" in str(rule.get("comment", "")).lower()


def _remove_files(_k3s: K3s, record: dict[str, Any]) -> list[str]:
    before: dict[str, list[str]] = record.get("before", {})
    done = []
    for unit in ("k3s.service", "k3s-agent.service"):
        (UNITS / unit).unlink(missing_ok=True)
    run("systemctl", "daemon-reload")
    run("systemctl", "reset-failed", "k3s.service", "k3s-agent.service")
    for path in [DATA, *map(Path, _DIRECTORIES)]:
        if path.is_dir():
            for entry in path.iterdir():
                if entry.name in before.get(str(path), ()):
                    continue  # it was here before k3s
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            done.append(str(path))
        _rmdir(path, before=before)
    if "node" not in before.get(str(CONFIG.parent), ()):  # the node's password, which k3s' own uninstaller leaves
        shutil.rmtree(CONFIG.parent / "node", ignore_errors=True)
    for path in CONFIG.iterdir():
        if path.name != "mlsysops.json":  # it says whose the host's k3s is, until all else is gone
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return done


def _rmdir(*paths: Path, before: Iterable[str]) -> None:
    for path in paths:
        if str(path) not in before and path.is_dir() and not any(path.iterdir()) and not path.is_mount():
            path.rmdir()
