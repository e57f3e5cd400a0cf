"""Ansible module: settings of a host that a slice needs, remembered and put back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_host
short_description: Change settings of a host that a slice needs, and put them back
description:
  - Raises kernel parameters, has the clock kept, installs Debian packages; only what is missing, and with a record of what
    was before, which all slices of a host share.
  - With C(state=absent) puts back exactly what was changed for this slice and what no other slice wants.
options:
  slice:
    description: Name of the slice.
    type: str
    required: true
  record:
    description: File that remembers what was before.
    type: path
    required: true
  sysctl:
    description: Kernel parameters and their least values.
    type: dict
    default: {}
  packages:
    description: Debian packages.
    type: list
    elements: str
    default: []
  time:
    description: Whether the clock is to be kept by NTP, where systemd-timesyncd is there and nothing else does.
    type: bool
    default: true
  state:
    description: Whether the settings are made or put back.
    type: str
    choices: [present, absent]
    default: present
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Prepare the host
  mls_host:
    slice: lab
    record: /var/lib/mlsysops/host.json
    sysctl: {fs.inotify.max_user_instances: 512}
"""

RETURN = r"""
touched:
  description: What was changed.
  returned: always
  type: list
"""

from pathlib import Path  # noqa: E402 - Ansible wants the documentation first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_record import record  # noqa: E402
from ansible.module_utils.mls_settings import Clock, Packages, SettingError, Sysctl  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "slice": {"type": "str", "required": True},
            "record": {"type": "path", "required": True},
            "sysctl": {"type": "dict", "default": {}},
            "packages": {"type": "list", "elements": "str", "default": []},
            "time": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    want, change = module.params, not module.check_mode
    path = Path(want["record"])
    if want["state"] == "absent" and not path.is_file():
        module.exit_json(changed=False, touched=[])
    try:
        with record(path, write=change) as kept:
            packages, sysctl = Packages(want["slice"], kept), Sysctl(want["slice"], kept)
            clock = Clock(want["slice"], kept)
            if want["state"] == "absent":
                touched = packages.release(change=change) + sysctl.release(change=change) + clock.release(change=change)
            else:
                touched = packages.want(want["packages"], change=change) if want["packages"] else []
                touched += sysctl.want({name: str(value) for name, value in want["sysctl"].items()}, change=change)
                touched += clock.want(change=change) if want["time"] else []
    except (SettingError, OSError, ValueError) as exc:
        module.fail_json(msg=str(exc), mls_error="invalid-input")
    module.exit_json(changed=bool(touched), touched=touched)


if __name__ == "__main__":
    main()
