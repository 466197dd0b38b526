#!/usr/bin/env bash
# Makes or updates an environment from its lock; safe to run again, and by two at once.
#
#   infra/env.sh jobs       .venv: what jobs/, models/ and feature_store/ run in, Delta's jars with it
#   infra/env.sh fit        .venv-fit: enough to fit models from frozen sets, on a GPU node say; no
#                           Spark, no Java, and nothing of .venv is needed
#   infra/env.sh airflow    .venv-airflow: the scheduler's own (it needs .venv for uv)
#   infra/env.sh bench      .venv besides: what the benchmark `features` compares with
#
# PYTHON=/path/to/python chooses the interpreter. It must be a 3.11 or 3.12: pyarrow 14 and
# numpy 1.26, which Petastorm holds us to, have no wheels for a newer one.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly FITS='import sys, ssl, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'
readonly HAS_HEADERS='import os, sysconfig, ensurepip
raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'

say() { printf 'set-up: %s\n' "$*"; }
die() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

# Every interpreter worth a try, in order of preference. A pyenv shim can be on the path and still
# not run, so each is asked; the versions behind the shims are tried as well.
candidates() {
  if [ -n "${PYTHON:-}" ]; then printf '%s\n' "$PYTHON"; return; fi
  local name
  for name in python3.11 python3.12 python3 python; do type -aP "$name" || true; done
  ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[12].*/bin/python 2>/dev/null || true
}

find_python() {
  local candidate fallback=""
  while read -r candidate; do
    "$candidate" -c "$FITS" >/dev/null 2>&1 || continue
    # With headers and ensurepip nothing is missing later; without them it is still good enough.
    if "$candidate" -c "$HAS_HEADERS" >/dev/null 2>&1; then printf '%s\n' "$candidate"; return; fi
    fallback="${fallback:-$candidate}"
  done < <(candidates)
  [ -n "$fallback" ] && printf '%s\n' "$fallback" && return
  die "no Python 3.11 or 3.12 that runs was found${PYTHON:+ (PYTHON=$PYTHON does not fit)}." \
    "Looked at: $(candidates | tr '\n' ' ')." \
    "Install one (Debian: apt-get install python3.11-venv) or name it: make .venv PYTHON=/path/to/python3.11"
}

# Makes $1 unless it is there and its interpreter still fits.
make_venv() {
  local target="$1" python
  if "$target/bin/python" -c "$FITS" >/dev/null 2>&1; then return; fi
  python="$(find_python)"
  say "$target from $python ($("$python" -V))"
  "$python" -m venv --clear --without-pip "$target"
  printf '*\n' > "$target/.gitignore"
}

# Installs into $1 the uv that the lock $2 pins, hash-checked, with whichever pip there is.
bootstrap_uv() {
  local python="$PWD/$1/bin/python" base pin
  pin="$(sed -n '/^uv==/,/# via/p' "$2")"
  "$PWD/$1/bin/uv" --version 2>/dev/null | grep -qF "uv $(sed -n 's/^uv==\([^ ]*\).*/\1/p' <<<"$pin")" && return
  printf '%s\n' "$pin" > "$1/uv.lock"
  local lock="$1/uv.lock"
  base="$("$python" -c 'import sys; print(sys._base_executable)')"
  if ! "$python" -m ensurepip --upgrade >/dev/null 2>&1; then
    say "this Python has no ensurepip; trying its own pip"
    "$base" -m pip --version >/dev/null 2>&1 ||
      die "$base has neither ensurepip nor pip. Debian: apt-get install python3-venv python3-pip"
    set -- --python "$python"
  else
    base="$python"
    set --
  fi
  "$base" -m pip "$@" install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --requirement "$lock"
}

# Installs exactly what the lock $2 says into $1: nothing more, nothing resolved again.
sync() {
  local uv="${3:-.venv}/bin/uv" constraints="${4:-infra/locks/jobs.lock}"
  "$uv" pip sync --quiet --python "$1/bin/python" --require-hashes \
    --build-constraints "$constraints" "$2"
}

# This checkout itself, as it is edited, in $1.
install_checkout() {
  "$1/bin/uv" pip install --quiet --python "$1/bin/python" --no-deps --no-build-isolation --editable .
}

setup_jobs() {
  make_venv .venv
  bootstrap_uv .venv infra/locks/jobs.lock
  say "installing infra/locks/jobs.lock into .venv (a first time fetches some 3 GB, mostly torch's CUDA libraries)"
  sync .venv infra/locks/jobs.lock
  install_checkout .venv
  .venv/bin/python infra/setup_jars.py
  .venv/bin/python infra/setup_archive.py
}

setup_fit() {
  make_venv .venv-fit
  bootstrap_uv .venv-fit infra/locks/fit.lock
  say "installing infra/locks/fit.lock into .venv-fit (a first time fetches some 3 GB, mostly torch's CUDA libraries)"
  sync .venv-fit infra/locks/fit.lock .venv-fit infra/locks/fit.lock
  install_checkout .venv-fit
}

setup_airflow() {
  [ -x .venv/bin/uv ] || die ".venv has no uv yet. Run: make .venv"
  make_venv .venv-airflow
  say "installing infra/locks/airflow.lock into .venv-airflow"
  sync .venv-airflow infra/locks/airflow.lock
}

# Beside what jobs.lock says, until that is installed again.
setup_bench() {
  [ -x .venv/bin/uv ] || die ".venv has no uv yet. Run: make .venv"
  say "installing infra/locks/bench.lock into .venv"
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes \
    --requirement infra/locks/bench.lock
}

main() {
  local started=$SECONDS target stamp=installed
  case "${1:-}" in
    jobs) target=.venv ;;
    fit) target=.venv-fit ;;
    airflow) target=.venv-airflow ;;
    bench) target=.venv stamp=bench ;;
    *) die "usage: infra/env.sh jobs|fit|airflow|bench" ;;
  esac
  # Two makes at once must not install over each other.
  if command -v flock >/dev/null; then exec 9>"$target.lock"; flock 9; fi
  "setup_$1"
  mkdir -p "$target/nightscore"
  touch "$target/nightscore/$stamp"
  say "$target is ready ($((SECONDS - started)) s)"
}

main "$@"
