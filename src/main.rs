//! The `virtroll` binary.

fn main() {}
