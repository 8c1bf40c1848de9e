//! Arithmetic modulo long odd numbers: one chain at a time, or as many as there are lanes.
//!
//! A chain of squarings is sequential, so lanes hold chains: independent ones modulo an RSA number, or Fermat tests of
//! different candidates for a prime. `scalar.rs` is one chain; `lanes/` is several in lockstep. [`Engine`] is the choice
//! between them.

mod lanes;
mod scalar;

use std::sync::Arc;

use super::integer::Int;
use crate::backend::{BackendId, Isa, Unavailable};
use lanes::{Batch, Lanes};

#[cfg(feature = "wgpu")]
pub(super) use lanes::negative_inverse;
pub(super) use scalar::{Form, Montgomery};

/// Which code does the arithmetic modulo many numbers: candidates for primes, independent chains of squarings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    isa: Option<Isa>,
}

/// The lanes of an instruction set, if there is code for it.
fn lanes_for(isa: Isa) -> Option<Lanes> {
    match isa {
        Isa::Avx2 => Some(Lanes::Avx2),
        Isa::Avx512Ifma => Some(Lanes::Avx512),
        Isa::Avx512IfmaEmulated => Some(Lanes::Emulated8),
        Isa::Gfni | Isa::Avx512Gfni | Isa::Neon => None,
    }
}

impl Engine {
    /// One number at a time.
    pub const SCALAR: Self = Self { isa: None };

    /// The engine of a backend: scalar for `cpu`, the best lanes of this CPU for `simd`.
    ///
    /// # Errors
    ///
    /// [`Unavailable::MissingIsa`] where the CPU has none, [`Unavailable::NotImplemented`] for other backends.
    pub fn open(backend: BackendId) -> Result<Self, Unavailable> {
        match backend {
            BackendId::Cpu => Ok(Self::SCALAR),
            BackendId::Simd => Self::lanes_of(None),
            BackendId::Cuda | BackendId::Wgpu => Err(Unavailable::NotImplemented),
        }
    }

    /// Lanes of one instruction set, or of the best that the CPU has.
    pub(super) fn lanes_of(isa: Option<Isa>) -> Result<Self, Unavailable> {
        let available = |isa: &Isa| lanes_for(*isa).is_some_and(Lanes::available);
        match isa {
            None => {
                let best = [Isa::Avx512Ifma, Isa::Avx2].into_iter().find(available);
                best.map(|isa| Self { isa: Some(isa) }).ok_or(Unavailable::MissingIsa("AVX2 and FMA"))
            }
            Some(isa) if lanes_for(isa).is_none() => {
                Err(Unavailable::Options(format!("the delay functions have no {isa} code")))
            }
            Some(isa) if available(&isa) => Ok(Self { isa: Some(isa) }),
            Some(Isa::Avx2) => Err(Unavailable::MissingIsa("AVX2 and FMA")),
            Some(_) => Err(Unavailable::MissingIsa("AVX-512 IFMA")),
        }
    }

    /// The lanes' instruction set.
    pub(super) fn isa(self) -> Option<Isa> {
        self.isa
    }

    fn vectors(self) -> Option<Lanes> {
        self.isa.and_then(lanes_for)
    }

    /// Numbers that are computed with at once.
    pub(super) fn lanes(self) -> usize {
        self.vectors().map_or(1, Lanes::count)
    }

    /// For each odd number above 2^32 whether it may be prime: whether `2^(n-1) = 1` modulo `n`.
    pub(super) fn fermat_base_2(self, candidates: &[Int]) -> Vec<bool> {
        // Numbers below 2^64, which have no such arithmetic, are left to the strong test.
        let scalar = |n: &Int| Montgomery::new(n.limbs()).is_none_or(|ring| ring.is_fermat_probable_prime_base_2());
        let Some(vectors) = self.vectors() else { return candidates.iter().map(scalar).collect() };
        let mut passed = Vec::with_capacity(candidates.len());
        for group in candidates.chunks(vectors.count()) {
            let moduli: Vec<&[u64]> = group.iter().map(Int::limbs).collect();
            // Too short for the lanes, or one alone, which would leave the others idle.
            match Batch::new(vectors, &moduli) {
                Ok(mut batch) if group.len() >= LEAST => passed.extend(batch.fermat()),
                _ => passed.extend(group.iter().map(scalar)),
            }
        }
        passed
    }

