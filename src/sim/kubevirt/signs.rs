//! What the running model tells the parts that answer requests: whether virt-api serves, and which release it is.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::settings::Version;

/// Shared by all clones of a model.
pub(super) struct Signs {
    available: AtomicBool,
    /// The minor release of KubeVirt 1.x that the cluster has.
    minor: AtomicU32,
}

impl Signs {
    pub(super) fn new(version: Version) -> Self {
        Self { available: AtomicBool::new(true), minor: AtomicU32::new(version.number()) }
    }

    pub(super) fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    pub(super) fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::Relaxed);
    }

    pub(super) fn version(&self) -> Version {
        Version::minor(self.minor.load(Ordering::Relaxed))
    }

    pub(super) fn observe(&self, version: Version) {
        self.minor.store(version.number(), Ordering::Relaxed);
    }
}
