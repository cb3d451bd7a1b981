//! The program `zoo`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    hub::cli::main()
}
