#!/usr/bin/env bash
# Runs the unit tests on every other supported Python of this machine: matrix.sh MAIN_PYTHON
set -euo pipefail
main=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for version in 3.11 3.12 3.13 3.14; do
    [ "$version" = "$main" ] && continue
    found=""
    # A version manager's shim may be on PATH and yet not run: only an interpreter that answers counts.
    for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
            found=$candidate
            break
        fi
    done
    if [ -z "$found" ]; then
        echo "matrix: no Python $version on this machine: skipped" >&2
        continue
    fi
    stamp=.venv-$version/.set-up
    if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
        tests/tools/make_venv.sh "$found" ".venv-$version"
        touch "$stamp"
    fi
    echo "matrix: unit tests on $(".venv-$version/bin/python" --version)" >&2
    ".venv-$version/bin/pytest" -q ${PYTEST_PARALLEL:-} tests/unit
done
