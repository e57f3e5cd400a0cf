"""Karmada on the management host's own k3s, by way of karmadactl: control plane, search, members.

Standard library only. Flags and paths are karmadactl's of version 1.18 (``karmadactl init --help`` and its siblings).
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_files import write_file
from ansible.module_utils.mls_k3s import PROGRAM, run

__all__ = ["Karmada", "KarmadaError"]

TOOL = "/usr/local/bin/karmadactl"
#: Validity of the token with which a cluster joins: as long as joining may take.
_TOKEN_LIFE = "15m"  # noqa: S105 - a time, no token
_MEMBER = "/apis/cluster.karmada.io/v1alpha1/clusters/"
_AGENT_NAMESPACE = "/api/v1/namespaces/karmada-system"
_SEARCH = "/apis/apps/v1/namespaces/karmada-system/deployments/karmada-search"
_MANAGER = "/apis/apps/v1/namespaces/karmada-system/deployments/karmada-controller-manager"


class KarmadaError(Exception):
    """Karmada cannot be had; the message is one line.

    Attributes:
        family: Which family of errors it is.
    """

    def __init__(self, message: str, family: str = "") -> None:
        super().__init__(message)
        self.family = family


class Karmada:
    """The Karmada of one slice on this host.

    Args:
        owner: Name of the slice.
        data: Directory of its kubeconfig and certificates.
        etcd: Directory of its store.
        host: Kubeconfig of the cluster on which it runs.
    """

    def __init__(self, owner: str, data: str, etcd: str, host: str) -> None:
        self.owner = owner
        self.data = Path(data)
        self.etcd = Path(etcd)
        self.host = host
        self.kubeconfig = self.data / "karmada-apiserver.config"
        self._record = self.data / "mlsysops.json"

    def record(self) -> dict[str, Any]:
        """Return what was written down of it; empty where it is not ours or not there."""
        try:
            found: dict[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def _note(self, **known: Any) -> None:
        write_file(self._record, json.dumps({"slice": self.owner, **known}, sort_keys=True) + "\n")

    # -- control plane ----------------------------------------------------------------------------------------------

    def missing(self) -> bool:
        """Whether it was not installed to the end yet.

        Raises:
            KarmadaError: Somebody else's is here.
        """
        record = self.record()
        if record.get("slice", self.owner) != self.owner:
            raise KarmadaError(f"slice {record['slice']} has its Karmada here: destroy that slice first", "conflict")
        if not record and self.data.is_dir() and any(self.data.iterdir()):
            raise KarmadaError(
                f"a Karmada that mls did not install is here ({self.data}): remove it, or use another host", "conflict"
            )
        return not record.get("complete")

    def install(self, options: dict[str, Any], timeout: float) -> None:
        """Install it; what an attempt that died left behind goes first, so that trying again is always possible.

        Args:
            options: ``address`` and ``port`` of its API, ``crds`` (the archive), ``registry`` (of its images, or empty).
            timeout: Seconds.

        Raises:
            KarmadaError: It did not succeed; says why.
        """
        if self.record():
            self._deinit()
        self._note(complete=False)
        argv = [
            "init", "--kubeconfig", self.host, "--crds", options["crds"], "--karmada-data", str(self.data),
            "--karmada-pki", str(self.data / "pki"), "--etcd-data", str(self.etcd), "--port", str(options["port"]),
            "--karmada-apiserver-advertise-address", options["address"], "--cert-external-ip", options["address"],
            "--wait-component-ready-timeout", str(int(timeout)),
        ]  # fmt: skip
        if options.get("registry"):
            argv += ["--private-image-registry", options["registry"]]
        self._tool(argv, "install Karmada", timeout + 60)
        self.wait(timeout)
        self._note(complete=True)

    def check_version(self, wanted: str) -> None:
        """Refuse a version other than the one that runs: karmadactl installs, and does not upgrade.

        What runs is what the image of its controller manager says, so that who upgraded it by hand is believed.

        Args:
            wanted: The version that the inventory wants; any where empty.

        Raises:
            KarmadaError: Another one runs.
        """
        done = self._raw(_MANAGER, self.host) if wanted and self.record().get("complete") else None
        if done is None or done.returncode != 0:
            return
        containers = json.loads(done.stdout)["spec"]["template"]["spec"]["containers"]
        running = containers[0]["image"].partition("@")[0].rpartition(":")[2]
        if re.fullmatch(r"v\d+\.\d+\.\d+.*", running) and running != wanted:
            raise KarmadaError(
                f"Karmada {running} runs, and the inventory wants {wanted}: mls does not upgrade Karmada: set "
                f"mls_karmada_version to {running}; or take a backup, follow https://karmada.io/docs/administrator/upgrading/ "
                "and run this again",
                "refused",
            )

    def wait(self, timeout: float) -> None:
        """Wait until its API says that it is ready.

        Raises:
            KarmadaError: It does not in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            done = self._raw("/readyz")
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise KarmadaError(f"Karmada's API is not ready after {timeout:g} s: {_reason(done)}", "timed-out")
            time.sleep(0.5)

    def has_search(self) -> bool:
        """Whether the search add-on is there."""
        return bool(self._raw(_SEARCH, self.host).returncode == 0)

    def add_search(self, registry: str, timeout: float) -> None:
        """Install the search add-on.

        Raises:
            KarmadaError: It did not succeed.
        """
        argv = [
            "addons",
            "enable",
            "karmada-search",
            "--kubeconfig",
            self.host,
            "--karmada-kubeconfig",
            str(self.kubeconfig),
        ]
        if registry:
            argv += ["--private-image-registry", registry]
        self._tool(argv, "install Karmada's search", timeout)

    def remove(self) -> bool:
        """Remove it with everything it wrote; return whether there was anything of ours. Goes on past failures."""
        record = self.record()
        if record.get("slice") != self.owner:
            return False
        if "member" in record:
            self._clear()  # what it runs on goes with the cluster
        else:
            self._deinit()
        shutil.rmtree(self.data, ignore_errors=True)
        return True

    def _clear(self) -> None:
        """Remove the files that karmadactl wrote."""
        for path in self.data.iterdir() if self.data.is_dir() else []:
            if path != self._record:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _deinit(self) -> None:
        # The cluster below it may be gone or half alive: what cannot be asked is removed with the cluster.
        if Path(TOOL).exists() and Path(self.host).exists():
            run(TOOL, "deinit", "--force", "--purge-namespace", "--kubeconfig", self.host, timeout=120)
        self._clear()
        shutil.rmtree(self.etcd, ignore_errors=True)

    # -- members ----------------------------------------------------------------------------------------------------

    def joined(self, cluster: str) -> bool:
        """Whether a cluster is a member."""
        return bool(self._raw(_MEMBER + cluster).returncode == 0)

    def invite(self) -> tuple[str, str]:
        """Make a short-lived token with which a cluster joins; return it and the hash of the authority's certificate.

        Raises:
            KarmadaError: It did not succeed.
        """
        words = self._tool(
            ["token", "create", "--print-register-command", "--ttl", _TOKEN_LIFE, "--kubeconfig", str(self.kubeconfig)],
            "make a token", 60,
        ).split()  # fmt: skip
        try:
            return words[words.index("--token") + 1], words[words.index("--discovery-token-ca-cert-hash") + 1]
        except (ValueError, IndexError) as exc:
            raise KarmadaError("karmadactl printed no command for joining") from exc

    def uninvite(self, token: str) -> None:
        """Make a token worthless; it would be in some minutes anyway."""
        run(TOOL, "token", "delete", token.partition(".")[0], "--kubeconfig", str(self.kubeconfig), timeout=60)

    def register(self, cluster: str, endpoint: str, token: str, digest: str, image: str, timeout: float) -> None:
        """Let the cluster of this host join, as one that pulls; what an attempt that died left behind goes first.

        Args:
            cluster: Its name.
            endpoint: Address and port of Karmada's API.
            token: The invitation.
            digest: Hash of the authority's certificate.
            image: Image of Karmada's agent; karmadactl's own choice where empty.
            timeout: Seconds.

        Raises:
            KarmadaError: It did not succeed.
        """
        argv = [
            "register", endpoint, "--cluster-name", cluster, "--token", token, "--discovery-token-ca-cert-hash", digest,
            "--kubeconfig", self.host, "--discovery-timeout", f"{int(timeout)}s",
        ]  # fmt: skip
        if image:
            argv += ["--karmada-agent-image", image]
        self.missing()  # refuses somebody else's
        if self.record():
            self._forget_attempt(timeout)
        self._note(member=cluster, complete=False)
        said = self._tool(argv, f"join cluster {cluster}", timeout + 60, hidden=token)
        # What its own checks find it prints, and ends with 0 nevertheless.
        found = [line.partition("[ERROR]:")[2].strip() for line in said.splitlines() if "[ERROR]:" in line]
        if found:
            self._record.unlink()  # nothing there is ours: the next attempt must not clear it away
            raise KarmadaError(
                f"cannot join cluster {cluster}: {'; '.join(found)}: another Karmada has it; let it leave that one first",
                "conflict",
            )
        self._note(member=cluster, complete=True)

    def _forget_attempt(self, timeout: float) -> None:
        """Remove what registering left in the cluster: karmadactl refuses what exists already."""
        self._clear()
        deadline = time.monotonic() + timeout
        while self._raw(_AGENT_NAMESPACE, self.host).returncode == 0:
            run(str(PROGRAM), "kubectl", "--kubeconfig", self.host, "delete", "--raw", _AGENT_NAMESPACE, timeout=60)
            if time.monotonic() > deadline:
                raise KarmadaError("what an earlier attempt to join left in the cluster does not go", "timed-out")
            time.sleep(1)

    def push(self, cluster: str, kubeconfig: str, timeout: float) -> None:
        """Join a cluster as one that is pushed to.

        Args:
            cluster: Its name.
            kubeconfig: Text of a kubeconfig with which it is reached from here.
            timeout: Seconds.

        Raises:
            KarmadaError: It did not succeed.
        """
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self.data) as stream:  # 0600
            stream.write(kubeconfig)
            stream.flush()
            argv = ["join", cluster, "--kubeconfig", str(self.kubeconfig), "--cluster-kubeconfig", stream.name]
            self._tool(argv, f"join cluster {cluster}", timeout)

    def _raw(self, path: str, kubeconfig: str = "") -> Any:
        return run(
            str(PROGRAM),
            "kubectl",
            "--kubeconfig",
            kubeconfig or str(self.kubeconfig),
            "get",
            "--raw",
            path,
            timeout=30,
        )

    @staticmethod
    def _tool(argv: list[str], what: str, timeout: float, hidden: str = "") -> str:
        done = run(TOOL, *argv, timeout=timeout)
        if done.returncode != 0:
            reason = _reason(done)
            raise KarmadaError(
                f"cannot {what}: {reason.replace(hidden, '***') if hidden else reason}",
                _FAMILIES.get(done.returncode, ""),
            )
        return str(done.stdout)


_FAMILIES = {124: "timed-out", 127: "not-found"}


def _reason(done: Any) -> str:
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    faults = [
        line for line in lines if "error" in line.lower() or "fail" in line.lower() or line.startswith(("E", "F"))
    ]
    return str((faults or lines or ["it said nothing"])[-1][-300:])
