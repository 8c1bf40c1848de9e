//! Between integers and residues in lanes, and what depends on a residue as an integer: its sign.

use blst::blst_fp;

use super::field::constants::{P, power_of_two};
use super::field::{Field, Fp2, Mask};

/// An integer, 64-bit limbs, least significant first.
pub(super) type Words = [u64; 6];

/// The integer zero is this in blst's Montgomery form, and so on: loaded as if it were a form, an integer stands for the
/// residue divided by `2^384`.
const LIFT: blst_fp = blst_fp { l: power_of_two(768) };
/// The same for the upper half of 512 bits.
const LIFT_UPPER: blst_fp = blst_fp { l: power_of_two(1024) };
/// Divides by `2^384`.
const LOWER: blst_fp = blst_fp { l: [1, 0, 0, 0, 0, 0] };

/// The residues of integers below the prime, by lane; below `3p`.
pub(super) fn from_words<F: Field>(mut lane: impl FnMut(usize) -> Words) -> F {
    F::load(|i| blst_fp { l: lane(i) }).mul(&F::splat(&LIFT))
}

/// The residues of 512-bit big-endian integers, by lane; below `6p`.
pub(super) fn from_wide<'a, F: Field>(lane: impl Fn(usize) -> &'a [u8; 64]) -> F {
    let half = |i: usize, from: usize| {
        let word = |j: usize| {
            let at = from + 24 - 8 * j;
            lane(i)[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        blst_fp { l: [word(0), word(1), word(2), word(3), 0, 0] }
    };
    let (upper, lower) = (F::load(|i| half(i, 0)), F::load(|i| half(i, 32)));
    upper.mul(&F::splat(&LIFT_UPPER)).add(&lower.mul(&F::splat(&LIFT)))
}

/// The integers below the prime, by lane. Takes a value below `128p`.
fn to_words<F: Field>(value: &F) -> [Words; 8] {
    let mut lanes = [blst_fp::default(); 8];
    value.mul(&F::splat(&LOWER)).store(&mut lanes);
    lanes.map(|lane| lane.l)
}

/// The sign of RFC 9380, section 4.1: the parity of the first coordinate that is not zero. Takes a value below `128p`.
pub(super) fn is_odd<F: Field>(value: &Fp2<F>) -> Mask {
    let (c0, c1) = (to_words(&value.c0), to_words(&value.c1));
    mask::<F>(|lane| if c0[lane] == [0; 6] { c1[lane][0] & 1 == 1 } else { c0[lane][0] & 1 == 1 })
}

/// The sign of point encodings: whether the last coordinate that is not zero exceeds `p / 2`. Takes a value below `64p`.
pub(super) fn is_upper<F: Field>(value: &Fp2<F>) -> Mask {
    // Twice an integer above p / 2 is odd once the prime is taken away.
    let (c0, c1) = (to_words(&value.c0.double()), to_words(&value.c1.double()));
    mask::<F>(|lane| if c1[lane] == [0; 6] { c0[lane][0] & 1 == 1 } else { c1[lane][0] & 1 == 1 })
}

fn mask<F: Field>(lane: impl Fn(usize) -> bool) -> Mask {
    (0..F::LANES).fold(0, |mask, i| mask | Mask::from(lane(i)) << i)
}

/// Whether an integer is below the prime.
pub(super) fn is_reduced(words: &Words) -> bool {
    words.iter().rev().lt(P.iter().rev())
}

#[cfg(test)]
mod tests {
    use super::super::field::{Fp49, Ring};
    use super::super::samples::Numbers;
    use super::*;

    fn less(words: Words, amount: u64) -> Words {
        [words[0] - amount, words[1], words[2], words[3], words[4], words[5]]
    }

    /// `(p - 1) / 2`.
    fn half() -> Words {
        std::array::from_fn(|i| P[i] >> 1 | P.get(i + 1).map_or(0, |next| next << 63))
    }

    fn edges() -> Vec<Words> {
        vec![[0; 6], [1, 0, 0, 0, 0, 0], less(P, 1), less(P, 2), half(), less(half(), 1), {
            let mut above = half();
            above[0] += 1;
            above
        }]
    }

    #[test]
    fn integers_come_back() {
        let edges = edges();
        for words in edges.chunks(4) {
            let value = from_words::<Fp49>(|lane| *words.get(lane).unwrap_or(&words[0]));
            assert_eq!(to_words(&value)[..words.len()], *words);
        }
        assert!(edges.iter().all(is_reduced));
        let mut above = P;
        above[5] += 1;
        assert!(!is_reduced(&P) && !is_reduced(&above) && !is_reduced(&[u64::MAX; 6]));
    }

    #[test]
    fn wide_integers_are_their_halves() {
        let mut numbers = Numbers(5);
        let two_256 = from_words::<Fp49>(|_| [0, 0, 0, 0, 1, 0]);
        for round in 0..4 {
            let bytes: [u8; 64] = if round == 0 { [255; 64] } else { numbers.bytes() };
            let half = |from: usize| {
                from_words::<Fp49>(|_| {
                    let word =
                        |i: usize| u64::from_be_bytes(bytes[from + 24 - 8 * i..from + 32 - 8 * i].try_into().unwrap());
                    [word(0), word(1), word(2), word(3), 0, 0]
                })
            };
            let expected = half(0).mul(&two_256).add(&half(32));
            assert_eq!(to_words(&from_wide::<Fp49>(|_| &bytes)), to_words(&expected));
        }
    }

    #[test]
    fn signs_go_by_the_first_and_the_last_coordinate() {
        let edges = edges();
        for c0 in &edges {
            for c1 in &edges {
                let value = Fp2 { c0: from_words::<Fp49>(|_| *c0), c1: from_words(|_| *c1) };
                let odd = if *c0 == [0; 6] { c1 } else { c0 }[0] & 1 == 1;
                assert_eq!(is_odd(&value), if odd { Fp49::ALL } else { 0 });
                let upper = if *c1 == [0; 6] { c0 } else { c1 }.iter().rev().gt(half().iter().rev());
                assert_eq!(is_upper(&value), if upper { Fp49::ALL } else { 0 });
            }
        }
    }
}
