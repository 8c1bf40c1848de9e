//! Digits against dashu's quotients; proofs against powers, in a class group and in the integers, which count steps.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use dashu_int::{IBig, UBig};

use super::super::fixed::{Form, Workspace};
use super::super::group::FixedGroup;
use super::*;

/// The integers under addition: the "power" of 1 by `q` is `q`.
#[derive(Default)]
struct Integers {
    /// Squarings and compositions of every space that is gone.
    spaces: Mutex<Vec<[u64; 2]>>,
}

struct Counter<'a> {
    counts: [u64; 2],
    spaces: &'a Mutex<Vec<[u64; 2]>>,
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        self.spaces.lock().unwrap().push(self.counts);
    }
}

impl<'a> Operations for &'a Integers {
    type Form = IBig;
    type Kept = IBig;
    type Space = Counter<'a>;

    fn space(&self) -> Counter<'a> {
        Counter { counts: [0; 2], spaces: &self.spaces }
    }

    fn identity(&self) -> IBig {
        IBig::ZERO
    }

    fn keep(&self, form: &IBig) -> IBig {
        form.clone()
    }

    fn square(&self, space: &mut Counter<'a>, form: &mut IBig) {
        space.counts[0] += 1;
        *form *= IBig::from(2);
    }

    fn compose(&self, space: &mut Counter<'a>, form: &mut IBig, other: &IBig) {
        space.counts[1] += (*form != IBig::ZERO && *other != IBig::ZERO) as u64;
        *form += other;
    }

    fn compose_kept(&self, space: &mut Counter<'a>, form: &mut IBig, other: &IBig, inverse: bool) {
        let other = if inverse { -other } else { other.clone() };
        self.compose(space, form, &other);
    }
}

