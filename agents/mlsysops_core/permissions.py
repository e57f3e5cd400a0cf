"""The one place that says what agents may do: ``permitted_actions`` of a node's and of an application's description.

An action must be permitted by every description that it concerns and whose vocabulary has a word for it: the node's for what
turns a knob of the node, the application's for what changes one of its components, both where both have the word (the CRDs say
so of traffic redirection, and of a node that starts an image change). ``*`` permits everything; a description without
``permitted_actions`` permits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from mlsysops_core.errors import MlsError
from mlsysops_core.model import vocabulary as words

__all__ = ["ANY", "APPLICATION_ACTIONS", "NODE_ACTIONS", "is_permitted", "refusal"]

ANY = "*"


def _words(choice: Any) -> frozenset[str]:
    return frozenset(map(str, get_args(get_args(choice)[0]))) - {ANY}


#: What a node's description has words for.
NODE_ACTIONS = _words(words.NodeAction)
#: What an application's description has words for.
APPLICATION_ACTIONS = _words(words.ApplicationAction)


def is_permitted(action: str, spec: Mapping[str, Any] | None) -> bool:
    """Say whether one description's ``permitted_actions`` has an action, or ``*``."""
    given = {str(word) for word in (spec or {}).get("permitted_actions") or ()}
    return action in given or ANY in given


def refusal(
    action: str,
    *,
    node: Mapping[str, Any] | None = None,
    application: Mapping[str, Any] | None = None,
) -> str:
    """Say why an action is not permitted; empty where it is.

    Args:
        action: One of the words of the descriptions.
        node: The MLSysOpsNode on which it is done, where it is done on one.
        application: The MLSysOpsApp that it changes, where it changes one.

    Raises:
        MlsError: No description has such a word, or none of those given: nobody could ever have permitted it.
    """
    if action not in NODE_ACTIONS | APPLICATION_ACTIONS:
        raise MlsError(f"{action} is no action that a description can permit")
    asked = False
    for kind, vocabulary, described in (
        ("node", NODE_ACTIONS, node),
        ("application", APPLICATION_ACTIONS, application),
    ):
        if described is None or action not in vocabulary:
            continue
        asked = True
        if not is_permitted(action, described.get("spec")):
            return f"{action} is not among the permitted_actions of {kind} {described['metadata']['name']}"
    if not asked:
        raise MlsError(f"{action} needs the description of what it is done to")
    return ""
