"""Hardware facts read off recorded trees: known values in, nothing made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsysops_cli.ansible_plugins.module_utils.mls_hardware import collect


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return str(root)


X86 = (
    "processor : 0\nmodel name : Intel(R) Xeon(R) CPU @ 2.20GHz\nflags : fpu {}\nbogomips : 4400.00\n\nprocessor : 1\n"
)


@pytest.mark.parametrize(("flags", "expected"), [("hypervisor sse2", "virtualized"), ("sse2", "native")])
def test_virtualisation_from_the_processor_flag(tmp_path: Path, flags: str, expected: str) -> None:
    facts = collect(tree(tmp_path, {"proc/cpuinfo": X86.format(flags)}))
    assert facts["node_type"] == expected


def test_frequencies_from_cpufreq_before_the_name(tmp_path: Path) -> None:
    cpufreq = "sys/devices/system/cpu/cpu0/cpufreq"
    root = tree(tmp_path, {"proc/cpuinfo": X86.format("")})
    assert collect(root)["cpu"]["frequency"] == [2_200_000_000]
    tree(tmp_path, {f"{cpufreq}/cpuinfo_min_freq": "800000\n", f"{cpufreq}/cpuinfo_max_freq": "2400000\n"})
    assert collect(root)["cpu"]["frequency"] == [800_000_000, 2_400_000_000]
    tree(tmp_path, {f"{cpufreq}/scaling_available_frequencies": "1500000 600000 \n"})
    assert collect(root)["cpu"]["frequency"] == [600_000_000, 1_500_000_000]


def test_arm_board(tmp_path: Path) -> None:
    facts = collect(
        tree(
            tmp_path,
            {
                "proc/cpuinfo": "processor : 0\nBogoMIPS : 108.00\nFeatures : fp asimd\n",
                "proc/device-tree/model": "Raspberry Pi 4 Model B\x00",
                "proc/meminfo": "MemTotal:        3884380 kB\nMemFree: 1 kB\n",
                "etc/os-release": 'ID=ubuntu\nVERSION_ID="24.04"\n',
            },
        )
    )
    assert facts["node_type"] == "native"
    assert facts["memory_bytes"] == 3884380 * 1024
    assert facts["os"] == "ubuntu"
    assert "model" not in facts["cpu"]
    assert "frequency" not in facts["cpu"]


def test_what_is_unknown_is_left_out(tmp_path: Path) -> None:
    facts = collect(str(tmp_path))
    assert not {"memory_bytes", "os", "node_type"} & facts.keys()
