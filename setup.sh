#!/usr/bin/env bash
# Sets up everything that training needs: environment, folders and data.
# A second run does only what is missing.

set -euo pipefail

# Paths: change them here, in the environment, or with flags.
DATA_ROOT="${DATA_ROOT:-./data}"        # data sets
LOGS_DIR="${LOGS_DIR:-./logs/public}"   # CSV logs and TensorBoard events
SAVE_DIR="${SAVE_DIR:-./results}"       # checkpoints
VENV="${VENV:-./.venv}"                 # Python environment; scripts look for ./.venv
PYTHON="${PYTHON:-python3}"             # Python 3.10 to 3.13 that makes it

usage() {
  cat <<EOF
Usage: ./setup.sh [options]

Makes $VENV, installs TensorFlow and the rest, makes the data, logs and results
folders, fetches CIFAR-10 and CIFAR-100, verifies them and writes TFRecords.
ImageNet must be there already: its terms of access allow no script to fetch it.

  --datasets LIST        such as cifar-10,cifar-100 (the default: all), or none
  --source PLACE         take them from this base URL, local folder or local archive
                         instead of the authors' site
  --imagenet RAW_DIR     make ImageNet's TFRecords, of RAW_DIR's archives as published
                         (ILSVRC2012_img_train.tar and so on) or its folders train/, val/
  --no-verify-checksum   take archives whose SHA-256 is not the published one
  --data_root DIR        folder of the data sets (default $DATA_ROOT)
  --logs_dir DIR         folder of the logs (default $LOGS_DIR)
  --save_dir DIR         folder of the results (default $SAVE_DIR)
  --dev                  also install what tests need
  --help                 this text

When data sets are named with --datasets and their source cannot be reached, the
exit code is 1. Without, the rest is set up all the same, and the exit code is 0.
EOF
}

fail() {
  echo "error: $*" >&2
  exit 2
}

# A path given as a flag is relative to where the command is run.
absolute() {
  case "$1" in
    /*) echo "$1" ;;
    *) echo "$PWD/$1" ;;
  esac
}

dev=false
datasets=
imagenet=
build_flags=(--if_reachable)
while (($#)); do
  flag="$1"
  case "$flag" in
    --datasets=*|--source=*|--imagenet=*|--data_root=*|--logs_dir=*|--save_dir=*)
      value="${flag#*=}"
      flag="${flag%%=*}"
      [[ -n "$value" ]] || fail "$flag needs a value: see ./setup.sh --help"
      ;;
    --datasets|--source|--imagenet|--data_root|--logs_dir|--save_dir)
      [[ -n "${2:-}" && "${2:-}" != --* ]] || fail "$flag needs a value: see ./setup.sh --help"
      value="$2"
      shift
      ;;
  esac
  case "$flag" in
    --datasets)
      read -ra names <<< "${value//,/ }"
      datasets="$(IFS=,; echo "${names[*]}")"
      build_flags+=(--noif_reachable --datasets "$datasets")
      ;;
    --source)
      [[ "$value" == *://* ]] || value="$(absolute "$value")"
      build_flags+=(--source "$value")
      ;;
    --imagenet) imagenet="$(absolute "$value")" ;;
    --no-verify-checksum|--noverify_checksum) build_flags+=(--noverify_checksum) ;;
    --data_root) DATA_ROOT="$(absolute "$value")" ;;
    --logs_dir) LOGS_DIR="$(absolute "$value")" ;;
    --save_dir) SAVE_DIR="$(absolute "$value")" ;;
    --dev) dev=true ;;
    --help|-h) usage; exit 0 ;;
    *) fail "unknown option $1: see ./setup.sh --help" ;;
  esac
  shift
done

cd "$(dirname "${BASH_SOURCE[0]}")"

"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null ||
  fail "$PYTHON is not Python 3.10 to 3.13, which TensorFlow needs: name one, PYTHON=python3.12 ./setup.sh"

# Asked before anything is installed: the registry needs no packages.
if [[ -n "$datasets" ]]; then
  known="$("$PYTHON" -c 'from resnet.data.registry import FETCHED; print(*FETCHED, "none")')"
  for name in ${datasets//,/ }; do
    [[ " $known " == *" $name "* ]] ||
      fail "unknown data set '$name' in --datasets: choose from ${known// /, }"
  done
fi

if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
  echo "Making $VENV"
  if ! "$PYTHON" -m venv "$VENV"; then
    fail "cannot make $VENV: install Python's venv module (Debian: apt install python3-venv)"
  fi
fi

extras=cpu,experiments,plot
if [[ "$(nvidia-smi -L 2>/dev/null || true)" == *GPU* ]]; then
  extras=gpu,experiments,plot
fi
# Stamps say what is installed; one that is older than pyproject.toml does not count.
is_installed() {
  [[ -e "$VENV/installed-$1" && ! pyproject.toml -nt "$VENV/installed-$1" ]]
}
if [[ $dev == true ]]; then
  extras="$extras,dev"
fi
if ! is_installed "$extras" && ! is_installed "$extras,dev"; then
  echo "Installing the packages of [$extras]"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$extras]"
  touch "$VENV/installed-$extras"
fi

mkdir -p "$DATA_ROOT" "$LOGS_DIR" "$SAVE_DIR"

"$VENV/bin/python" -m resnet build-cifar \
  --data_root "$DATA_ROOT" "${build_flags[@]}"

if [[ -n "$imagenet" ]]; then
  "$VENV/bin/python" -m resnet build-imagenet \
    --raw_dir "$imagenet" --output_dir "$DATA_ROOT/imagenet"
fi

training="--dataset synthetic --model revnet-38"  # needs no files
for name in cifar-100 cifar-10; do
  if [[ -f "$DATA_ROOT/$name/dataset.json" ]]; then
    training="--dataset $name --model revnet-38"
    [[ "$DATA_ROOT" == ./data ]] || training+=" --data_folder $DATA_ROOT"
  fi
done
echo "Set up. Train with: ./run_cifar_train.py $training"
