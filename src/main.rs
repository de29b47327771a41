//! The `virtroll` binary.

fn main() -> std::process::ExitCode {
    virtroll::cli::main()
}
