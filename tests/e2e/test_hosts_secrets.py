"""Secrets are planted and looked for while hosts are deployed and afterwards: they are in private files, and nowhere else.

Looked at are the arguments and environments of all processes (those of the hosts run on this machine, so they are seen
too), what lies in the run's own directory meanwhile, and every file of the person and of the hosts in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import ON_HOSTS, Bed, boot
from watch import Watch

pytestmark = ON_HOSTS
BECOME, COLLECTOR, VAULT = "become-Secr3t-of-runner", "collector-Secr3t-token", "vault-Secr3t-password"
HOSTS = ("mgmt", "server", "worker1", "worker2")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    yield from boot(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def inventory(bed: Bed) -> str:
    """An account that becomes root with a password; that and the collector's token are vaulted."""
    for host in HOSTS:
        bed.ssh(
            host,
            f"useradd -m runner; echo runner:{BECOME} | chpasswd; cp -r /root/.ssh /home/runner/; "
            "chown -R runner: /home/runner/.ssh; echo 'runner ALL=(ALL) ALL' > /etc/sudoers.d/runner",
        )
    person = bed.person
    (person.work / "vault-password").write_text(VAULT + "\n")
    (person.work / "vault-password").chmod(0o600)
    document = yaml.safe_load(Path(bed.inventory).read_text())
    document["all"]["vars"] |= {
        "ansible_user": "runner",
        "ansible_become": True,
        "mls_otlp_endpoint": f"http://{bed.address['mgmt']}:4318",
    }
    text = yaml.safe_dump(document, sort_keys=False)
    for name, secret, indent in (("ansible_become_password", BECOME, 4), ("  Authorization", f"Bearer {COLLECTOR}", 6)):
        command = "ansible-vault encrypt_string --vault-password-file vault-password --stdin-name x"
        vaulted = person.run(command, stdin=secret).out.partition(": ")[2].rstrip()
        lines = vaulted.replace("\n", "\n" + " " * indent)
        head = f"    mls_otlp_headers:\n      {name.strip()}: " if name.startswith(" ") else f"    {name}: "
        text = text.replace("  children:\n", f"{head}{lines}\n  children:\n", 1)
    path = person.work / "vaulted.yml"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def watch(bed: Bed, inventory: str) -> Iterator[Watch]:
    """What was seen while the slice was deployed, twice."""
    watching = Watch(lambda: (BECOME, COLLECTOR, VAULT), Path(bed.person.home, ".local/share/mlsysops/slices"))
    watching.start()
    command = f"mls framework deploy-all -v -i {inventory} --vault-password-file vault-password"
    try:
        for _ in range(2):
            run = bed.person.run(command, timeout=600)
            for secret in (BECOME, COLLECTOR, VAULT):
                assert secret not in run.out + run.err
    finally:
        watching.stop()
    yield watching
    destroy = "mls framework destroy-all --yes --vault-password-file vault-password"
    bed.person.run(destroy, timeout=300, expect=None)


def test_no_process_and_no_run_shows_a_secret(watch: Watch) -> None:
    assert watch.looks > 50
    assert watch.found == set()


def made_secrets(bed: Bed) -> list[str]:
    """The token and the keys that were made on the way."""
    access = Path(bed.person.home, ".local/share/mlsysops/slices/hosts/access")
    made = [(access / "mgmt/northbound/token").read_text().strip()]
    for path in access.rglob("*.kubeconfig"):
        users: Any = yaml.safe_load(path.read_text())["users"]
        made += [user["user"]["client-key-data"] for user in users]
    assert len(made) >= 3
    return made


def test_this_machine_keeps_secrets_in_private_files(bed: Bed, watch: Watch) -> None:
    secrets = [secret.encode() for secret in (BECOME, COLLECTOR, VAULT, *made_secrets(bed))]
    home = Path(bed.person.home)
    kept = home / ".local/share/mlsysops/slices/hosts/access"
    allowed = {bed.person.work / "vault-password"}
    for path in home.rglob("*"):
        # The hosts' own disks lie in the testbed's directory.
        if path.is_relative_to(bed.directory) or path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if any(secret in data for secret in secrets):
            assert path.is_relative_to(kept) or "contexts" in path.parts or path in allowed, path
            assert path.stat().st_mode & 0o077 == 0, path
    for path in (home / ".local/share/mlsysops/slices").rglob("*"):
        if path.is_dir():
            assert path.stat().st_mode & 0o077 == 0, path


def test_hosts_keep_secrets_in_private_files(bed: Bed, watch: Watch) -> None:
    patterns = "\n".join([BECOME, COLLECTOR, VAULT, *made_secrets(bed)])
    for host in HOSTS:
        # Through standard input, so that grep's arguments do not show them.
        found = bed.ssh(
            host,
            "umask 077; cat > /run/patterns <<'END'\n" + patterns + "\nEND\n"
            "grep -rlF -f /run/patterns /etc /home /opt /root /srv /tmp /usr/local /var 2>/dev/null "
            "| xargs -r stat -c '%a %U %n'; journalctl --no-pager | grep -cF -f /run/patterns; rm /run/patterns",
        ).split("\n")
        files, journal = [line for line in found if " " in line], [line for line in found if line.strip().isdecimal()]
        assert journal == ["0"], host
        for line in files:
            mode, owner, path = line.split(" ", 2)
            assert (mode, owner) == ("600", "root"), line
            assert path.startswith("/var/lib/mlsysops/hosts/"), line
