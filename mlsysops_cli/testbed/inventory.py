"""What the hosts are reached by: the inventory and the file of their SSH keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.testbed.model import HOSTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlsysops_cli.testbed.model import Testbed

__all__ = ["inventory", "known_hosts", "ssh_command"]


def inventory(bed: Testbed, addresses: Mapping[str, str], *, jump: str = "") -> dict[str, Any]:
    """Return the inventory of the testbed: a slice on the embedded engine, with one far-edge device.

    Args:
        bed: The testbed.
        addresses: IPv4 address of each host, by name.
        jump: SSH destination through which the hosts are reached; empty where directly.
    """
    at = {name: {"ansible_host": address} for name, address in addresses.items()}
    cluster = {"k3s_cluster_name": "cluster1"}
    # The hosts were made here, so their keys are known and checked.
    options = [
        f"GlobalKnownHostsFile={bed.known_hosts}",
        "IdentitiesOnly=yes",
        *([f"ProxyJump={jump}"] if jump else []),
    ]
    return {
        "all": {
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(bed.key),
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_ssh_common_args": " ".join(f"-o {option}" for option in options),
                "mls_slice": "hosts",
                "mls_engine": "embedded",
            },
            "children": {
                "management_cluster": {"hosts": {"mgmt": at["mgmt"] | {"k3s_cluster_name": "continuum"}}},
                "cluster1": {
                    "children": {
                        "master_nodes": {"hosts": {"server": at["server"] | cluster}},
                        "worker_nodes": {"hosts": {name: at[name] | cluster for name in ("worker1", "worker2")}},
                    }
                },
                "far_edge": {"hosts": {"edge": at["edge"] | {"mls_gateway": "worker1"}}},
            },
        }
    }


def known_hosts(addresses: Mapping[str, str], keys: Mapping[str, str]) -> str:
    """Return a file of host keys (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

    Args:
        addresses: IPv4 address of each host, by name.
        keys: Type and key of each host, by name.
    """
    return "".join(f"{addresses[host.name]} {keys[host.name]}\n" for host in HOSTS)


def ssh_command(bed: Testbed, address: str, *, jump: str = "") -> str:
    """Return how a person opens a shell on a host."""
    through = f" -J {jump}" if jump else ""
    return f"ssh -i {bed.key} -o UserKnownHostsFile={bed.known_hosts}{through} root@{address}"
