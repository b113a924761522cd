//! The tests from outside, in one program: each file is a module, `cargo test -p stir-model --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod common;
mod control_vectors;
mod fingerprint;
mod folder_fuzz;
mod folders;
mod gguf;
mod gguf_decoder;
mod gguf_files;
mod gguf_models;
mod gguf_text;
mod jinja;
mod loading;
mod public_cases;
mod shared_rows;
mod tokenizers;
