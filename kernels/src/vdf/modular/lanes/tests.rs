//! Batches against integers.

use dashu_int::UBig;
use dashu_int::ops::BitTest;
use rand::RngExt;

use super::testing::{hostile, limbs, number, random, rng};
use super::*;

fn batch(lanes: Lanes, moduli: &[UBig]) -> Batch {
    let moduli: Vec<_> = moduli.iter().map(limbs).collect();
    Batch::new(lanes, &moduli.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("good moduli")
}

fn set(batch: &mut Batch, values: &[UBig]) {
    let values: Vec<_> = values.iter().map(limbs).collect();
    batch.set(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

fn values(batch: &Batch) -> Vec<UBig> {
    batch.values().iter().map(|value| number(value)).collect()
}

fn squared(value: &UBig, modulus: &UBig, times: usize) -> UBig {
    (0..times).fold(value % modulus, |value, _| (&value * &value) % modulus)
}

fn power_of_2(exponent: &UBig, modulus: &UBig) -> UBig {
    (0..exponent.bit_len()).rev().fold(UBig::ONE, |value, i| {
        let value = (&value * &value) % modulus;
        if exponent.bit(i) { (value << 1) % modulus } else { value }
    })
}

fn available() -> impl Iterator<Item = Lanes> {
    Lanes::ALL.into_iter().filter(|lanes| lanes.available())
}

/// At and around each size that is instantiated.
const SIZES: [usize; 16] = [256, 257, 300, 511, 512, 513, 1000, 1024, 1025, 1536, 1600, 2047, 2048, 2049, 3072, 4096];

fn squares_at_every_size(lanes: Lanes, cases: usize, times: usize) {
    let mut rng = rng(1);
    for bits in SIZES {
        for case in 0..cases {
            let moduli: Vec<_> = (0..lanes.count())
                .map(|lane| {
                    if (case + lane) % 3 == 0 {
                        random(&mut rng, bits) | (UBig::ONE << (bits - 1)) | UBig::ONE
                    } else {
                        hostile(&mut rng, bits)
                    }
                })
                .collect();
            let start: Vec<_> = moduli
                .iter()
                .enumerate()
                .map(|(lane, n)| match (case + lane) % 7 {
                    0 => UBig::ZERO,
                    1 => UBig::ONE,
                    2 => n - UBig::ONE,
                    3 => n >> 1,
                    4 => hostile(&mut rng, bits - 1),
                    _ => random(&mut rng, bits) % n,
                })
                .collect();
            let mut batch = batch(lanes, &moduli);
            set(&mut batch, &start);
            assert_eq!(values(&batch), start);
            batch.square_times(times as u64);
            let want: Vec<_> = start.iter().zip(&moduli).map(|(x, n)| squared(x, n, times)).collect();
            assert_eq!(values(&batch), want, "{lanes:?}, {bits} bits, case {case}");
        }
    }
}

#[test]
fn models_square() {
    squares_at_every_size(Lanes::Emulated4, 3, 3);
    squares_at_every_size(Lanes::Emulated8, 3, 3);
}

#[test]
fn instructions_square() {
    for lanes in [Lanes::Avx2, Lanes::Avx512].into_iter().filter(|lanes| lanes.available()) {
        squares_at_every_size(lanes, 60, 5);
    }
}

#[test]
fn long_chains_stay_right() {
    let mut rng = rng(2);
    for lanes in [Lanes::Avx2, Lanes::Avx512].into_iter().filter(|lanes| lanes.available()) {
        for bits in [1024, 2048] {
            let moduli: Vec<_> = (0..lanes.count()).map(|_| hostile(&mut rng, bits)).collect();
            let start: Vec<_> = moduli.iter().map(|n| random(&mut rng, bits) % n).collect();
            let mut batch = batch(lanes, &moduli);
            set(&mut batch, &start);
            batch.square_times(20_000);
            let want: Vec<_> = start.iter().zip(&moduli).map(|(x, n)| squared(x, n, 20_000)).collect();
            assert_eq!(values(&batch), want, "{lanes:?}, {bits} bits");
        }
    }
}

#[test]
fn moduli_of_different_sizes_share_a_batch() {
    let mut rng = rng(3);
    for lanes in available() {
        for count in 1..=lanes.count() {
            let moduli: Vec<_> = (0..count).map(|i| hostile(&mut rng, [256, 2048, 300, 1025][i % 4])).collect();
            // Values need not be below their moduli.
            let start: Vec<_> = moduli.iter().map(|_| random(&mut rng, 5000)).collect();
            let mut batch = batch(lanes, &moduli);
            assert_eq!(batch.count, count);
            set(&mut batch, &start);
            batch.square_times(4);
            let want: Vec<_> = start.iter().zip(&moduli).map(|(x, n)| squared(x, n, 4)).collect();
            assert_eq!(values(&batch), want, "{lanes:?}");
            let want: Vec<_> = moduli.iter().map(|n| power_of_2(&(n - UBig::ONE), n) == UBig::ONE).collect();
            assert_eq!(batch.fermat(), want, "{lanes:?}");
        }
    }
}

fn parse(text: &str) -> UBig {
    UBig::from_str_radix(text, 10).expect("a number")
}

/// Numbers that pass and that fail, as their names say.
fn known() -> Vec<(UBig, bool)> {
    let mersenne = |p: usize| (UBig::ONE << p) - UBig::ONE;
    let two = |p: usize| UBig::ONE << p;
    // Chernick's Carmichael numbers are (6k+1)(12k+1)(18k+1), for a k that makes all three prime.
    let k = parse("1000000000000000000000024140");
    let carmichael = [6u8, 12, 18].into_iter().fold(UBig::ONE, |n, m| n * (&k * UBig::from(m) + UBig::ONE));
    vec![
        (mersenne(521), true),
        (mersenne(607), true),
        (mersenne(1279), true),
        (mersenne(2203), true),
        (mersenne(3217), true),
        (two(256) - two(32) - UBig::from(977u32), true),
        (two(256) - UBig::from(189u32), true),
        (two(256) - UBig::ONE, false),
        (mersenne(521) * mersenne(521), false),
        (mersenne(521) * mersenne(607), false),
        // Every number of the form 2^p - 1 with p prime passes, prime or not, as every Fermat number.
        (mersenne(1277), true),
        (two(256) + UBig::ONE, true),
        (two(1024) + UBig::ONE, true),
        (two(2048) + UBig::ONE, true),
        (two(2048) - UBig::ONE, false),
        (two(2047) + UBig::ONE, false),
        (carmichael, true),
    ]
}

#[test]
fn fermat_knows_primes_and_composites() {
    let known = known();
    for lanes in available() {
        for group in known.chunks(lanes.count()) {
            let (moduli, want): (Vec<_>, Vec<_>) = group.iter().cloned().unzip();
            assert_eq!(batch(lanes, &moduli).fermat(), want, "{lanes:?}");
        }
    }
}

#[test]
fn fermat_agrees_with_integers() {
    let mut rng = rng(4);
    for lanes in available() {
        for bits in [256, 264, 512, 1024, 2048] {
            for _ in 0..3 {
                let moduli: Vec<_> = (0..lanes.count()).map(|_| hostile(&mut rng, bits)).collect();
                let want: Vec<_> = moduli.iter().map(|n| power_of_2(&(n - UBig::ONE), n) == UBig::ONE).collect();
                assert_eq!(batch(lanes, &moduli).fermat(), want, "{lanes:?}, {bits} bits");
            }
        }
    }
}

/// Every digit, not only what it adds up to.
#[cfg(target_arch = "x86_64")]
#[test]
fn instructions_give_the_bits_of_their_models() {
    use super::columns::{Kind, State, Steps};
    use super::vector::Vector;

    fn digits<V: Vector, const L: usize, const W: u32>(n: &[UBig], x: &[UBig], bits: &[u64]) -> Vec<i64> {
        let spread = |a: &UBig| integer::digits(&limbs(a), W, L, V::SIGNED);
        let inverse =
            |n: &UBig| integer::digits(&integer::negative_inverse(&limbs(n), L * W as usize), W, L, V::SIGNED);
        let lanes = |numbers: &[UBig], digits: &dyn Fn(&UBig) -> Vec<i64>| -> Vec<Vec<i64>> {
            numbers[..V::LANES].iter().map(digits).collect()
        };
        let (n, inverse, x) = (lanes(n, &spread), lanes(n, &inverse), lanes(x, &spread));
        let mut state = State::<V, L, W>::new(|lane, i| n[lane][i], |lane, i| inverse[lane][i]);
        state.x = std::array::from_fn(|i| V::from_lanes(|lane| x[lane][i]));
        let bits: Vec<_> = bits.iter().map(|bits| V::from_lanes(|lane| (bits >> lane & 1) as i64)).collect();
        V::run(Steps { state: &mut state, count: bits.len() as u64, kind: Kind::SquareAndDouble(&bits) });
        state.x.iter().flat_map(|x| (0..V::LANES).map(|lane| x.lane(lane))).collect()
    }

    fn compare<const L: usize, const W: u32, const L8: usize>(bits: usize) {
        let mut rng = rng(5);
        for _ in 0..5 {
            let n: Vec<_> = (0..8).map(|_| hostile(&mut rng, bits)).collect();
            let x: Vec<_> = n.iter().map(|n| random(&mut rng, bits) % n).collect();
            let choices: Vec<_> = (0..6).map(|_| rng.random()).collect();
            if Lanes::Avx2.available() {
                let got = digits::<doubles::Avx2, L, W>(&n, &x, &choices);
                assert_eq!(got, digits::<doubles::Emulated, L, W>(&n, &x, &choices), "{bits} bits");
            }
            if Lanes::Avx512.available() {
                let got = digits::<words::Avx512, L8, 51>(&n, &x, &choices);
                assert_eq!(got, digits::<words::Emulated, L8, 51>(&n, &x, &choices), "{bits} bits");
            }
        }
    }
    compare::<6, 49, 6>(256);
    compare::<11, 49, 11>(512);
    compare::<22, 48, 21>(1024);
    compare::<33, 47, 31>(1536);
    compare::<44, 47, 41>(2048);
    compare::<67, 46, 61>(3072);
    compare::<90, 46, 81>(4096);
}

#[test]
fn bad_moduli_are_refused() {
    let new = |lanes, moduli: &[&[u64]]| Batch::new(lanes, moduli).err();
    let good: &[u64] = &[1, 0, 0, 1 << 63];
    assert_eq!(new(Lanes::Emulated4, &[good]), None);
    assert_eq!(new(Lanes::Emulated4, &[]), Some(Refused::Count));
    assert_eq!(new(Lanes::Emulated4, &[good; 5]), Some(Refused::Count));
    assert_eq!(new(Lanes::Emulated8, &[good; 8]), None);
    assert_eq!(new(Lanes::Emulated4, &[good, &[2, 0, 0, 1 << 63]]), Some(Refused::Even(1)));
    assert_eq!(new(Lanes::Emulated4, &[good, good, &[1, 0, 0, 1 << 62]]), Some(Refused::Size(2)));
    assert_eq!(new(Lanes::Emulated4, &[&[]]), Some(Refused::Size(0)));
    let mut long = vec![1; 65];
    assert_eq!(new(Lanes::Emulated4, &[&long]), Some(Refused::Size(0)));
    long[64] = 0;
    assert_eq!(new(Lanes::Emulated4, &[&long]), None);
}

/// The largest digits there are, of both signs, in every place: what no number has, and no column of them may exceed.
#[test]
fn columns_of_the_largest_digits_stay_within_their_bounds() {
    use super::columns::{Kind, State, Steps};
    use super::vector::Vector;

    fn squares<V: Vector, const L: usize, const W: u32>(largest: i64) {
        let patterns: [fn(usize) -> i64; 4] = [|_| 1, |_| -1, |i| 1 - 2 * (i as i64 % 2), |i| 1 - (i as i64 % 2)];
        let digit = |sign: i64| if V::SIGNED { sign * largest } else { sign.max(0) * largest };
        for x in patterns {
            for [n, inverse] in patterns.iter().flat_map(|a| patterns.iter().map(move |b| [a, b])) {
                let mut state = State::<V, L, W>::new(|_, i| digit(n(i)), |_, i| digit(inverse(i)));
                state.x = std::array::from_fn(|i| V::from_lanes(|_| digit(x(i))));
                let bits = [1, 0, 1].map(|bit| V::from_lanes(|_| bit));
                V::run(Steps { state: &mut state, count: 3, kind: Kind::SquareAndDouble(&bits) });
            }
        }
    }
    fn doubles<const L: usize, const W: u32>() {
        squares::<doubles::Emulated, L, W>((1 << (W - 1)) + (1 << (53 - W)));
    }
    fn words<const L: usize>() {
        squares::<words::Emulated, L, 51>((1 << 51) - 1);
    }
    doubles::<6, 49>();
    doubles::<11, 49>();
    doubles::<22, 48>();
    doubles::<33, 47>();
    doubles::<44, 47>();
    doubles::<67, 46>();
    doubles::<90, 46>();
    words::<6>();
    words::<11>();
    words::<21>();
    words::<41>();
    words::<81>();
}

/// One column of so many products of equal digits, and what is carried into it.
#[cfg(debug_assertions)]
fn column<V: super::vector::Vector, const W: u32>(digit: i64, products: usize, carried: i64) {
    use super::vector::{Carry, Tile};
    let digit = V::from_lanes(|_| digit);
    let mut tile = Tile { low: [V::zero(); 4], even: [V::empty::<W>(); 4], odd: [V::empty::<W>(); 4] };
    for _ in 0..products {
        V::multiply(&mut tile.even[0], &mut tile.low[0], digit, digit);
    }
    V::column::<W>(&mut Carry { high: V::from_lanes(|_| carried), excess: V::zero() }, &tile, 0);
}

#[cfg(debug_assertions)]
#[test]
fn models_notice_columns_beyond_their_bounds() {
    let panics = |sum: fn()| std::panic::catch_unwind(sum).is_err();
    assert!(!panics(|| column::<doubles::Emulated, 49>(1 << 48, 11, (1 << 53) - 1)));
    assert!(panics(|| column::<doubles::Emulated, 49>(1 << 48, 11, 1 << 53)), "a sum of lower halves");
    assert!(panics(|| column::<doubles::Emulated, 49>(1 << 51, 1, 0)), "a sum of upper halves");
    assert!(!panics(|| column::<words::Emulated, 51>((1 << 52) - 1, 1023, 1 << 62)));
    assert!(panics(|| column::<words::Emulated, 51>((1 << 52) - 1, 1, i64::MAX)), "a sum of lower halves");
    assert!(panics(|| column::<words::Emulated, 51>((1 << 52) - 1, 2048, 0)), "a sum of upper halves");
}