    /// Values modulo `modulus` in groups that can run side by side, in order; `None` for a modulus that is even or has not
    /// 256 to 4096 bits. A last group that is too small for the lanes goes one by one.
    pub(super) fn chains(self, modulus: &[u64], values: &[Vec<u64>]) -> Option<Vec<Chains>> {
        let ring = Arc::new(Montgomery::new(modulus)?);
        let scalar = |value: &Vec<u64>| Some(Chains::Scalar(ring.to_form(value)?, Arc::clone(&ring)));
        let Some(vectors) = self.vectors() else { return values.iter().map(scalar).collect() };
        let mut chains = Vec::new();
        for group in values.chunks(vectors.count()) {
            if group.len() < LEAST {
                for value in group {
                    chains.push(scalar(value)?);
                }
                continue;
            }
            let mut batch = Batch::new(vectors, &vec![modulus; group.len()]).ok()?;
            batch.set(&group.iter().map(Vec::as_slice).collect::<Vec<_>>());
            chains.push(Chains::Lanes(batch));
        }
        Some(chains)
    }
}

/// Numbers for which a group of lanes is at least as fast as the scalar code for one after another: a group takes as long
/// as two to four of them, by the width that the CPU's vector units have.
const LEAST: usize = 3;

/// Values that are squared together.
#[derive(Clone)]
pub(super) enum Chains {
    Scalar(Form, Arc<Montgomery>),
    Lanes(Batch),
}

impl Chains {
    /// Squares each `count` times.
    pub fn square_times(&mut self, count: u64) {
        match self {
            Self::Scalar(form, ring) => ring.square_times(form, count),
            Self::Lanes(batch) => batch.square_times(count),
        }
    }

    /// The values, fully reduced, little-endian.
    pub fn values(&self) -> Vec<Vec<u64>> {
        match self {
            Self::Scalar(form, ring) => vec![ring.value_of(form)],
            Self::Lanes(batch) => batch.values(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_open_for_what_there_is() {
        assert_eq!(Engine::open(BackendId::Cpu), Ok(Engine::SCALAR));
        assert_eq!(Engine::open(BackendId::Cuda), Err(Unavailable::NotImplemented));
        assert!(matches!(Engine::lanes_of(Some(Isa::Neon)), Err(Unavailable::Options(_))));
        assert_eq!(Engine::lanes_of(Some(Isa::Avx512IfmaEmulated)).map(Engine::lanes), Ok(8));
        assert_eq!(Engine::SCALAR.lanes(), 1);
    }

    #[test]
    fn every_engine_gives_the_same_squares_and_verdicts_for_any_number_of_chains() {
        let emulated = Engine::lanes_of(Some(Isa::Avx512IfmaEmulated)).unwrap();
        let engines = [Engine::open(BackendId::Simd).unwrap_or(emulated), emulated];
        let modulus: Vec<u64> = (0..4u64).map(|i| u64::MAX - 58 * i * i).collect();
        for count in 1..=9u64 {
            let values: Vec<Vec<u64>> = (0..count).map(|i| vec![i, 1, i * i, 7 << 60]).collect();
            let run = |engine: Engine| {
                let mut chains = engine.chains(&modulus, &values).unwrap();
                chains.iter_mut().for_each(|chains| chains.square_times(100));
                chains.iter().flat_map(Chains::values).collect::<Vec<_>>()
            };
            let want = run(Engine::SCALAR);
            assert_eq!(want.len() as u64, count);
            assert!(engines.iter().all(|engine| run(*engine) == want), "{count}");
        }
        // Numbers below 2^256, and one that is too short for lanes.
        let near: Vec<Int> = (0..11).map(|i| Int::power_of_two(256) - Int::from(189 + 10 * i)).collect();
        let want = Engine::SCALAR.fermat_base_2(&near);
        assert!(want[0], "2^256 - 189 is prime");
        assert!(engines.iter().all(|engine| engine.fermat_base_2(&near) == want));
        let short = vec![Int::power_of_two(127) - Int::from(1); 4];
        assert!(engines.iter().all(|engine| engine.fermat_base_2(&short) == [true; 4]));
    }
}
