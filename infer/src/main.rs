//! The program `infer`.

fn main() -> std::process::ExitCode {
    infer::cli::main()
}
