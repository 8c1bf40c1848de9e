//! The BLS kernels from outside: conformance here, and by file: published vectors, hostile batches, a second library.

// Helpers of tests fail the test, as tests do.
#![allow(clippy::unwrap_used)]

#[path = "bls/arkworks.rs"]
mod arkworks;
#[path = "bls/hostile.rs"]
mod hostile;
#[path = "bls/vectors.rs"]
mod vectors;

use std::collections::BTreeSet;

use shardmark_kernels::backend::{BackendId, Control, Error, Isa, Kernel, Options, carries_invalid};
use shardmark_kernels::bls::verify_batch::SignerShape;
use shardmark_kernels::bls::{AggregateKeys, AggregateSignatures, VerifyBatch, aggregate_keys, aggregate_signatures};
use shardmark_kernels::bls::{verify_batch, verify_batch::Params};
use shardmark_kernels::conformance::{conformance, instruction_sets};

const SEEDS: [u64; 3] = [0, 1, 7];

/// Runs every backend and instruction set that this host has once, from bytes to output. They must agree.
fn run<K: Kernel>(setup: &K::Setup, input: &K::Input) -> Result<K::Output, Error> {
    run_with::<K>(setup, input, 1, |_| true)
}

/// As [`run`], without the plain code that stands for vectors: it is too slow for large inputs.
fn run_natively<K: Kernel>(setup: &K::Setup, input: &K::Input, threads: usize) -> Result<K::Output, Error> {
    run_with::<K>(setup, input, threads, |isa| isa != Isa::Avx512IfmaEmulated)
}

fn run_with<K: Kernel>(
    setup: &K::Setup,
    input: &K::Input,
    threads: usize,
    wanted: impl Fn(Isa) -> bool,
) -> Result<K::Output, Error> {
    let compute = |id, isa| {
        let backend = K::open(id, &Options { threads, isa, ..Options::default() }).ok()?;
        Some(backend.prepare(setup).and_then(|prepared| prepared.compute(input, &Control::default())))
    };
    let cpu = compute(BackendId::Cpu, None).unwrap();
    // The best instruction set is one of those that can be forced.
    for isa in instruction_sets(BackendId::Simd).into_iter().flatten().filter(|isa| wanted(*isa)) {
        if let Some(simd) = compute(BackendId::Simd, Some(isa)) {
            assert!(simd == cpu, "{} on simd ({isa}): {simd:?}, on cpu: {cpu:?}", K::NAME);
        }
    }
    cpu
}

/// A deterministic generator for the tests' own choices.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }
}

#[test]
fn aggregate_keys_conforms() {
    let shape = |committee, bitmaps, absent_percent| aggregate_keys::Params { committee, bitmaps, absent_percent };
    let mut shapes = vec![shape(2, 3, 0), shape(7, 2, 50), shape(8, 2, 13), shape(9, 2, 34)];
    for committee in [1, 63, 64, 250] {
        shapes.extend([0, 10, 33, 50, 51, 90, 100].map(|absent| shape(committee, 3, absent)));
    }
    conformance::<AggregateKeys>(&shapes, &SEEDS);
}

#[test]
fn aggregate_signatures_conforms() {
    let shape = |groups, signatures| aggregate_signatures::Params { groups, signatures };
    let shapes = [shape(1, 1), shape(3, 2), shape(2, 7), shape(1, 16), shape(2, 33), shape(1, 300)];
    conformance::<AggregateSignatures>(&shapes, &SEEDS);
}

fn votes(sets: u32, distinct_messages: u32, invalid: u32) -> Params {
    Params { sets, distinct_messages, invalid, committee: 40, signers: SignerShape::One, absent_percent: 0 }
}

#[test]
fn verify_batch_conforms_over_votes() {
    let mut shapes = Vec::new();
    for sets in [1, 2, 7, 8, 9, 33] {
        for messages in BTreeSet::from([1, 2, sets / 2 + 1, sets]).into_iter().filter(|&m| m <= sets) {
            shapes.push(votes(sets, messages, (sets + messages) % 2));
        }
    }
    shapes.extend([votes(9, 1, 3), votes(9, 9, 9), votes(33, 1, 11), votes(33, 33, 2)]);
    conformance::<VerifyBatch>(&shapes, &SEEDS);
}

#[test]
fn verify_batch_conforms_with_one_bad_set_of_two() {
    conformance::<VerifyBatch>(&[votes(1, 1, 1), votes(2, 1, 1), votes(2, 2, 1), votes(2, 2, 2)], &SEEDS);
}

/// The verdict kernels hold one invalid item in exactly the iterations that say so.
#[test]
fn invalid_items_are_planted_where_announced() {
    let (params, groups) = (votes(3, 2, 0), aggregate_signatures::Params { groups: 2, signatures: 2 });
    let setup = VerifyBatch::setup(&params, 0);
    let mut planted = 0;
    for iteration in 0..40 {
        let expected = usize::from(carries_invalid(0, iteration));
        planted += expected;
        let verdicts = run::<VerifyBatch>(&setup, &VerifyBatch::generate(&params, &setup, 0, iteration)).unwrap();
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_err()).count(), expected);
        let sums = run::<AggregateSignatures>(&(), &AggregateSignatures::generate(&groups, &(), 0, iteration)).unwrap();
        assert_eq!(sums.iter().filter(|sum| sum.is_err()).count(), expected);
    }
    assert!(planted > 0);
}

