"""Whose policies an agent runs: those whose digest is allowed, or whose signer is trusted for this text under this name."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mlsysops_agents.extension import Trust, read_settings
from mlsysops_agents.signers import read_signer
from mlsysops_core.model.agents import Revision, SentToAgents, digest_of, signed_bytes

TEXT = "def initialize():\n    return {}\n"
DIGEST = digest_of(TEXT)
ALICE, MALLORY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def line(key: Ed25519PrivateKey, comment: str = "alice@example.org") -> str:
    return f"{key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}"


def sent(signature: str = "", *, name: str = "calm", text: str = TEXT) -> SentToAgents:
    revision = Revision(revision=1, digest=digest_of(text), signature=signature)
    made = SentToAgents(kind="policy", name=name, target="node", revisions=[revision])
    made.texts = {1: text}
    return made


def signed(key: Ed25519PrivateKey, *, name: str = "calm", text: str = TEXT, kind: str = "policy") -> str:
    return base64.b64encode(key.sign(signed_bytes(kind, name, digest_of(text)))).decode()


def test_who_asks_for_nothing_trusts_everybody() -> None:
    assert Trust.read("slice", None, None).refusal(sent(), DIGEST) == ""


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "nonsense",
        base64.b64encode(b"0" * 64).decode(),
        signed(MALLORY),
        signed(ALICE, name="other"),
        signed(ALICE, text=TEXT + "#"),
        signed(ALICE, kind="config"),
    ],
    ids=["none", "nonsense", "zeros", "somebody else's", "other name", "other text", "other kind"],
)
def test_only_a_signature_of_this_text_under_this_name_counts(signature: str) -> None:
    trust = Trust.read("slice", None, [line(ALICE)])
    assert trust.refusal(sent(signed(ALICE)), DIGEST) == ""
    refusal = trust.refusal(sent(signature), DIGEST)
    assert "whom the slice trusts (alice@example.org)" in refusal
    assert DIGEST in refusal


def test_a_digest_that_is_allowed_needs_no_signature() -> None:
    trust = Trust.read("agent's configuration", [f"sha256:{DIGEST}"], [line(ALICE)])
    assert trust.refusal(sent(), DIGEST) == ""
    other = sent(text="x")
    assert trust.refusal(other, digest_of("x"))
    only = Trust.read("agent's configuration", [DIGEST], None)
    assert "is not among those that the agent's configuration allows" in only.refusal(other, digest_of("x"))


def test_an_empty_list_and_one_that_is_broken_trust_nobody() -> None:
    for signers in ([], ["ssh-ed25519 nonsense"], ["garbage"]):
        assert "(nobody)" in Trust.read("slice", None, signers).refusal(sent(signed(ALICE)), DIGEST)


def test_only_keys_for_signing_are_read() -> None:
    assert read_signer(line(ALICE)).name == "alice@example.org"
    assert read_signer(line(ALICE, "")).name
    elliptic = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    with pytest.raises(ValueError, match="only ssh-ed25519"):
        read_signer(elliptic.decode())
    with pytest.raises(ValueError, match="no public key"):
        read_signer("")


def test_the_slice_s_settings_may_ask_for_signers() -> None:
    settings = read_settings({"policy-signers": f"# who may\n{line(ALICE)}\n\n"})
    assert settings.trust.refusal(sent(signed(ALICE)), DIGEST) == ""
    assert settings.trust.refusal(sent(signed(MALLORY)), DIGEST)
