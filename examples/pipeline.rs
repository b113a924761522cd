//! The whole way on the model that comes with the program, as `stir pipeline` runs it:
//!
//! ```text
//! cargo run --release --example pipeline
//! ```

fn main() -> std::process::ExitCode {
    stir_cli::pipeline()
}
