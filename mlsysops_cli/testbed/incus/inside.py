"""What is done inside a host, through the server and not over SSH: made a host like any other, named, parted.

The scripts need a shell and systemd alone. They do what cloud-init could do where an image has it, in one way for all
images, and can be run again.
"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from mlsysops_core.errors import InvalidInput, MlsError, TimedOut, Unreachable

from mlsysops_cli.testbed.incus.faults import fault_of
from mlsysops_cli.testbed.model import HOSTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlsysops_cli.testbed.incus.client import Client
    from mlsysops_cli.testbed.incus.place import Place
    from mlsysops_cli.testbed.model import Machine

__all__ = ["Inside"]

#: Seconds until programs can be run in a host that boots; virtual machines need their agent for it.
_BOOTED = 180.0
#: Exit statuses of the script below.
_UNFIT, _NO_PACKAGES = 81, 82
_PREPARE = r"""
set -eu
[ -d /run/systemd/system ] || { echo "it is not run by systemd" >&2; exit 81; }
timeout 90 systemctl is-system-running --wait >/dev/null 2>&1 || :   # degraded is good enough, and bounded
if command -v cloud-init >/dev/null; then timeout 300 cloud-init status --wait >/dev/null 2>&1 || :; fi
missing=
for pair in sshd:openssh-server python3:python3 sudo:sudo ip:iproute2 nft:nftables; do
    PATH=$PATH:/usr/sbin:/sbin command -v ${pair%%:*} >/dev/null || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || { echo "it lacks$missing, and has no apt-get" >&2; exit 81; }
    export DEBIAN_FRONTEND=noninteractive
    get="apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3"
    { $get update && $get install --yes --no-install-recommends $missing; } >/tmp/mls-testbed-apt 2>&1 || {
        echo "it lacks$missing: $(grep '^[EW]:' /tmp/mls-testbed-apt | tail -n 1)" >&2; exit 82; }
    rm -f /tmp/mls-testbed-apt
fi
if [ "$(cat /etc/hostname 2>/dev/null)" != "$name" ]; then
    echo "$name" > /etc/hostname
    hostname "$name" 2>/dev/null || hostnamectl hostname "$name"
fi
mkdir -p -m 700 /root/.ssh
grep -qxF "$key" /root/.ssh/authorized_keys 2>/dev/null || { umask 077; echo "$key" >> /root/.ssh/authorized_keys; }
umask 022
mkdir -p /etc/ssh/sshd_config.d
printf 'UseDNS no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n' > /etc/ssh/sshd_config.d/00-testbed.conf
[ -f /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -A
if systemctl cat ssh.service >/dev/null 2>&1; then unit=ssh; else unit=sshd; fi
systemctl reset-failed $unit 2>/dev/null || :
systemctl --quiet enable $unit 2>/dev/null || :
systemctl restart $unit
"""
_NAMES = r"""
set -eu
[ -f /etc/hosts ] || echo '127.0.0.1 localhost' > /etc/hosts
sed -i '/# testbed$/d' /etc/hosts
printf '%s' "$hosts" >> /etc/hosts
"""
# What a host sends is dropped where it arrives, so that whoever sends hears nothing, as behind a broken link. A table
# of its own is ended without touching anybody else's rules.
_PART = r"""
set -eu
nft -f - <<EOF
add table inet mls_testbed
add chain inet mls_testbed arriving { type filter hook prerouting priority -300; }
add rule inet mls_testbed arriving ip saddr $peer drop
EOF
"""
_MEND = "nft delete table inet mls_testbed 2>/dev/null || :"


class Inside:
    """Runs programs in hosts.

    Args:
        place: Where they are.
        client: To ask the server with.
    """

    def __init__(self, place: Place, client: Client) -> None:
        self._place = place
        self._client = client

    def prepare(self, machine: Machine, key: str) -> None:
        """Make a host one that is reached over SSH: its name, sshd, Python, sudo, and the key that opens it.

        Raises:
            InvalidInput: Its image is no use.
            Unreachable: The packages that its image lacks cannot be had.
        """
        self._wait(machine)
        script = f"name={shlex.quote(machine.name)}\nkey={shlex.quote(key)}\n{_PREPARE}"
        done = self._client.execute(self._place.instance(machine), script, timeout=900)
        if done.returncode == 0:
            return
        said = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        what = f"{self._place.remote}: host {machine.name} cannot be prepared: {said}"
        if done.returncode == _UNFIT:
            raise InvalidInput(what, hint="name an image of Debian or Ubuntu with systemd: --image")
        if done.returncode == _NO_PACKAGES:
            raise Unreachable(what, hint="its network must reach Debian's packages, or its image (--image) have them")
        raise MlsError(what)

    def name_hosts(self, machine: Machine, addresses: Mapping[str, str]) -> None:
        """Let a host know all hosts by name."""
        lines = "".join(f"{addresses[host.name]} {host.name} # testbed\n" for host in HOSTS)
        self._run(machine, f"hosts={shlex.quote(lines)}\n{_NAMES}", "name the hosts")

    def host_key(self, machine: Machine) -> str:
        """Return a host's public SSH key, type and key."""
        said = self._run(machine, "cat /etc/ssh/ssh_host_ed25519_key.pub", "read the host key")
        return " ".join(said.split()[:2])

    def part(self, machine: Machine, peer: str) -> None:
        """Let nothing arrive in a host that comes from an address."""
        self._run(machine, f"peer={shlex.quote(peer)}\n{_PART}", "part hosts")

    def mend(self, machine: Machine) -> None:
        """Let everything arrive in a host again."""
        self._run(machine, _MEND, "mend the network")

    def _run(self, machine: Machine, script: str, what: str) -> str:
        done = self._client.execute(self._place.instance(machine), script)
        if done.returncode != 0:
            raise fault_of(self._place, f"{what} in host {machine.name}", done.stderr)
        return done.stdout

    def _wait(self, machine: Machine) -> None:
        deadline = time.monotonic() + _BOOTED
        while (done := self._client.execute(self._place.instance(machine), ":", timeout=60)).returncode != 0:
            if "agent" not in done.stderr:
                raise fault_of(self._place, f"run programs in host {machine.name}", done.stderr)
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"{self._place.remote}: the agent of host {machine.name} does not answer after {_BOOTED:.0f} s",
                    hint="name an image that has it: --image",
                )
            time.sleep(1)
