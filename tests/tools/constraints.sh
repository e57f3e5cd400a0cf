#!/usr/bin/env bash
# Pins the versions that a fresh resolution of pyproject.toml gives: constraints.sh PYTHON
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
"$1" -m venv "$directory/venv"
"$directory/venv/bin/pip" install -q -U pip
"$directory/venv/bin/pip" install -q '.[all]' --group dev
{
    echo '# Versions that are tested together. Names and versions only; regenerate with `make constraints`.'
    "$directory/venv/bin/pip" freeze --all --exclude mlsysops-cli --exclude setuptools | grep -E '^[A-Za-z0-9._-]+=='
} >"$directory/constraints.txt"
cp "$directory/constraints.txt" constraints.txt
