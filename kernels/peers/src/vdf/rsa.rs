//! `vdf/rsa-square`: `x^(2^T)` modulo an odd modulus, one instance or four side by side.
//!
//! A peer gets what it does best: one exponentiation by `2^T`, so that it leaves its Montgomery form once and not after
//! every squaring. Its table of odd powers, which such an exponent never uses, is inside: at most 512 products (GMP), a
//! quarter of a percent at these lengths.

use shardmark_kernels::backend::Kernel;
use shardmark_kernels::vdf::{RsaSquare, RsaSquareInput, RsaSquareParams};

use super::{NOT_BUILT_IN, Peer, bytes, gmp, openssl, without};
use crate::clock::watch;
use crate::duel::{Case, Table};
use crate::ours::Ours;

const KERNEL: &str = "vdf/rsa-square";
const TIMED: &str =
    "from x to x^(2^T), bytes compared; moduli and exponents are prepared; the peer's instances run in turn";
const ITERATIONS: u64 = 200_000;

/// One instance. All that depends on neither result nor time is prepared.
pub trait Squarings {
    /// `x^(2^T)`, big-endian, as long as the modulus; None if the library failed.
    fn run(&mut self) -> Option<Vec<u8>>;
}

/// An instance, or why there is none.
pub type Opened = Result<Box<dyn Squarings>, String>;

/// Prepares an instance: an odd modulus and `x` below it, big-endian, and `T`.
pub type Open = fn(modulus: &[u8], x: &[u8], iterations: u64) -> Opened;

const PEERS: [Peer<Open>; 2] = [gmp::POWM, openssl::MOD_EXP];

/// One modulus and starting points below it.
struct Input {
    modulus: Vec<u8>,
    points: Vec<Vec<u8>>,
}

impl Input {
    /// Points below half of the modulus.
    fn new(modulus: Vec<u8>, instances: usize) -> Self {
        let point = |index: usize| {
            let mut point = bytes(modulus.len(), 1 + index as u64);
            point[0] &= 0x3f;
            point
        };
        let points = (0..instances).map(point).collect();
        Self { modulus, points }
    }

    /// Every instance at a peer.
    fn open(&self, open: Open, iterations: u64) -> Result<Vec<Box<dyn Squarings>>, String> {
        self.points.iter().map(|point| open(&self.modulus, point, iterations)).collect()
    }
}

/// A result as the kernel writes it: the smaller of `y` and `N - y`.
fn canonical(modulus: &[u8], y: &[u8]) -> Vec<u8> {
    let mut other = vec![0; y.len()];
    let mut borrow = 0;
    for ((other, n), y) in other.iter_mut().zip(modulus).zip(y).rev() {
        let digit = i16::from(*n) - i16::from(*y) - borrow;
        (*other, borrow) = (digit.rem_euclid(256) as u8, i16::from(digit < 0));
    }
    other.min(y.to_vec())
}

/// All rows.
///
/// # Errors
///
/// A side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    for bits in [2048, 1024] {
        for instances in [1, 4] {
            let name = format!("bits={bits} instances={instances} iterations={ITERATIONS}");
            let mut wanted = Vec::new();
            for peer in PEERS {
                match peer.call {
                    None => without(table, KERNEL, &name, peer.name, NOT_BUILT_IN)?,
                    Some(open) if table.wants(KERNEL, &name, peer.name) => wanted.push((peer, open)),
                    Some(_) => {}
                }
            }
            if wanted.is_empty() {
                continue;
            }
            let setup =
                RsaSquare::setup(&RsaSquareParams { modulus_bits: bits as u32, iterations: ITERATIONS, instances }, 0);
            let input = Input::new(setup.modulus.clone(), instances);
            let ours = match Ours::<RsaSquare>::open(table.backend, &setup) {
                Ok(ours) => ours,
                Err(reason) => {
                    table.unavailable(KERNEL, &name, &reason)?;
                    continue;
                }
            };
            let values = RsaSquareInput { values: input.points.clone(), iterations: ITERATIONS };
            let want = ours.checked(&setup, &values)?;
            let mut session = ours.load(&values)?;
            let path = session.path();
            let items = ITERATIONS * instances as u64;
            let case = Case { kernel: KERNEL, name: &name, items, ours: &ours.description, path };
            for (peer, open) in wanted {
                let mut theirs = input.open(open, ITERATIONS)?;
                let timed = format!("{TIMED}: {}", peer.timed);
                table.duel_long(
                    &case,
                    peer.name,
                    &timed,
                    &mut || watch(|| session.output().is_some_and(|y| y == want)),
                    &mut || {
                        watch(|| {
                            let results = all(&mut theirs).unwrap_or_default();
                            let results = results.chunks(bits / 8).map(|y| canonical(&input.modulus, y));
                            results.eq(want.iter().cloned())
                        })
                    },
                )?;
            }
        }
    }
    Ok(())
}

/// The results of instances, one after the other.
fn all(instances: &mut [Box<dyn Squarings>]) -> Option<Vec<u8>> {
    let results: Option<Vec<Vec<u8>>> = instances.iter_mut().map(|instance| instance.run()).collect();
    Some(results?.concat())
}

#[cfg(test)]
mod tests {
    use dashu_int::{UBig, fast_div::ConstDivisor, modular::IntoRing};

    use super::*;

    #[test]
    fn every_peer_squares_as_dashu_int_does() {
        for bits in [64, 256, 1024, 2048, 2056] {
            for iterations in [0, 1, 2, 63, 64, 1000] {
                let mut modulus = bytes(bits / 8, 0);
                modulus[0] |= 0x80;
                modulus[bits / 8 - 1] |= 1;
                let input = Input::new(modulus, 3);
                let ring = ConstDivisor::new(UBig::from_be_bytes(&input.modulus));
                let square = |point: &Vec<u8>| {
                    let x = UBig::from_be_bytes(point).into_ring(&ring);
                    let y = (0..iterations).fold(x, |x, _| x.sqr()).residue().to_be_bytes();
                    [vec![0; bits / 8 - y.len()], y.to_vec()].concat()
                };
                let want = input.points.iter().map(square).collect::<Vec<_>>().concat();
                for peer in PEERS {
                    let Some(open) = peer.call else { continue };
                    let mut instances = input.open(open, iterations).unwrap();
                    for call in 0..2 {
                        let name = peer.name;
                        assert_eq!(all(&mut instances).as_ref(), Some(&want), "{name} {bits} {iterations} {call}");
                    }
                }
            }
        }
    }

    #[test]
    fn moduli_that_montgomery_has_no_form_for_are_refused() {
        for open in PEERS.into_iter().filter_map(|peer| peer.call) {
            assert!(open(&[4], &[1], 1).is_err() && open(&[], &[1], 1).is_err());
            assert!(open(&[5], &[5], 1).is_err());
        }
    }
}
