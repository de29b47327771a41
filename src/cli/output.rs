//! Writing for people and programs.
//!
//! # Why
//! `println!` panics when nobody reads any more (`virtroll apply … | head`): a campaign must not end half-way for that.

use std::io::Write;

/// A line on stdout; lost if nobody reads.
macro_rules! out {
    ($($text:tt)*) => {
        $crate::cli::output::write_out(&format!("{}\n", format_args!($($text)*)))
    };
}

/// A line on stderr; lost if nobody reads.
macro_rules! err {
    ($($text:tt)*) => {
        $crate::cli::output::write_err(&format!("{}\n", format_args!($($text)*)))
    };
}

pub(super) use {err, out};

/// Text on stdout, as it is.
pub(super) fn write_out(text: &str) {
    // Whoever stopped reading doesn't miss it.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Text on stderr, as it is.
pub(super) fn write_err(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