/// Inputs are part of the record: another host, or another version of a library, must not change them.
#[test]
fn inputs_are_the_same_on_every_host() {
    use sha2::Digest;
    let params = votes(6, 3, 5);
    let setup = VerifyBatch::setup(&params, 7);
    let input = VerifyBatch::generate(&params, &setup, 7, 2);
    let mut hash = sha2::Sha256::new();
    setup.keys.iter().for_each(|key| hash.update(key));
    input.messages.iter().for_each(|message| hash.update(message));
    input.sets.iter().for_each(|set| hash.update(set.signature));
    assert_eq!(hex::encode(hash.finalize()), "43d1156080bc666971e404cf189c951d06fef76a2464cf249c93294e46e7ddfa");
}

#[test]
fn verify_batch_conforms_over_certificates() {
    let shape = |committee, sets, distinct_messages, absent_percent| {
        let (invalid, signers) = (0, SignerShape::Bitmap);
        Params { sets, distinct_messages, invalid, committee, signers, absent_percent }
    };
    let mut shapes = vec![Params { invalid: 2, ..shape(63, 9, 4, 20) }];
    for committee in [1, 63, 64, 250] {
        shapes.extend([0, 33, 50, 90, 100].map(|absent| shape(committee, 2, 1 + absent % 2, absent)));
    }
    conformance::<VerifyBatch>(&shapes, &SEEDS);
}

/// Chunks of Miller loops end inside, at and behind the batch; every bad set is in its own half.
#[test]
fn verify_batch_conforms_around_chunk_borders() {
    let shapes = [votes(15, 15, 1), votes(16, 16, 1), votes(17, 17, 2), votes(48, 48, 1), votes(70, 65, 3)];
    conformance::<VerifyBatch>(&shapes, &SEEDS[..2]);
}

#[test]
fn impossible_shapes_are_refused_with_a_reason() {
    let good = votes(8, 4, 1);
    assert_eq!(VerifyBatch::validate(&good), Ok(()));
    for bad in [
        Params { sets: 0, ..good.clone() },
        Params { distinct_messages: 0, ..good.clone() },
        Params { distinct_messages: 9, ..good.clone() },
        Params { invalid: 9, ..good.clone() },
        Params { committee: 0, ..good.clone() },
        Params { committee: u32::MAX, ..good.clone() },
        Params { absent_percent: 5, ..good.clone() },
        Params { absent_percent: 101, signers: SignerShape::Bitmap, ..good.clone() },
    ] {
        assert!(matches!(VerifyBatch::validate(&bad), Err(Error::InvalidInput(_))), "{bad:?}");
    }
    let too_many = aggregate_signatures::Params { groups: 1 << 16, signatures: 1 << 16 };
    assert!(AggregateSignatures::validate(&too_many).is_err());
    let no_such_percent = aggregate_keys::Params { committee: 4, bitmaps: 1, absent_percent: 101 };
    assert!(AggregateKeys::validate(&no_such_percent).is_err());
}

#[test]
fn output_before_execute_and_cancelled_work_are_errors() {
    let params = votes(4, 2, 0);
    let setup = VerifyBatch::setup(&params, 0);
    let input = VerifyBatch::generate(&params, &setup, 0, 0);
    let backend = VerifyBatch::open(BackendId::Cpu, &Options::default()).unwrap();
    let prepared = backend.prepare(&setup).unwrap();
    let mut session = prepared.load(&input).unwrap();
    assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
    let control = Control::default();
    control.cancel();
    assert_eq!(session.execute(&control), Err(Error::Cancelled));
    assert!(matches!(session.output(), Err(Error::InvalidInput(_))), "a cancelled run leaves no verdicts");
    assert_eq!(session.execute(&Control::default()), Ok(()));
    assert_eq!(session.output().map(|verdicts| verdicts.len()), Ok(4));
}

/// The oracle must be able to fail: it refuses verdicts that are too kind, too harsh, or too few.
#[test]
fn the_check_refuses_wrong_outputs() {
    let params = votes(5, 3, 1);
    let setup = VerifyBatch::setup(&params, 3);
    let input = VerifyBatch::generate(&params, &setup, 3, 0);
    let right = run::<VerifyBatch>(&setup, &input).unwrap();
    assert_eq!(right.iter().filter(|verdict| verdict.is_err()).count(), 1);
    assert_eq!(VerifyBatch::check(&setup, &input, &right), Ok(()));
    let all_good: verify_batch::Output = vec![Ok(()); 5];
    assert!(VerifyBatch::check(&setup, &input, &all_good).is_err());
    for set in 0..5 {
        let mut wrong = right.clone();
        wrong[set] = if wrong[set].is_ok() { Err(shardmark_kernels::bls::Refusal::Invalid) } else { Ok(()) };
        assert_eq!(VerifyBatch::check(&setup, &input, &wrong).unwrap_err().item, set);
    }
    assert!(VerifyBatch::check(&setup, &input, &right[..4].to_vec()).is_err());
}
