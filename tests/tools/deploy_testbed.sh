#!/usr/bin/env bash
# Stands up the slice of an inventory, runs the test application on it and shows it: deploy_testbed.sh BIN INVENTORY
set -euo pipefail
bin=$1 inventory=$2
export PATH="$PWD/$bin:$PATH"
description=build/mlsysops-app-test-description.yaml
mkdir -p build

run() { printf '\n$ %s\n' "$*" >&2; "$@"; }

run mls framework deploy-all --inventory "$inventory"
run mls framework create-app-test-description --force --file "$description"
run mls apps deploy-app --path "$description" --wait
run mls framework status
run mls apps list-all
app=$(mls apps list-all -o name | head -n 1)
run mls apps get-app-status "${app##*/}"
# The first metrics take a few seconds on their way up.
for _ in $(seq 30); do
    [ "$(mls apps get-app-performance "${app##*/}" -o jsonpath='{.satisfaction.satisfied}')" = true ] && break
    sleep 1
done
run mls apps get-app-performance "${app##*/}"
