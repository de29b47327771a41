//! Names and UIDs that depend on the seed and a counter only.

use std::collections::HashSet;

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): spreads a counter over 64 bits.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number that depends on a seed and some texts only: randomness of its own for each object, so that one object more
/// doesn't reshuffle the others.
pub(in crate::sim) fn mix_text(seed: u64, texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|t| t.bytes().chain([0]));
    bytes.fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)))
}

/// Makes names and UIDs.
pub(super) struct Names {
    seed: u64,
    made: u64,
    /// UIDs that objects brought along: a copy of a cluster with the same seed would make them once more.
    taken: HashSet<String>,
}

impl Names {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, made: 0, taken: HashSet::new() }
    }

    /// Notes a UID that exists.
    pub(super) fn take(&mut self, uid: &str) {
        self.taken.insert(uid.to_owned());
    }

    /// A UID-shaped text, never one that exists.
    pub(super) fn uid(&mut self) -> String {
        loop {
            self.made += 1;
            let a = mix(self.seed ^ self.made.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let b = mix(a ^ 0xD1B5_4A32_D192_ED03);
            let uid = format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                a >> 32,
                (a >> 16) & 0xffff,
                a & 0xfff,
                b >> 52,
                b & 0xffff_ffff_ffff
            );
            if !self.taken.contains(&uid) {
                return uid;
            }
        }
    }

    /// Five letters and digits for `generateName`, as the API server makes them.
    pub(super) fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.made += 1;
        let mut bits = mix(self.seed.rotate_left(17) ^ self.made);
        let mut suffix = String::new();
        for _ in 0..5 {
            suffix.push(LETTERS[(bits % LETTERS.len() as u64) as usize] as char);
            bits /= LETTERS.len() as u64;
        }
        suffix
    }
}
