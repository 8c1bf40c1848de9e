//! Many numbers modulo odd numbers on a GPU: chains of squarings, and Fermat's test. One invocation a number.
//!
//! Source of the arithmetic: `montgomery.wgsl`. A dispatch does a bounded number of squarings, so that no driver's watchdog
//! takes it for hung and a long job can be cancelled.

use std::sync::Arc;

use crate::backend::{Control, Error};
use crate::device::wgpu::{BINDING_WORDS, Buffer, GROUP, Gpu};
use crate::device::wgsl::{DIGIT, digits};

use super::super::integer::Int;
use super::super::modular::negative_inverse;

/// Bits of a digit.
const DIGIT_BITS: usize = 32 * DIGIT;

/// Squarings of one dispatch. At 2048 bits some 10 ms for a thread of a GPU.
const STRIDE: u64 = 64;

/// A program over numbers of `k` digits: the arithmetic, then an entry point.
pub(super) fn source(wide: bool, k: usize, entry: &str) -> String {
    let constants = format!("const DIGIT = {DIGIT}u;\nconst K = {k}u;\n");
    digits(wide) + &constants + include_str!("montgomery.wgsl") + entry
}

pub(super) const SQUARE: &str = include_str!("square.wgsl");
pub(super) const FERMAT: &str = include_str!("fermat.wgsl");

/// Numbers of so many digits at once, within one binding and one dispatch.
fn most(k: usize) -> usize {
    // Multiples of a workgroup far below the most of them.
    (BINDING_WORDS / (k * DIGIT)).min(1 << 18) / GROUP * GROUP
}

/// Odd moduli on the device, all of `k` digits.
struct Moduli {
    k: usize,
    moduli: Buffer,
    inverses: Buffer,
}

impl Moduli {
    fn new(gpu: &Gpu, moduli: &[&[u64]], bits: usize) -> Result<Self, Error> {
        let k = bits.div_ceil(DIGIT_BITS);
        let inverses: Vec<Vec<u64>> = moduli.iter().map(|modulus| negative_inverse(modulus, DIGIT_BITS)).collect();
        Ok(Self {
            k,
            moduli: gpu.upload(&across(moduli, k * DIGIT))?,
            inverses: gpu.upload(&across(&inverses, DIGIT))?,
        })
    }
}

/// Numbers of `words` words each, word by word: word `l` of number `i` of `n` at `l n + i`. Missing limbs are 0.
fn across<T: AsRef<[u64]>>(numbers: &[T], words: usize) -> Vec<u32> {
    let n = numbers.len();
    let mut out = vec![0; words * n];
    for (i, number) in numbers.iter().enumerate() {
        for (l, limb) in number.as_ref().iter().enumerate().take(words / 2) {
            out[2 * l * n + i] = *limb as u32;
            out[(2 * l + 1) * n + i] = (limb >> 32) as u32;
        }
    }
    out
}

/// The reverse of [`across`], `limbs` of each.
fn along(words: &[u32], n: usize, limbs: usize) -> Vec<Vec<u64>> {
    let word = |l: usize, i: usize| words.get(l * n + i).copied().map_or(0, u64::from);
    (0..n).map(|i| (0..limbs).map(|l| word(2 * l, i) | word(2 * l + 1, i) << 32).collect()).collect()
}

/// Chains of squarings modulo one number, at their start.
pub(super) struct Chains {
    gpu: Arc<Gpu>,
    moduli: Moduli,
    limbs: usize,
    /// Values of every batch that the device holds at once.
    batches: Vec<(usize, Vec<u32>)>,
}

impl Chains {
    /// Values below an odd modulus, as little-endian limbs.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn new(gpu: &Arc<Gpu>, modulus: &[u64], values: &[Vec<u64>]) -> Result<Self, Error> {
        let moduli = Moduli::new(gpu, &[modulus], 64 * modulus.len())?;
        let words = moduli.k * DIGIT;
        let batches = values.chunks(most(moduli.k)).map(|batch| (batch.len(), across(batch, words))).collect();
        Ok(Self { gpu: Arc::clone(gpu), moduli, limbs: modulus.len(), batches })
    }

    /// The values after so many squarings each, in order, fully reduced.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`], [`Error::Device`].
    pub fn square_times(&self, count: u64, control: &Control) -> Result<Vec<Vec<u64>>, Error> {
        let k = self.moduli.k;
        let name = format!("vdf square {k}");
        let program = self.gpu.program(&name, || source(self.gpu.wide(), k, SQUARE))?;
        let total = count.saturating_mul(self.batches.len() as u64);
        let mut all = 0;
        let mut out = Vec::new();
        for (n, start) in &self.batches {
            let values = self.gpu.upload(start)?;
            let mut done = 0;
            while done < count {
                control.check()?;
                let run = (count - done).min(STRIDE);
                let flags = u32::from(done == 0) | u32::from(done + run == count) << 1;
                let job = self.gpu.upload(&[run as u32, flags])?;
                self.gpu.run(&program, &[&self.moduli.moduli, &self.moduli.inverses, &values, &job], *n)?;
                self.gpu.wait()?;
                done += run;
                all += run;
                control.report(all, total);
            }
            out.extend(along(&self.gpu.download(&values)?, *n, self.limbs));
        }
        Ok(out)
    }
}

