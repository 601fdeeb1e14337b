#!/usr/bin/env bash
# Sets up everything that training needs: environment, folders and data.
# A second run does only what is missing.

set -euo pipefail

# Paths: change them here, in the environment, or with flags.
DATA_ROOT="${DATA_ROOT:-./data}"        # data sets
LOGS_DIR="${LOGS_DIR:-./logs/public}"   # CSV logs and TensorBoard events
SAVE_DIR="${SAVE_DIR:-./results}"       # checkpoints
VENV="${VENV:-./.venv}"                 # Python environment
PYTHON="${PYTHON:-python3}"             # Python >= 3.10 that makes it

usage() {
  cat <<EOF
Usage: ./setup.sh [options]

Makes $VENV, installs TensorFlow and the rest, makes the data, logs and results
folders, fetches CIFAR-10 and CIFAR-100, verifies them and writes TFRecords.

  --datasets LIST        cifar-10,cifar-100 (the default) or none
  --source PLACE         take them from this base URL, local folder or local archive
                         instead of the authors' site
  --no-verify-checksum   take archives whose SHA-256 is not the published one
  --data_root DIR        folder of the data sets (default $DATA_ROOT)
  --logs_dir DIR         folder of the logs (default $LOGS_DIR)
  --save_dir DIR         folder of the results (default $SAVE_DIR)
  --dev                  also install what tests need
  --help                 this text

When data sets are named with --datasets and cannot be fetched, the exit code is
1. Without, the rest is set up all the same, and the exit code is 0.
EOF
}

fail() {
  echo "error: $*" >&2
  exit 2
}

datasets=cifar-10,cifar-100
dev=false
build_flags=(--if_reachable)
while (($#)); do
  flag="${1%%=*}"
  case "$1" in
    --datasets=*|--source=*|--data_root=*|--logs_dir=*|--save_dir=*) value="${1#*=}" ;;
    --datasets|--source|--data_root|--logs_dir|--save_dir)
      (($# > 1)) || fail "$1 needs a value: see ./setup.sh --help"
      value="$2"
      shift
      ;;
  esac
  case "$flag" in
    --datasets) datasets="$value"; named=true ;;
    --source)
      [[ ! -e "$value" ]] || value="$(realpath "$value")"
      build_flags+=(--source "$value")
      ;;
    --no-verify-checksum) build_flags+=(--noverify_checksum) ;;
    --data_root) DATA_ROOT="$value" ;;
    --logs_dir) LOGS_DIR="$value" ;;
    --save_dir) SAVE_DIR="$value" ;;
    --dev) dev=true ;;
    --help|-h) usage; exit 0 ;;
    *) fail "unknown option $1: see ./setup.sh --help" ;;
  esac
  shift
done
[[ -z "${named:-}" ]] || build_flags+=(--noif_reachable)

cd "$(dirname "${BASH_SOURCE[0]}")"

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
  fail "$PYTHON is not Python 3.10 or later: name one, PYTHON=python3.12 ./setup.sh"

if [[ ! -x "$VENV/bin/python" ]]; then
  echo "Making $VENV"
  "$PYTHON" -m venv "$VENV" || fail "cannot make $VENV: is Python's venv module installed?"
fi

extras=cpu
if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
  extras=gpu
fi
[[ $dev == false ]] || extras="$extras,dev"
# Done before if a stamp says so that is newer than what it was made from.
stamp="$VENV/installed-${extras//,/-}"
if [[ ! -e "$stamp" || pyproject.toml -nt "$stamp" ]]; then
  echo "Installing the packages of [$extras]"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$extras]"
  touch "$stamp"
fi

mkdir -p "$DATA_ROOT" "$LOGS_DIR" "$SAVE_DIR"

"$VENV/bin/python" -m resnet.data.build_cifar \
  --datasets "$datasets" --data_root "$DATA_ROOT" "${build_flags[@]}"

echo "Set up. Train with: ./run_cifar_train.py --dataset synthetic --model revnet-38"
