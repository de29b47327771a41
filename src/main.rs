//! The `virtroll` binary.

/// A rehearsal makes and drops millions of small values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    virtroll::cli::main()
}
