#!/usr/bin/env bash
# The engine next to other programs, all with two threads and the same random weights of Qwen2-0.5B's shape.
#
#   benches/peers.sh [--rounds 7] [--groups f32 bf16] [--only stir llama.cpp] [--json FILE] [--quick]
#   benches/peers.sh --groups gguf --gguf FILE      a quantised model of the family Qwen2, next to llama.cpp alone
#
# The first run takes a while: a Python environment (torch, transformers, llama.cpp built for this processor), a
# program that uses candle, and 6 GB of weights go to $STIR_PEERS (target/peers unless set). Later runs use them again.
# Needs Python with venv, a C++ compiler, Linux for the count of idle processor time, and 14 GB of memory.
# $STIR_TORCH_INDEX may name another package index for torch, such as the one with builds for CPUs only.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(realpath -m "${STIR_PEERS:-target/peers}")
mkdir -p "$scratch"
log=$scratch/setup.log
export CARGO_TERM_COLOR=never

# Runs a step of the setup once: its output goes to the log, and a file remembers that it succeeded. (Inside such a step
# `set -e` does not hold, hence the `&&`.)
once() {
    local name=$1
    shift
    [ -e "$scratch/.$name" ] && return
    echo "setup: $name (log in $log)" >&2
    "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
    touch "$scratch/.$name"
}

pip() { "$scratch/venv/bin/python" -m pip --disable-pip-version-check "$@"; }

environment() {
    python3 -m venv "$scratch/venv" && pip install numpy gguf
}

packages() {
    pip install ${STIR_TORCH_INDEX:+--index-url "$STIR_TORCH_INDEX"} torch &&
        pip install transformers safetensors
}

# For this processor: every instruction set that it has, the matrix kernels of llamafile, and no BLAS, which is slower
# for one sequence and has threads of its own.
llama() {
    pip install cmake ninja scikit-build-core &&
        PATH=$scratch/venv/bin:$PATH CMAKE_BUILD_PARALLEL_LEVEL=2 \
            CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON -DGGML_BLAS=OFF -DLLAVA_BUILD=OFF" \
            "$scratch/venv/bin/python" -m pip --disable-pip-version-check install \
            --no-binary llama-cpp-python --no-build-isolation --no-cache-dir --force-reinstall --no-deps llama-cpp-python &&
        pip install llama-cpp-python
}

once environment environment
once llama llama
if [[ " $* " != *" --groups gguf "* ]]; then
    once packages packages
    once model "$scratch/venv/bin/python" benches/peers/checkpoint.py "$scratch/model"
    (
        cd benches/peers/candle
        RUSTFLAGS="-C target-cpu=native" cargo build --release --locked --quiet --jobs 2 --target-dir "$scratch/candle"
    )
fi
stir=$(cargo build --release --locked --bench contender --jobs 2 --message-format=json |
    python3 -c '
import json, sys
built = [json.loads(line) for line in sys.stdin]
print(*(m["executable"] for m in built if m.get("executable") and m["target"]["name"] == "contender"))')

exec "$scratch/venv/bin/python" benches/peers/drive.py --scratch "$scratch" --stir "$stir" \
    --candle "$scratch/candle/release/candle-contender" "$@"
