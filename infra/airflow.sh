#!/usr/bin/env bash
# Airflow on this machine, with our DAGs: scheduler, DAG processor, triggerer and API server.
#
#   infra/airflow.sh                     start it all here; ctrl-C stops it (make airflow)
#   infra/airflow.sh backfill PIPELINE --from D --to D [--model M] [--force] [--only failed]
#                                        Airflow's own backfill of the nightly DAG, its traps closed
#   infra/airflow.sh cli ARGUMENTS...    any `airflow` command, in the same settings
#   infra/airflow.sh --help              this text
#
# Nothing is unpaused: a DAG begins to run when a person switches it on. Settings, all optional:
#
#   NIGHTSCORE_HOME          where all state lives (./warehouse); Airflow's is below it, in airflow/
#   AIRFLOW_PORT             of the API server and UI (8080)
#   AIRFLOW_DB               Airflow's database: postgresql://user:password@host/name (SQLite)
#   NIGHTSCORE_SPARK_SLOTS   heavy jobs at once: slots of the pool `spark` (1)
#   NIGHTSCORE_ALERT_URL     receives failures and missed deadlines as JSON
#   NIGHTSCORE_REPORTS_URL   where reports are served, if not by Airflow itself
#
# Where jobs run is the connection `nightscore_spark`, made at the first start: local[*] with this
# machine's sizes. Where models are fitted is `nightscore_fit`: this machine. Change them under
# Admin > Connections; see docs/airflow.md.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ROOT="$PWD" JOBS="$PWD/.venv" AIRFLOW="$PWD/.venv-airflow"
readonly COMPONENTS=(api-server scheduler dag-processor triggerer)

say() { printf 'airflow: %s\n' "$*"; }
die() { printf 'airflow: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$ROOT/infra/airflow.sh"; }

# Prints the home as the jobs take it: an absolute path, also of a file: URL, or a store's URL.
home() {
  "$JOBS/bin/python" - <<'EOF'
import sys

from feature_store.errors import UsageError
from feature_store.home import Home

try:
    print(Home.from_env().root)
except UsageError as error:
    sys.exit(f"airflow: {error}")
EOF
}

settings() {
  [ -x "$AIRFLOW/bin/airflow" ] || die "no Airflow environment. Run: make .venv-airflow"
  [ -x "$JOBS/bin/spark-submit" ] || die "no jobs' environment. Run: make .venv"
  local state
  NIGHTSCORE_HOME="$(home)"
  export NIGHTSCORE_HOME
  # With its home in an object store, Airflow's own files stay here.
  case "$NIGHTSCORE_HOME" in *://*) state="$ROOT/.airflow" ;; *) state="$NIGHTSCORE_HOME/airflow" ;; esac
  mkdir -p "$state"
  AIRFLOW_HOME="$(cd "$state" && pwd)"
  port="${AIRFLOW_PORT:-8080}"
  [[ "$port" =~ ^[0-9]+$ && "$port" -ge 1 && "$port" -le 65535 ]] ||
    die "AIRFLOW_PORT='$port': must be a port, 1 to 65535"
  export AIRFLOW_HOME
  export PATH="$AIRFLOW/bin:$PATH" PYTHONPATH="$ROOT"
  export NIGHTSCORE_USER="${NIGHTSCORE_USER:-airflow}"
  export SPARK_HOME JAVA_HOME
  SPARK_HOME="$("$JOBS/bin/python" -c 'import importlib.util as u; print(u.find_spec("pyspark").submodule_search_locations[0])')"
  JAVA_HOME="$("$JOBS/bin/python" -c 'from jobs.machine.java import find_java; print(find_java().home)')"
  # All three name the port: a UI, a base URL and a task API that disagree fail in odd ways.
  export AIRFLOW__API__PORT="$port"
  export AIRFLOW__API__BASE_URL="http://localhost:$port"
  export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://localhost:$port/execution/"
  export AIRFLOW__API__HOST="${AIRFLOW__API__HOST:-127.0.0.1}"
  export AIRFLOW__CORE__DAGS_FOLDER="$ROOT/dags"
  export AIRFLOW__CORE__PLUGINS_FOLDER="$ROOT/infra/airflow_plugins"
  export AIRFLOW__CORE__LOAD_EXAMPLES=False
  export AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=True
  export AIRFLOW__CORE__EXECUTOR=LocalExecutor
  export AIRFLOW__CORE__PARALLELISM="${AIRFLOW__CORE__PARALLELISM:-8}"
  export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
  export AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES="${AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES:-1}"
  if [ -n "${AIRFLOW_DB:-}" ]; then
    case "$AIRFLOW_DB" in
      postgresql://*) export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="postgresql+psycopg2://${AIRFLOW_DB#postgresql://}" ;;
      *) die "AIRFLOW_DB: must begin with postgresql://" ;;
    esac
  fi
}