/// For each odd number whether `2^(n-1) = 1` modulo `n`.
///
/// # Errors
///
/// [`Error::Cancelled`], [`Error::Device`].
pub(super) fn fermat_base_2(gpu: &Gpu, candidates: &[Int], control: &Control) -> Result<Vec<bool>, Error> {
    let bits = candidates.iter().map(Int::bits).max().unwrap_or(0);
    let k = bits.div_ceil(DIGIT_BITS).max(1);
    let program = gpu.program(&format!("vdf fermat {k}"), || source(gpu.wide(), k, FERMAT))?;
    let mut passed = Vec::with_capacity(candidates.len());
    for batch in candidates.chunks(most(k)) {
        let limbs: Vec<&[u64]> = batch.iter().map(Int::limbs).collect();
        let moduli = Moduli::new(gpu, &limbs, bits)?;
        let values = gpu.zeros(k * DIGIT * batch.len())?;
        let verdicts = gpu.zeros(batch.len())?;
        for done in (0..bits).step_by(STRIDE as usize) {
            control.check()?;
            let job = gpu.upload(&[done as u32, STRIDE as u32])?;
            gpu.run(&program, &[&moduli.moduli, &moduli.inverses, &values, &job, &verdicts], batch.len())?;
            gpu.wait()?;
        }
        passed.extend(gpu.download(&verdicts)?.iter().map(|verdict| *verdict == 1));
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::super::super::modular::Engine;
    use super::*;
    use crate::device::wgpu::{any, narrow_and_wide};
    use crate::device::wgsl::assert_valid;

    #[test]
    fn programs_are_core_wgsl() {
        for wide in [false, true] {
            for k in [1, 4, 8, 16] {
                assert_valid(&source(wide, k, SQUARE), wide);
                assert_valid(&source(wide, k, FERMAT), wide);
            }
        }
    }

    /// Odd numbers of every shape: dense, sparse, all ones, just above a power of two.
    fn moduli(limbs: usize) -> Vec<Vec<u64>> {
        let mut sparse = vec![0; limbs];
        (sparse[0], sparse[limbs - 1]) = (1, 1 << 63);
        let mut above = sparse.clone();
        above[limbs - 1] = 1;
        let dense = (0..limbs as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).collect();
        vec![vec![u64::MAX; limbs], sparse, above, dense]
    }

    #[test]
    fn chains_agree_with_the_scalar_code() {
        for (gpu, limbs) in
            narrow_and_wide().into_iter().flat_map(|gpu| [4, 5, 16, 32].map(|limbs| (gpu.clone(), limbs)))
        {
            for modulus in moduli(limbs) {
                let mut below = modulus.clone();
                below[0] -= 1;
                let mut two = vec![0; limbs];
                two[0] = 2;
                let half: Vec<u64> =
                    (0..limbs).map(|i| modulus[i] >> 1 | modulus.get(i + 1).map_or(0, |next| next << 63)).collect();
                let values = [vec![0; limbs], two, below, half];
                for count in [1, STRIDE + 3] {
                    let mut chains = Engine::SCALAR.chains(&modulus, &values).unwrap();
                    chains.iter_mut().for_each(|chain| chain.square_times(count));
                    let want: Vec<Vec<u64>> = chains.iter().flat_map(|chain| chain.values()).collect();
                    let chains = Chains::new(&gpu, &modulus, &values).unwrap();
                    let got = chains.square_times(count, &Control::default()).unwrap();
                    assert_eq!(got, want, "{limbs} limbs, {count} squarings modulo {modulus:x?}");
                }
            }
        }
    }

    #[test]
    fn fermats_test_agrees_with_the_scalar_code() {
        let Some(gpu) = any() else { return };
        // 2^256 - 189 is prime; 341 = 11 * 31 passes base 2; others of several lengths beside them.
        let mut candidates: Vec<Int> = (0..40).map(|i| Int::power_of_two(256) - Int::from(189 + 2 * i)).collect();
        candidates.extend([89, 127, 521, 607].map(|n| Int::power_of_two(n) - Int::from(1)));
        candidates.extend(moduli(9).iter().map(|limbs| Int::from_limbs(limbs)));
        let want = Engine::SCALAR.fermat_base_2(&candidates);
        assert!(want[0] && want.contains(&false));
        assert_eq!(fermat_base_2(&gpu, &candidates, &Control::default()).unwrap(), want);
        assert_eq!(fermat_base_2(&gpu, &[Int::from(341)], &Control::default()).unwrap(), [true]);
        assert!(fermat_base_2(&gpu, &[], &Control::default()).unwrap().is_empty());
        let cancelled = Control::default();
        cancelled.cancel();
        assert_eq!(fermat_base_2(&gpu, &candidates, &cancelled), Err(Error::Cancelled));
    }
}
