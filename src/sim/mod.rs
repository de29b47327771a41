//! sim
pub mod clock;
pub mod store;