# Makes the database, the pool and the connections, once for each database.
set_up() {
  local stamp master extra
  stamp="$AIRFLOW_HOME/.set-up-$(printf '%s' "${AIRFLOW_DB:-sqlite}" | sha256sum | cut -c1-12)"
  if [ ! -e "$stamp" ]; then
    say "making Airflow's database (once)"
    airflow db migrate >"$AIRFLOW_HOME/set-up.log" 2>&1 || die "no database: see $AIRFLOW_HOME/set-up.log"
    airflow pools set spark "${NIGHTSCORE_SPARK_SLOTS:-1}" "Spark applications at once" \
      >>"$AIRFLOW_HOME/set-up.log" 2>&1 || die "no pool: see $AIRFLOW_HOME/set-up.log"
    master="$(local_spark master)" extra="$(local_spark extra)"
    connect nightscore_spark --conn-type spark --conn-host "$master" --conn-extra "$extra"
    touch "$stamp"
  fi
  # A database from before models were fitted by a connection of their own gets it, too.
  if [ ! -e "$stamp-fit" ]; then
    connect nightscore_fit --conn-type generic --conn-host local
    touch "$stamp-fit"
  fi
}

# Makes the connection $1, unless there is one, of the arguments after it.
connect() {
  airflow connections get "$1" >/dev/null 2>&1 ||
    airflow connections add "$@" >>"$AIRFLOW_HOME/set-up.log" 2>&1 ||
    die "no connection $1: see $AIRFLOW_HOME/set-up.log"
}

# What a session that nobody submitted would be: the command line's own sizes, for the connection.
local_spark() {
  "$JOBS/bin/python" - "$1" <<'PYTHON'
import json
import sys

from jobs.machine.spark import local_conf

conf = local_conf(is_quick=True)
master = conf.pop("spark.master")
conf.pop("spark.jars", None)
print(master if sys.argv[1] == "master" else json.dumps({"conf": conf}))
PYTHON
}

start() {
  set_up
  local component pids=()
  mkdir -p "$AIRFLOW_HOME/logs"
  # shellcheck disable=SC2329  # called by trap
  stop() { trap - EXIT INT TERM; kill "${pids[@]}" 2>/dev/null || true; wait || true; }
  trap 'stop; exit 0' INT TERM
  trap stop EXIT
  for component in "${COMPONENTS[@]}"; do
    airflow "$component" >"$AIRFLOW_HOME/logs/$component.log" 2>&1 &
    pids+=($!)
  done
  say "starting; logs are in $AIRFLOW_HOME/logs"
  until is_healthy; do
    require_alive "${pids[@]}"
    sleep 2
  done
  say "ready at http://localhost:$port"
  say "log in as admin; the password is in $AIRFLOW_HOME/simple_auth_manager_passwords.json.generated"
  say "every DAG is paused until you switch it on; ctrl-C stops Airflow"
  wait -n || true
  require_alive "${pids[@]}"
}

is_healthy() {
  "$AIRFLOW/bin/python" - "$port" 2>/dev/null <<'PYTHON'
import json
import sys
import urllib.request

url = f"http://127.0.0.1:{sys.argv[1]}/api/v2/monitor/health"
with urllib.request.urlopen(url, timeout=5) as answer:
    health = json.load(answer)
parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
sys.exit(any(health[part]["status"] != "healthy" for part in parts))
PYTHON
}

require_alive() {
  local i=0 pid
  for pid in "$@"; do
    kill -0 "$pid" 2>/dev/null ||
      die "${COMPONENTS[$i]} ended: see $AIRFLOW_HOME/logs/${COMPONENTS[$i]}.log"
    i=$((i + 1))
  done
}

main() {
  case "${1:-start}" in
    -h | --help | help) usage ;;
    start) settings; start ;;
    backfill) settings; shift; exec "$AIRFLOW/bin/python" infra/airflow_backfill.py "$@" ;;
    cli) settings; shift; exec airflow "$@" ;;
    *) usage >&2; exit 2 ;;
  esac
}

main "$@"
