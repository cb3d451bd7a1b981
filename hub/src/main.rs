//! The program `zoo`.

fn main() -> std::process::ExitCode {
    hub::cli::main()
}
