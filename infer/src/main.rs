//! The program `infer`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    infer::cli::main()
}
