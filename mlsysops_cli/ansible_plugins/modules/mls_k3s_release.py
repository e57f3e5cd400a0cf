"""Ansible module: the release of k3s that a host runs, kept until the next one has proved itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_k3s_release
short_description: Remember which k3s a host runs, and go back to it
description:
  - C(state=remembered) keeps the program, its configuration, its unit and its images, and says which version it is.
  - C(state=restored) puts all of it back and starts it again where something else was started meanwhile.
    C(state=settled) forgets what was kept. An upgrade that was interrupted keeps the first thing that it remembered.
options:
  owner:
    description: Name of the slice.
    type: str
    required: true
  role:
    description: What the host's k3s is.
    type: str
    choices: [server, agent]
    default: server
  directory:
    description: Private directory of the host for what is kept.
    type: path
    required: true
  artifacts:
    description: Further files that come with a release.
    type: list
    elements: path
    default: []
  timeout:
    description: Seconds until the old one must run again.
    type: int
    default: 300
  state:
    description: What to do.
    type: str
    choices: [remembered, restored, settled]
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Remember what runs
  mls_k3s_release:
    owner: x
    directory: /var/lib/mlsysops/x/server1/k3s-release
    state: remembered
"""

RETURN = r"""
version:
  description: What the program says that it is; with C(state=remembered).
  returned: success
  type: str
kept:
  description: Whether there is a release to go back to, or it runs again.
  returned: success
  type: bool
"""

from pathlib import Path  # noqa: E402 - Ansible wants the documentation first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_k3s import K3s, K3sError  # noqa: E402
from ansible.module_utils.mls_k3s_release import Release  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "role": {"type": "str", "choices": ["server", "agent"], "default": "server"},
            "directory": {"type": "path", "required": True},
            "artifacts": {"type": "list", "elements": "path", "default": []},
            "timeout": {"type": "int", "default": 300},
            "state": {"type": "str", "choices": ["remembered", "restored", "settled"], "required": True},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    k3s = K3s(parameters["owner"], parameters["role"])
    release = Release(k3s, Path(parameters["directory"]), [Path(path) for path in parameters["artifacts"]])
    changed = False
    try:
        if not module.check_mode:
            if parameters["state"] == "remembered":
                release.remember()
            elif parameters["state"] == "restored":
                changed = release.restore(parameters["timeout"])
            else:
                release.settle()
    except (OSError, ValueError, KeyError) as exc:
        module.fail_json(msg="{}: {}".format(parameters["state"], exc))
    except K3sError as exc:
        module.fail_json(msg=str(exc), mls_error=exc.family)
    # Notes of our own are no change of the host.
    module.exit_json(changed=changed, kept=changed or release.kept, version=k3s.version())


if __name__ == "__main__":
    main()
