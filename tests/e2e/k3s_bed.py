"""The engine k3s on the hosts of `mls testbed`: a server of released files on their network, and inventories."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from hosts import INVENTORY_OF_A_HOST, Bed, boot

sys.path.insert(0, str(Path(__file__).parent / "standins"))

from release_files import VERSION, publish
from release_server import ReleaseServer, serving

#: One worker, and a second server of its cluster.
ROLES = {"worker1": "worker", "worker2": "server"}


class K3sBed:
    """The hosts, a server of released files on their network, and inventories of the engine k3s."""

    def __init__(self, bed: Bed, server: ReleaseServer) -> None:
        self.bed = bed
        self.server = server
        self.person = bed.person
        self.artifacts = bed.person.work / "artifacts"

    def inventory(self, name: str = "k3s", *, roles: Mapping[str, str] = ROLES, **shared: Any) -> Path:
        """Write an inventory.

        Args:
            name: Of the file.
            roles: What worker1 and worker2 are: a ``worker``, a further ``server`` of the cluster; left out where missing.
            shared: Variables of all hosts.
        """
        document = yaml.safe_load(Path(self.bed.inventory).read_text(encoding="utf-8"))
        every = document["all"]
        del every["children"]["far_edge"]
        every["vars"] |= {"mls_slice": "k3s", "mls_engine": "k3s", "mls_k3s_version": VERSION, **shared}
        groups = every["children"]["cluster1"]["children"]
        found = groups["worker_nodes"]["hosts"]
        found["worker1"] |= {"labels": {"zone": "a"}, "taints": ["slow=yes:PreferNoSchedule"]}
        groups["worker_nodes"]["hosts"] = {host: found[host] for host in found if roles.get(host) == "worker"}
        servers = groups["master_nodes"]["hosts"]
        servers |= {host: found[host] for host in found if roles.get(host) == "server"}
        servers["server"] |= {"pod_cidr": "10.60.0.0/16", "service_cidr": "10.61.0.0/16"}
        path = self.person.work / f"{name}.yml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return path

    def deploy(self, inventory: Path, *options: str, **more: Any) -> Any:
        command = f"mls framework deploy-all -q -i {inventory} -o json {' '.join(options)}"
        return self.person.run(command, timeout=600, **more)

    def state(self, host: str) -> set[str]:
        return set(self.bed.ssh(host, INVENTORY_OF_A_HOST).splitlines())

    def slice_directory(self) -> Path:
        return Path(self.person.home, ".local/share/mlsysops/slices/k3s")

    def kubectl(self, kubeconfig: Path, words: str) -> Any:
        return self.person.run(f"kubectl --request-timeout=5s --kubeconfig {kubeconfig} {words} -o json").json()

    def admin(self, host: str, name: str = "admin") -> Path:
        return self.slice_directory() / "access" / host / "kubeconfigs" / f"{name}.kubeconfig"


def k3s_bed(home: Path, released: Path) -> Iterator[K3sBed]:
    """Bring hosts and server up, and remove them afterwards; the body of a fixture."""
    for bed in boot(home):
        gateway = bed.address["mgmt"].rpartition(".")[0] + ".1"
        with serving(released, gateway) as server:
            publish(server)
            yield K3sBed(bed, server)
