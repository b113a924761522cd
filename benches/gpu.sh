#!/usr/bin/env bash
# The engine on an NVIDIA card: first whether it computes what transformers computes (the parity tests), then how fast
# it decodes shapes of Qwen2.5 in bf16 with random weights, as a share of what the card's memory allows, what steering
# adds, and, where Python has torch and transformers, how fast those decode the same checkpoints.
#
#   benches/gpu.sh check [--nvrtc]
#   benches/gpu.sh build DIR [--nvrtc]
#   benches/gpu.sh run DIR [--device cuda:N] [--lanes 1,32,128] [--python PYTHON] [SHAPE ...]
#
# `check` type-checks and needs nothing of NVIDIA's. `build` puts the programs into DIR, a folder that can be carried to
# the machine with the card; `run` is started there, at the root of the same sources. The card's driver and NVRTC are
# looked for at run time, headers under CUDA_PATH or /usr/local/cuda. CUDARC_CUDA_VERSION at build (13000 for CUDA 13.0)
# names that machine's version where the building machine has none or another.
#
# With --nvrtc the programs compile kernels through CUDA C++ and NVRTC, and building them downloads no LLVM bundle: for
# machines that cannot. It builds a copy of the sources with a substitute for the crate that brings the bundle; nothing of
# it becomes part of what users build.
#
# Both ways of building are type-checked, and the measuring program runs on other devices; this script has not been run
# on a card yet. Products of f32 matrices may run on tensor cores as TF32 there, which the tolerance of the parity tests
# may not allow: what fails by a few thousandths of the largest magnitude is that.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "$*" >&2; exit 2; }
usage="usage: benches/gpu.sh check [--nvrtc] | build DIR [--nvrtc] | run DIR [--device D] [--lanes N,..] [--python P] [SHAPE ...]"

# The tests look for their fixtures under the path they were built in.
copy=/tmp/stir-gpu-sources

stand_in() {
    mkdir -p "$1/src"
    cat > "$1/Cargo.toml" << 'END'
[package]
name = "cubecl-llvm"
version = "0.11.3"
edition = "2024"

[features]
default = []
std = []
nvptx = ["cubecl-core/nvidia"]
amdgpu = []
pliron-dump = []
tracing = []

[dependencies]
cubecl-core = { version = "0.11.3", default-features = false, features = ["std"] }
cubecl-environment = { version = "0.11.3", default-features = false }
cubecl-runtime = { version = "0.11.3", default-features = false, features = ["std"] }

[workspace]
END
    cat > "$1/src/lib.rs" << 'END'
//! The names that cubecl-cuda takes from cubecl-llvm, without LLVM: nothing can be compiled with it.

use std::fmt;

use cubecl_core::{ir::nvidia::SmArch, prelude::KernelDefinition};
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::{
    compiler::{CompilationError, Compiler},
    kernel::BufferIOAttr,
};
use nvptx::ptx_version::PtxVersion;

pub mod nvptx {
    pub mod ptx_version {
        use std::fmt;

        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

pub mod shared {
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        pub enum GpuTarget {
            Nvptx,
        }

        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub enum LlvmTarget {
    #[default]
    Nvptx,
}

#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    pub target: LlvmTarget,
}

#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    pub arch: Option<()>,
    pub sm_arch: Option<SmArch>,
    pub ptx_version: Option<PtxVersion>,
    pub grid_constants: bool,
    pub other: (),
}

#[derive(Clone, Debug)]
pub struct NvptxModule {
    pub ptx: Vec<core::ffi::c_char>,
    pub entrypoint: String,
    pub ir: String,
    pub shared_memory_size: usize,
    pub io: Vec<BufferIOAttr>,
}

#[derive(Clone)]
pub enum PlironArtifact {
    NvptxCode(NvptxModule),
    Other,
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no artifact")
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(&mut self, _: KernelDefinition, _: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic { reason: "built without LLVM".into(), backtrace: BackTrace::capture() })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}
END
}

# What cargo should do with the programs, in the sources or, with --nvrtc, in the copy.
cargo_does() {
    local how=$1 sources=. locked=--locked
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
    if [ "${2:-}" = --nvrtc ]; then
        sources=$copy locked=
        rm -rf "$copy"
        mkdir -p "$copy"
        git ls-files -z | xargs -0 cp --parents -t "$copy"
        stand_in "$copy/cubecl-llvm"
        printf '\n[patch.crates-io]\ncubecl-llvm = { path = "cubecl-llvm" }\n' >> "$copy/Cargo.toml"
        # Where somebody names the feature `cpp`, kernels go through CUDA C++.
        sed -i 's/^\[dependencies\]$/&\ncubecl-cuda = { version = "0.11.3", default-features = false, features = ["std", "cpp"] }/' \
            "$copy/crates/stir-model/Cargo.toml"
    elif [ $# -gt 1 ]; then
        die "$usage"
    fi
    cd "$sources"
    cargo "$how" --release $locked -p stir-llm -p stir-model --features stir-llm/cuda --test parity --bench gpu \
        --message-format json-render-diagnostics
}

check() {
    # As documentation builds do: native parts are left out.
    DOCS_RS=1 cargo_does check "$@" > /dev/null
}

build() {
    local dir=${1:?$usage} name program
    shift
    mkdir -p "$dir"
    (cargo_does build "$@") > "$dir/messages"
    python3 -c '
import json, sys
for line in map(json.loads, sys.stdin):
    if line.get("executable"):
        print(line["target"]["name"], line["executable"])
' < "$dir/messages" | while read -r name program; do
        strip -o "$dir/$name" "$program"
        echo "$dir/$name"
    done
    rm "$dir/messages"
    if [ "${1:-}" = --nvrtc ]; then echo "$copy"; else pwd; fi > "$dir/built-at"
}

run() {
    local dir=${1:?$usage}
    shift
    local device=cuda lanes=1,32,128 python=python3 shapes=()
    while [ $# -gt 0 ]; do
        case $1 in
            --device) device=$2; shift 2 ;;
            --lanes) lanes=$2; shift 2 ;;
            --python) python=$2; shift 2 ;;
            -*) die "$usage" ;;
            *) shapes+=("$1"); shift ;;
        esac
    done
    [ ${#shapes[@]} -gt 0 ] || shapes=(1.5b 3b)
    local built_at
    built_at=$(cat "$dir/built-at")
    if [ ! -e "$built_at" ]; then
        mkdir -p "$(dirname "$built_at")"
        ln -s "$PWD" "$built_at"
    fi
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true

    # What is slow and right comes first; what is fast and wrong is not measured.
    STIR_TEST_DEVICE=$device "$dir/parity" --nocapture

    # Not local: the trap runs when this function is over.
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    for shape in "${shapes[@]}"; do
        echo "$shape:"
        "$dir/gpu" --device "$device" --shape "$shape" --lanes "$lanes" --dir "$scratch/$shape" | tee "$scratch/measured"
        if "$python" -c 'import torch, transformers' 2> "$scratch/missing"; then
            "$python" benches/gpu.py --model "$scratch/$shape" --device "${device/#flex/cpu}" < "$scratch/measured"
        else
            echo "transformers not measured: $(tail -n 1 "$scratch/missing")"
        fi
        rm -r "${scratch:?}/$shape"
    done
}

case ${1:-} in
    check | build | run) "$@" ;;
    *) die "$usage" ;;
esac
