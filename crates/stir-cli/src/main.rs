//! The program `stir`; everything it does is in this package's library.

fn main() -> std::process::ExitCode {
    stir_cli::main()
}
