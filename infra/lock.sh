#!/usr/bin/env bash
# Resolves infra/locks/*.in into hashed locks that hold on Linux with Python 3.11 and 3.12.
#
# What a lock holds already stays as it is unless an .in says otherwise or --upgrade is given. No
# index is named in a lock: which one is asked is each machine's own setting.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  .venv/bin/uv pip compile --quiet "infra/locks/$1.in" --output-file "infra/locks/$1.lock" \
    --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "${@:2}"
}

compile jobs --overrides infra/locks/jobs.overrides "$@"
compile fit --overrides infra/locks/fit.overrides "$@"
compile airflow "$@"
# It goes into the environment that jobs.lock made, and changes nothing there.
compile bench --constraints infra/locks/jobs.lock "$@"