fn kept_integers(plan: Plan, iterations: u64) -> Vec<IBig> {
    (0..iterations).step_by(plan.spacing().min(1 << 40) as usize).map(|place| IBig::ONE << place as usize).collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn no_progress(_: u64) -> Result<(), ()> {
    Ok(())
}

fn quotient(iterations: u64, prime: &UBig) -> UBig {
    (UBig::ONE << iterations as usize) / prime
}

fn nat(x: &UBig) -> Nat {
    Nat::from_limbs(x.as_words()).unwrap()
}

/// Of the length of challenges, and short.
fn divisors() -> Vec<UBig> {
    let long = (UBig::ONE << 263) + UBig::from(0x9e37_79b9_7f4a_7c15u64) * UBig::from(u64::MAX) + UBig::from(6u8);
    let short = [2u64, 3, 5, 7, 251, 257, 65_537, (1 << 61) - 1, u64::MAX].map(UBig::from);
    let longest = (UBig::ONE << 767) + UBig::ONE;
    short.into_iter().chain([(UBig::ONE << 127) - UBig::ONE, longest, long]).collect()
}

#[test]
fn signed_digits_spell_the_quotient_for_any_prime_and_base() {
    for prime in divisors() {
        for iterations in (1..70).chain([127, 128, 191, 192, 264, 265, 300, 1000, 1536, 1537, 5001]) {
            let want = quotient(iterations, &prime);
            let quotient = Quotient::new(iterations, &nat(&prime));
            assert_eq!(UBig::from_words(&quotient.limbs), want, "2^{iterations} / {prime}");
            for digit_bits in 1..=MAX_DIGIT_BITS {
                let half = 1i64 << (digit_bits - 1);
                let sum = (0..quotient.digits(digit_bits)).rev().fold(IBig::ZERO, |sum, index| {
                    let digit = quotient.digit(digit_bits, index);
                    assert!(-half < digit && digit <= half);
                    // Its power is kept.
                    assert!(digit == 0 || index * u64::from(digit_bits) < iterations);
                    (sum << digit_bits as usize) + IBig::from(digit)
                });
                assert_eq!(sum, IBig::from(want.clone()), "2^{iterations} / {prime} in base 2^{digit_bits}");
            }
        }
    }
}

#[test]
fn the_proof_is_the_power_by_the_quotient_under_every_plan() {
    let pools: Vec<_> = [1, 2, 3, 8].into_iter().map(pool).collect();
    for prime in divisors() {
        for iterations in [1, 2, 7, 64, 203, 1000, 3001] {
            let want = IBig::from(quotient(iterations, &prime));
            let quotient = Quotient::new(iterations, &nat(&prime));
            for digit_bits in [1, 2, 3, 5, 8, 11, 17] {
                for passes in [1, 2, 3, 7, 40] {
                    for pool in &pools {
                        let plan = Plan { digit_bits, passes, threads: pool.current_num_threads() };
                        let kept = kept_integers(plan, iterations);
                        let integers = Integers::default();
                        let got = pool.install(|| prove(&&integers, plan, &kept, &quotient, &no_progress));
                        assert_eq!(got, Ok(want.clone()), "{plan:?} for 2^{iterations} / {prime}");
                    }
                }
            }
        }
    }
}

/// The group of 1 - 8c, `c` of `limbs` limbs, with its generator (2, 1, c).
fn group(limbs: usize) -> (FixedGroup, Form) {
    let c = UBig::from_words(&vec![0x9e37_79b9_7f4a_7c15u64 >> 4; limbs]);
    let one = || nat(&UBig::ONE);
    let identity = Form { a: one(), b: one(), negative: false, c: nat(&(&c * UBig::from(2u8))) };
    let x = Form { a: nat(&UBig::from(2u8)), b: one(), negative: false, c: nat(&c) };
    (FixedGroup::new(64 * limbs, identity).unwrap(), x)
}

#[test]
fn the_proof_is_the_power_in_a_class_group() {
    let (group, x) = group(4);
    let mut workspace = Workspace::new(256).unwrap();
    for (prime, iterations) in divisors().into_iter().zip([7u64, 64, 203, 300, 1000].into_iter().cycle()) {
        let exponent = quotient(iterations, &prime);
        let mut want = group.identity();
        for index in (0..iterations as usize).rev() {
            workspace.square(&mut want);
            if dashu_int::ops::BitTest::bit(&exponent, index) {
                workspace.compose(&mut want, &x);
            }
        }
        let quotient = Quotient::new(iterations, &nat(&prime));
        let mut power = x.clone();
        (0..iterations).for_each(|_| workspace.square(&mut power));
        for digit_bits in [1, 2, 3, 5, 8] {
            for passes in [1, 2, 7] {
                for threads in [1, 2, 8] {
                    let plan = Plan { digit_bits, passes, threads };
                    let (y, kept) = square_keeping(&group, plan, &x, iterations, &no_progress).unwrap();
                    assert_eq!(y, power);
                    let got = pool(threads).install(|| prove(&group, plan, &kept, &quotient, &no_progress));
                    assert_eq!(got, Ok(want.clone()), "{plan:?} for 2^{iterations} / {prime}");
                }
            }
        }
    }
}

#[test]
fn plans_are_the_cheapest_and_bound_the_powers_kept() {
    for threads in [0, 1, 2, 3, 8, 64, 1024] {
        for iterations in [1, 2, 100, 2000, 50_000, 1 << 20, 1 << 32, u64::MAX - 1, u64::MAX] {
            let plan = Plan::new(iterations, threads);
            assert!(iterations.div_ceil(plan.spacing()) <= MAX_KEPT);
            assert!(plan.steps(iterations) > 0);
            for digit_bits in 1..=MAX_DIGIT_BITS {
                let digits = iterations.div_ceil(u64::from(digit_bits));
                let least = digits.div_ceil(MAX_KEPT).max(1);
                for passes in [least, 2 * least, 4 * least, 8 * least, 100 * least] {
                    let other = Plan { digit_bits, passes, threads: plan.threads };
                    assert!(plan.cost(iterations) <= other.cost(iterations), "{plan:?} {other:?} {iterations}");
                }
            }
        }
    }
    assert_eq!(Plan::new(50_000, 8), Plan { digit_bits: 10, passes: 1, threads: 8 });
    assert_eq!(Plan::new(1, 1), Plan { digit_bits: 1, passes: 1, threads: 1 });
}

/// Thousandths of a squaring on the longest path, counted.
fn longest_path(plan: Plan, iterations: u64, prime: &UBig) -> u128 {
    let quotient = Quotient::new(iterations, &nat(prime));
    let kept = kept_integers(plan, iterations);
    let integers = Integers::default();
    prove(&&integers, plan, &kept, &quotient, &no_progress).unwrap();
    let spaces = integers.spaces.into_inner().unwrap();
    let time =
        |[squarings, compositions]: [u64; 2]| u128::from(squarings) * SQUARE + u128::from(compositions) * COMPOSE;
    let (merges, mut shares): (Vec<u128>, Vec<u128>) = spaces.into_iter().map(time).partition(|&time| time <= COMPOSE);
    if plan.threads == 1 {
        return merges.iter().chain(&shares).sum();
    }
    shares.sort_unstable();
    let per_thread = (shares.len() as u64).div_ceil(plan.threads as u64) as usize;
    // Merges are of pairs, in a tree.
    shares.iter().rev().take(per_thread).sum::<u128>() + u128::from((merges.len().max(1)).ilog2() + 1) * COMPOSE
}

#[test]
fn the_longest_path_is_what_the_plan_says() {
    let prime = divisors().pop().unwrap();
    for iterations in [5000, 50_000] {
        for threads in [1, 2, 8] {
            let plan = Plan::new(iterations, threads);
            let counted = pool(threads).install(|| longest_path(plan, iterations, &prime));
            let planned = plan.cost(iterations) - KEEP * u128::from(iterations.div_ceil(plan.spacing()));
            println!("{plan:?} {iterations}: counted {counted}, planned {planned}");
            assert!(counted <= planned + planned / 10 && planned <= counted + counted / 5, "{counted} {planned}");
        }
    }
    // 3% of an evaluation.
    assert!(Plan::new(50_000, 8).cost(50_000) <= 50_000 * SQUARE * 3 / 100);
}

#[test]
fn steps_are_reported_in_time_and_their_error_ends_the_proof() {
    let prime = divisors().pop().unwrap();
    let (iterations, integers) = (20_000, Integers::default());
    let quotient = Quotient::new(iterations, &nat(&prime));
    for threads in [1, 2, 8] {
        for plan in [Plan::new(iterations, threads), Plan { digit_bits: 3, passes: 5, threads }] {
            let kept = kept_integers(plan, iterations);
            let done = AtomicU64::new(0);
            let long = AtomicU64::new(0);
            let count = |steps: u64| {
                long.fetch_add((steps > STRIDE) as u64, Ordering::Relaxed);
                done.fetch_add(steps, Ordering::Relaxed);
                Ok::<(), ()>(())
            };
            pool(threads).install(|| prove(&&integers, plan, &kept, &quotient, &count)).unwrap();
            // The last call makes up for what the plan counted too much.
            assert!(long.into_inner() <= 1);
            let (done, planned) = (done.into_inner(), plan.steps(iterations));
            assert!(planned <= done && done <= planned + planned / 10, "{done} {planned} {plan:?}");

            let calls = AtomicU64::new(0);
            let cancel = |_: u64| if calls.fetch_add(1, Ordering::Relaxed) < 3 { Ok(()) } else { Err("cancelled") };
            let got = pool(threads).install(|| prove(&&integers, plan, &kept, &quotient, &cancel));
            assert_eq!(got, Err("cancelled"));
            assert!(calls.into_inner() <= 4 + 2 * threads as u64);
        }
    }
}
