//! Where lanes begin to pay.
//!
//! Below these numbers of items a stage goes the scalar way, over blst. The numbers are where measured curves cross
//! (`versus --curve`), by the processor's vector units: some processors have instructions on vectors twice as wide as
//! their multipliers, so that a vector costs two passes. There the lanes gain less on blst's scalar code, and pay later.

use super::msm::ROWS;

/// The fewest items that go into lanes, stage by stage.
#[derive(Debug)]
pub(super) struct Crossover {
    /// Sets of a batch to be verified. Fewer are the `cpu` backend's as a whole.
    pub(super) sets: usize,
    /// Signatures to be decoded.
    pub(super) decoded: usize,
    /// Messages to be hashed.
    pub(super) hashes: usize,
    /// Signatures to be checked for the subgroup one by one.
    pub(super) checks: usize,
    /// Signatures to be checked by row sums instead: there are 18 of those for any number of points.
    pub(super) rows: usize,
    /// Pairs whose Miller loops are multiplied.
    pub(super) pairs: usize,
    /// Keys to be added, over all bitmaps of a call.
    pub(super) keys: usize,
    /// Signatures to be added.
    pub(super) signatures: usize,
}

/// Multipliers as wide as the vectors.
static WHOLE: Crossover =
    Crossover { sets: 3, decoded: 3, hashes: 3, checks: 3, rows: 24, pairs: 6, keys: 24, signatures: 24 };

/// Multipliers half as wide as the vectors.
static HALVED: Crossover =
    Crossover { sets: 8, decoded: 4, hashes: 4, checks: 4, rows: 24, pairs: 8, keys: 24, signatures: 24 };

impl Crossover {
    /// Whether a batch of so many sets and messages leaves a stage of verification to the scalar way.
    pub(super) fn leaves(&self, sets: usize, messages: usize) -> bool {
        // Row sums are points checked as any others.
        let checked = if sets < self.rows { sets } else { ROWS };
        checked < self.checks || messages < self.hashes || messages < self.pairs
    }

    /// Which way a group of so many signatures is checked and added.
    pub(super) fn path_of_sum(&self, signatures: usize) -> &'static str {
        let (by_rows, added) = (signatures >= self.rows, signatures >= self.signatures);
        let checked = if by_rows { ROWS } else { signatures } >= self.checks;
        match (by_rows || checked || added, checked && added) {
            (_, true) => "lanes",
            (true, false) => "lanes, some stages scalar",
            (false, false) => "scalar",
        }
    }

    /// Of this processor with 256-bit vectors.
    pub(super) fn of_avx2() -> &'static Self {
        if halves_vectors() { &HALVED } else { &WHOLE }
    }

    /// Of processors whose multipliers are as wide as their vectors.
    pub(super) fn whole() -> &'static Self {
        &WHOLE
    }
}

/// Whether 256-bit operations take two passes: AMD's families 15h to 17h before Zen 2 (model 30h), and Hygon's copies (Agner
/// Fog, "The microarchitecture of Intel, AMD and VIA CPUs", sections on Bulldozer and Zen).
#[cfg(target_arch = "x86_64")]
fn halves_vectors() -> bool {
    use std::arch::x86_64::__cpuid;
    let vendor = __cpuid(0);
    let vendor: Vec<u8> = [vendor.ebx, vendor.edx, vendor.ecx].into_iter().flat_map(u32::to_le_bytes).collect();
    let signature = __cpuid(1).eax;
    let family = (signature >> 8 & 0xf) + (signature >> 20 & 0xff);
    let model = (signature >> 4 & 0xf) | (signature >> 12 & 0xf0);
    match &vendor[..] {
        b"AuthenticAMD" => family < 0x17 || (family == 0x17 && model < 0x30),
        b"HygonGenuine" => family == 0x18,
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn halves_vectors() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_runs() {
        for crossover in [&WHOLE, &HALVED] {
            let paths = [2, 16, 250].map(|n| crossover.path_of_sum(n));
            assert_eq!(paths, ["scalar", "lanes, some stages scalar", "lanes"]);
            assert!(crossover.leaves(250, 1) && !crossover.leaves(250, 250));
        }
        assert!(HALVED.leaves(7, 7) && !WHOLE.leaves(7, 7));
    }
}
