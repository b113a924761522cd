//! The program `stir`; everything it does is in the library beside it.

fn main() -> std::process::ExitCode {
    stir_cli::main()
}
