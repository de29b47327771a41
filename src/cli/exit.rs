//! Exit codes: an interface, documented in the README and tested.

/// How virtroll ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Bad input or usage; nothing was touched.
    BadInput = 2,
    /// Paused or stopped part-way; `apply` goes on.
    Paused = 3,
    /// No schedule exists.
    NoSchedule = 4,
    /// `safe-poweroff`: not safe.
    NotSafe = 5,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
