# What the worked cases share: each `run` sources this file, then names its steps in order.
#
# The folder of a case holds data/ (read by `init`), answers.json (the questionnaire of `advise`), prices.csv (read by
# `cost`) and settings.toml (what the case sets otherwise than `init` chose; laid over the project's twofold.toml once).
# CASE_PYTHON names a Python that has Twofold; otherwise scripts/setup makes the clone's .venv where it is missing.

set -euo pipefail
clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case_folder=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
case_name=$(basename "$case_folder")
project="case-$case_name"
quick=
forecast=

case_options() { # The options that every case takes: case_options "$@"
  while [ $# -gt 0 ]; do
    case $1 in
      --quick) quick=1 ;;
      --forecast) forecast=1 ;;
      --directory)
        if [ -z "${2:-}" ]; then
          echo "error: --directory names no directory" >&2
          exit 2
        fi
        project=$2
        shift
        ;;
      -h | --help)
        echo "usage: examples/$case_name/run [--quick] [--forecast] [--directory DIR]"
        echo "  --quick          a first look: fewer questions, shorter training, wider intervals"
        echo "  --forecast       forecast from short probes before the study (some minutes more)"
        echo "  --directory DIR  the project (default: $project); run again, it goes on where it stopped"
        exit 0
        ;;
      *)
        echo "error: unknown option $1" >&2
        echo "help: examples/$case_name/run --help" >&2
        exit 2
        ;;
    esac
    shift
  done
  if [ -z "${CASE_PYTHON:-}" ]; then
    "$clone/scripts/setup"
    CASE_PYTHON=$clone/.venv/bin/python
  fi
}

twofold() { # Show a command as it would be typed, and run it
  printf '\n$ twofold' >&2
  printf ' %q' "$@" >&2
  printf '\n' >&2
  local code=0
  "$CASE_PYTHON" -m twofold "$@" || code=$?
  # 1: finished, and some files or answers failed, which the command has named. Anything above it ends the case.
  if [ "$code" -gt 1 ]; then exit "$code"; fi
}

case_project() { # The project, made from data/ the first time: case_project [options of init]
  # There from before `init` until the settings are laid: a project that was interrupted between has not the case's.
  local unfinished=${project%/}.unfinished
  if [ -e "$project/twofold.toml" ] && [ ! -e "$unfinished" ]; then
    echo "project: $project is there already; unfinished work is resumed" >&2
    if [ -n "$quick" ]; then echo "note: --quick counts when a project is made; this one keeps its settings" >&2; fi
  else
    mkdir -p "$(dirname "$project")"
    : >"$unfinished"
    if [ ! -e "$project/twofold.toml" ]; then twofold init "$project" --from "$case_folder/data" ${quick:+--quick} "$@"; fi
    if [ ! -e "$project/twofold.toml" ]; then exit 1; fi
    cp "$case_folder/prices.csv" "$project/prices.csv"
    case_settings "$case_folder/settings.toml"
    # What `init` said of arms and metric above may be otherwise now.
    echo "settings: examples/$case_name/settings.toml is laid over $project/twofold.toml, prices.csv beside it" >&2
    rm "$unfinished"
  fi
  if ! "$CASE_PYTHON" -m twofold check -C "$project"; then exit 1; fi
}

case_settings() { # Lay a file of settings over the project's, key by key; a first look keeps what is shorter
  "$CASE_PYTHON" - "$1" "$project/twofold.toml" ${quick:+--quick} <<'PYTHON'
import sys
from pathlib import Path

import tomlkit


def lay(settings, over):
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            lay(settings[key], value)
        elif not (quick and key in settings and key in ("epochs", "limit")):
            # 0 is none timed: a case without latency is not slower as a first look.
            settings[key] = min(value, settings.get(key, value)) if quick and key == "latency_sample" else value


settings, project = map(Path, sys.argv[1:3])
quick = "--quick" in sys.argv
document = tomlkit.parse(project.read_text("utf-8"))
lay(document, tomlkit.parse(settings.read_text("utf-8")).unwrap())
project.write_text(tomlkit.dumps(document), "utf-8")
PYTHON
}

case_advice() { # What will probably win, before anything is spent: case_advice [options of advise]
  local probes=()
  if [ -n "$forecast" ]; then probes=(--probe --minutes 1 --tuning-minutes 4); fi
  twofold advise -C "$project" --answers "$case_folder/answers.json" ${probes[@]+"${probes[@]}"} "$@"
}

case_study() { # The arms on the test questions: case_study [options of study]
  twofold study -C "$project" --yes "$@"
}

case_diagnosis() { # Why answers are wrong: case_diagnosis [options of diagnose]
  twofold diagnose -C "$project" "$@"
}

case_cost() { # What each arm costs at the prices of the case
  twofold cost -C "$project" "$@"
}

case_choice() { # The last word: how the advice fared, and the verdict
  twofold advise -C "$project" --record
  printf '\nchoose:\n'
  # The first two paragraphs of the study's summary are the verdict; the rest of it was printed by the study.
  "$CASE_PYTHON" -m twofold show -C "$project" | awk 'NF == 0 { ends++ } ends < 2'
  echo "what it rests on, and what would change it: docs/cases/$case_name.md"
}
