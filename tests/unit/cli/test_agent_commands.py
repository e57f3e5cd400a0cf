"""`mls agent`: what is sent, waited for, taken back; and the tools of a policy's author."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mlsysops_northbound.store import CONFIG_MAPS, resource_of

FRAMEWORK = "mlsysops-framework"
ARGUMENTS = "context, application_description, system_description, mechanisms, telemetry, ml_connector"
POLICY = f"""
def initialize():
    return {{}}

async def analyze({ARGUMENTS}):
    return False, context

async def plan({ARGUMENTS}):
    return {{}}, context
"""


def report(mls: Any, **entry: Any) -> None:
    """Say what the agent of cluster c1 would say."""
    status = {"policies": [{"name": "calm", "target": "cluster", **entry}]}
    mls.store.put(resource_of("MLSysOpsCluster"), {"metadata": {"name": "c1"}, "status": status})


def test_a_policy_is_sent_waited_for_and_brought_back(mls: Any) -> None:
    file = mls.file("policy-calm.py", POLICY)

    def agents(request: httpx.Request) -> None:
        if request.method == "GET":
            revision = max(
                json.loads(obj["data"]["envelope.json"])["revisions"][0]["revision"]
                for (plural, *_), obj in mls.store.objects.items()
                if plural == "configmaps"
            )
            report(mls, state="Running", revision=revision, wantedRevision=revision)

    mls.transport.before = agents
    result = mls("agent", "set-policy", "--agent", "cluster", "--file", file)
    assert (result.code, result.out) == (0, "policy/calm created, revision 1 for cluster\n")
    assert "cluster agent c1 has revision 1" in result.err
    other = mls.file("policy-calm.py", POLICY + "# more\n")
    assert "updated, revision 2" in mls("agent", "set-policy", "--agent", "cluster", "--file", other).out
    back = mls("agent", "set-policy", "--agent", "cluster", "--name", "calm", "--revision", "1")
    assert back.out == "policy/calm updated, revision 3 for cluster\n"
    listed = mls("agent", "list-policies").out
    assert listed.splitlines()[0].split() == [
        "TIER",
        "AGENT",
        "POLICY",
        "STATE",
        "SOURCE",
        "REVISION",
        "VERSION",
        "MESSAGE",
    ]
    assert listed.splitlines()[1].split()[:4] == ["cluster", "c1", "calm", "Running"]
    assert (
        mls("agent", "delete-policy", "--agent", "cluster", "--name", "calm").out == "policy/calm deleted for cluster\n"
    )
    assert mls("agent", "delete-policy", "--agent", "cluster", "--name", "calm").code == 6


def test_a_policy_is_signed_and_sent_with_its_signature(mls: Any, tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    key = tmp_path / "key"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    file = mls.file("policy-calm.py", POLICY)
    result = mls("-o", "json", "agent", "sign-policy", "--key", str(key), "--file", file)
    assert result.code == 0
    answer = json.loads(result.out)
    digest = hashlib.sha256(POLICY.encode()).hexdigest()
    data = f"mlsysops policy v1\ncalm\nsha256:{digest}\n".encode()
    private.public_key().verify(base64.b64decode(answer["signature"]), data)
    assert answer["signer"].startswith("ssh-ed25519 AAAA")
    assert answer["signer"] in result.err

    assert mls("agent", "set-policy", "--agent", "cluster", "--file", file, "--no-wait").code == 0
    (obj,) = [obj for (plural, *_), obj in mls.store.objects.items() if plural == "configmaps"]
    (revision,) = json.loads(obj["data"]["envelope.json"])["revisions"]
    assert revision["signature"] == answer["signature"] == Path(f"{file}.sig").read_text().strip()
    assert (
        mls("agent", "sign-policy", "--key", str(key), "--file", file, "--output", "-").out
        == f"{answer['signature']}\n"
    )


def test_a_key_that_cannot_sign_is_told(mls: Any, tmp_path: Path) -> None:
    file = mls.file("policy-calm.py", POLICY)
    key = tmp_path / "key"
    key.write_text("nonsense")
    refused = mls("agent", "sign-policy", "--key", str(key), "--file", file)
    assert refused.code == 3
    assert "no private key that can be used" in refused.errors[0]
    elliptic = generate_private_key(SECP256R1())
    key.write_bytes(elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "no Ed25519 key" in mls("agent", "sign-policy", "--key", str(key), "--file", file).errors[0]
    assert mls("agent", "sign-policy", "--key", str(tmp_path / "none"), "--file", file).code == 3
    assert not Path(f"{file}.sig").exists()


def test_an_agent_that_cannot_take_it_is_told(mls: Any) -> None:
    file = mls.file("policy-calm.py", POLICY)
    mls.transport.before = lambda _: report(
        mls, state="Failed", revision=0, wantedRevision=1, message="policy calm: no"
    )
    result = mls("agent", "set-policy", "--agent", "cluster", "--file", file)
    assert result.code == 3
    assert "cluster agent c1 does not take policy calm: policy calm: no" in result.errors[0]


def test_agents_that_are_away_are_waited_for_in_vain(mls: Any) -> None:
    file = mls.file("policy-calm.py", POLICY)
    assert mls("agent", "set-policy", "--agent", "node/w9", "--file", file, "--timeout", "0").code == 8
    assert mls("agent", "set-policy", "--agent", "node/w9", "--file", file, "--no-wait").code == 0
    assert "no agent has reported it yet" in mls("agent", "list-policies").err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["set-policy", "--agent", "planet", "--file", "FILE"], 3),
        (["set-policy", "--agent", "cluster"], 2),
        (["set-policy", "--agent", "cluster", "--revision", "2"], 2),
        (["set-policy", "--file", "FILE"], 2),
        (["set-policy", "--agent", "cluster", "--file", "absent.py"], 3),
        (["set-policy", "--agent", "cluster", "--name", "calm", "--revision", "2"], 6),
    ],
)
def test_what_is_wrong_is_told_in_one_line(mls: Any, arguments: list[str], code: int) -> None:
    file = mls.file("policy-calm.py", POLICY)
    result = mls("agent", *(str(file) if item == "FILE" else item for item in arguments))
    assert (result.code, len(result.errors)) == (code, 1), result.err


def test_a_digest_that_is_not_allowed_is_refused(mls: Any) -> None:
    mls.store.put(CONFIG_MAPS, {"metadata": {"name": "mlsysops-settings"}, "data": {"policy-digests": ""}}, FRAMEWORK)
    file = mls.file("policy-calm.py", POLICY)
    assert mls("agent", "set-policy", "--agent", "all", "--file", file).code == 5


def test_settings_are_sent_listed_and_taken_back(mls: Any) -> None:
    file = mls.file("quiet.yaml", "policies: {relocateComponents: {enabled: false}}\n")
    assert (
        mls("agent", "set-config", "--agent", "all", "--file", file).out == "config/quiet created, revision 1 for all\n"
    )
    assert mls("agent", "list-config").out.splitlines()[1].split()[:3] == ["quiet", "all", "1"]
    assert mls("agent", "delete-config", "--agent", "all", "--name", "quiet").out == "config/quiet deleted for all\n"
    wrong = mls.file("wrong.yaml", "policies: {relocateComponents: {enabled: maybe}}\n")
    assert mls("agent", "set-config", "--agent", "all", "--file", wrong).code == 3


def test_a_new_policy_runs_as_it_is(mls: Any, tmp_path: Path) -> None:
    made = mls("agent", "new-policy", "eager", "--dir", str(tmp_path / "p"))
    assert made.code == 0
    policy, scenario, test = map(Path, made.out.split())
    tried = mls("agent", "test-policy", str(policy), "--scenario", str(scenario), "-o", "json")
    assert tried.code == 0
    decisions = json.loads(tried.out)["decisions"]
    assert [(item["time"], item["verdict"]) for item in decisions][:1] == [(30.0, "adapt")]
    assert mls("agent", "new-policy", "eager", "--dir", str(tmp_path / "p")).code == 7
    mechanism = Path(mls("agent", "new-mechanism", "knob", "--dir", str(tmp_path / "p")).out.split()[0])
    assert mechanism.name == "mechanism-knob.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path / "p")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert test.is_file()


def test_a_policy_that_fails_is_shown_and_told_by_the_exit_code(mls: Any) -> None:
    file = mls.file("policy-bad.py", POLICY.replace("return False, context", "return 1 / 0, context"))
    scenario = mls.file("s.yaml", "duration: 5s\napplications: [{name: a, spec: {}}]\n")
    result = mls("agent", "test-policy", str(file), "--scenario", str(scenario))
    assert result.code == 1
    assert "ZeroDivisionError" in result.out
    wrong = mls.file("w.yaml", "durations: 5s\n")
    assert mls("agent", "test-policy", str(file), "--scenario", str(wrong)).code == 3


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("while True:\n        pass", "the turn did not end within 1 s"),
        ("await __import__('asyncio').sleep(10**6)", "the turn did not end within 1 s"),
        ("__import__('os')._exit(3)", "the turn ended its process with code 3"),
        ("bytearray(4 * 2**30)\n    return False, context", "MemoryError"),
    ],
    ids=["blocks", "waits", "ends", "leaks"],
)
def test_a_policy_that_is_tried_hurts_itself_alone(mls: Any, body: str, says: str) -> None:
    file = mls.file("policy-bad.py", POLICY.replace("return False, context", body, 1))
    scenario = mls.file("s.yaml", "duration: 5s\napplications: [{name: a, spec: {}}]\n")
    result = mls("agent", "test-policy", str(file), "--scenario", str(scenario), "--timeout", "1", "-o", "json")
    assert result.code == 1
    (turn,) = [item for item in json.loads(result.out)["decisions"] if item["verdict"] == "error"][:1]
    assert says in turn["message"]
    assert (turn["asset"], turn["trigger"]) == ("a", "start")


def test_a_policy_that_blocks_while_it_is_loaded_is_told(mls: Any) -> None:
    file = mls.file("policy-bad.py", "import time\ntime.sleep(10**6)\n" + POLICY)
    scenario = mls.file("s.yaml", "duration: 5s\n")
    result = mls("agent", "test-policy", str(file), "--scenario", str(scenario), "--timeout", "1")
    assert result.code not in (0, 1, 2)
    assert "loading it did not end within 1 s" in result.err


@pytest.mark.parametrize("words", [("calm",), ("policy-calm.py",), ("--name", "calm"), ("--name", "policy-calm.py")])
def test_what_was_sent_is_taken_back_by_its_name_or_by_that_of_its_file(
    mls: Any, tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = tmp_path / "policy-calm.py"
    file.write_text(POLICY)
    assert mls("agent", "set-policy", "--agent", "cluster", "--file", str(file), "--no-wait").code == 0
    assert mls("agent", "delete-policy", "--agent", "cluster", *words).out == "policy/calm deleted for cluster\n"


@pytest.mark.parametrize("words", [(), ("calm", "--name", "calm")])
def test_what_is_taken_back_is_named_once(mls: Any, words: tuple[str, ...]) -> None:
    done = mls("agent", "delete-config", "--agent", "cluster", *words)
    assert done.code == 2
    assert "name it once" in done.err
