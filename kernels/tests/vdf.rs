//! Published and independently made VDF proofs, hostile bytes, and the conformance suite of the kernels.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use proptest::prelude::*;
use rayon::prelude::*;
use shardmark_kernels::backend::{BackendId, Control, Error, Kernel, Options, carries_invalid};
use shardmark_kernels::conformance::conformance;
use shardmark_kernels::vdf::{
    self, Discriminant, DiscriminantDefect, DiscriminantParams, DiscriminantValue, Evaluate, EvaluateParams,
    FormDefect, Part, Prove, ProveInput, ProveParams, Refusal, RsaSquare, RsaSquareInput, RsaSquareParams, Scheme,
    Verify, VerifyParams,
};

struct Row {
    seed: [u8; 32],
    iterations: u64,
    proof: Vec<u8>,
}

fn published_rows() -> Vec<Row> {
    let text = include_str!("../vectors/vdf/wesolowski-harmony-poa.csv");
    let row = |line: &str| {
        let [seed, iterations, proof] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        Row { seed: seed32(seed), iterations: iterations.parse().unwrap(), proof: hex::decode(proof).unwrap() }
    };
    text.lines().map(row).collect()
}

fn seed32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// `(1, 1)` at 2048 bits: what `floor(2^T / B) = 0` gives.
fn identity() -> Vec<u8> {
    let mut bytes = vec![0; 258];
    (bytes[128], bytes[257]) = (1, 1);
    bytes
}

#[test]
fn published_rows_verify_and_only_for_their_own_iterations() {
    let rows = published_rows();
    let identity_proofs = rows.iter().filter(|row| row.proof[258..] == identity()).count();
    // Identity-proof rows (2^T below B) test y alone. Of the 31 rows below 128 iterations one has a B below 2^T: the old
    // challenge is any 128-bit number, its top bit not set.
    assert_eq!(rows.iter().filter(|row| row.iterations < 128).count(), 31);
    assert!(rows.iter().all(|row| row.iterations < 128 || row.proof[258..] != identity()));
    assert_eq!((rows.len(), identity_proofs), (300, 30));
    // Each row has a discriminant of its own to be found, which takes the time: a sixth of them, unless all are asked for.
    let step = if std::env::var_os("SHARDMARK_ALL_VECTORS").is_some() { 1 } else { 6 };
    rows.par_iter().step_by(step).for_each(|row| {
        let discriminant = DiscriminantValue::from_seed(2048, &row.seed).unwrap();
        let verdict = |scheme, iterations| vdf::verify_with(scheme, &discriminant, iterations, &row.proof);
        assert_eq!(verdict(Scheme::Harmony128, row.iterations), Ok(()), "T = {}", row.iterations);
        assert_eq!(verdict(Scheme::Harmony128, row.iterations + 1), Err(Refusal::WrongProof));
        if row.iterations > 264 {
            assert_eq!(verdict(Scheme::Bound264, row.iterations), Err(Refusal::WrongProof));
        }
    });
}

#[test]
fn published_rows_are_evaluated_to_the_byte() {
    let rows = published_rows();
    let some: Vec<_> = rows.iter().step_by(12).chain(rows.last()).collect();
    assert_eq!(some.len(), 26);
    some.par_iter().for_each(|row| {
        let got = vdf::evaluate(Scheme::Harmony128, 2048, &row.seed, row.iterations, &Control::default());
        assert_eq!(got.unwrap(), row.proof, "T = {}", row.iterations);
    });
}

#[test]
fn harmonys_own_outputs_are_evaluated_to_the_byte() {
    let seed = seed32(&"deadbeef".repeat(8));
    for (iterations, text) in [
        (100, include_str!("../vectors/vdf/harmony_deadbeef_T100.hex")),
        (2000, include_str!("../vectors/vdf/harmony_deadbeef_T2000.hex")),
    ] {
        let control = Control::default();
        let got = vdf::evaluate(Scheme::Harmony128, 2048, &seed, iterations, &control).unwrap();
        assert_eq!(hex::encode(&got), text.trim());
        assert_eq!(vdf::verify(Scheme::Harmony128, 2048, &seed, iterations, &got), Ok(()));
        let (done, total) = control.progress();
        assert!(total > iterations && done <= total && done * 10 >= total * 9, "{done} of {total}");
    }
}

#[test]
fn the_bound_scheme_agrees_with_the_independent_script() {
    let text = include_str!("../vectors/vdf/bound-264.csv");
    assert_eq!(text.lines().count(), 13);
    text.lines().collect::<Vec<_>>().par_iter().for_each(|line| {
        let [seed, bits, iterations, _, blob] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let (seed, bits) = (seed32(seed), bits.parse().unwrap());
        let iterations = iterations.parse().unwrap();
        let blob = hex::decode(blob).unwrap();
        let got = vdf::evaluate(Scheme::Bound264, bits, &seed, iterations, &Control::default()).unwrap();
        assert_eq!(hex::encode(got), hex::encode(&blob), "{bits} bits, T = {iterations}");
        assert_eq!(vdf::verify(Scheme::Bound264, bits, &seed, iterations, &blob), Ok(()));
        let discriminant = DiscriminantValue::from_seed(bits, &seed).unwrap();
        let y = vdf::square_chain(&discriminant, iterations, &Control::default()).unwrap();
        assert_eq!(y, blob[..blob.len() / 2]);
    });
}

#[test]
fn hostile_encodings_are_refused_for_their_reason() {
    let row = &published_rows()[200];
    let discriminant = DiscriminantValue::from_seed(2048, &row.seed).unwrap();
    let verdict = |bytes: &[u8]| vdf::verify_with(Scheme::Harmony128, &discriminant, row.iterations, bytes);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = row.proof.clone();
        change(&mut bytes);
        verdict(&bytes)
    };
    let form = |part, defect| Err(Refusal::Form { part, defect });
    assert_eq!(verdict(&row.proof), Ok(()));
    // The inputs that make harmony-one/vdf divide by zero.
    assert_eq!(verdict(&[0; 516]), form(Part::Output, FormDefect::NotPositive));
    assert_eq!(changed(&|b| b[258..387].fill(0)), form(Part::Proof, FormDefect::NotPositive));
    assert_eq!(changed(&|b| b[258..].fill(0)), form(Part::Proof, FormDefect::NotPositive));
    assert_eq!(verdict(&[0xff; 516]), form(Part::Output, FormDefect::NotPositive));
    assert_eq!(changed(&|b| b[258] ^= 0x80), form(Part::Proof, FormDefect::NotPositive));
    assert_eq!(changed(&|b| b[515] ^= 1), form(Part::Proof, FormDefect::EvenMiddle));
    assert_eq!(changed(&|b| b[387] ^= 0x40), form(Part::Proof, FormDefect::NotReduced));
    assert_eq!(changed(&|b| b[514] ^= 1), form(Part::Proof, FormDefect::OtherDiscriminant));
    // The identity's other sign: (1, -1) is the same class.
    let minus_one = |b: &mut Vec<u8>| {
        b[258..].copy_from_slice(&identity());
        b[387..].fill(0xff);
    };
    assert_eq!(changed(&minus_one), form(Part::Proof, FormDefect::WrongSign));
    assert_eq!(changed(&|b| b[258..].copy_from_slice(&identity())), Err(Refusal::WrongProof));
    for len in [0, 1, 515, 517, 1032] {
        let mut bytes = row.proof.clone();
        bytes.resize(len, 0);
        let wrong_length = Err(Refusal::Length { got: len, want: 516 });
        assert_eq!(verdict(&bytes), wrong_length);
        assert_eq!(vdf::verify(Scheme::Harmony128, 2048, &row.seed, row.iterations, &bytes), wrong_length);
    }
    assert_eq!(vdf::verify_with(Scheme::Harmony128, &discriminant, 0, &row.proof), Err(Refusal::NoIterations));
    assert_eq!(
        vdf::verify(Scheme::Harmony128, 2047, &row.seed, row.iterations, &row.proof),
        Err(Refusal::Discriminant(DiscriminantDefect::Bits(2047)))
    );
}

/// A 256-bit proof that is not the identity.
fn small_proof(scheme: Scheme) -> (DiscriminantValue, Vec<u8>) {
    let proof = vdf::evaluate(scheme, 256, &[3; 32], 400, &Control::default()).unwrap();
    (scheme.discriminant(256, &[3; 32]).unwrap(), proof)
}

static SMALL_PROOF: LazyLock<(DiscriminantValue, Vec<u8>)> = LazyLock::new(|| small_proof(Scheme::Bound264));

#[test]
fn an_inverted_output_or_proof_is_refused() {
    // Negating b inverts a class: well-made forms that a verifier must still tell apart.
    let (discriminant, proof) = small_proof(Scheme::Chia264);
    for signs in [[0, 1], [1, 0], [1, 1]] {
        let mut bytes = proof.clone();
        (bytes[0], bytes[100]) = (bytes[0] ^ signs[0], bytes[100] ^ signs[1]);
        assert_eq!(vdf::verify_with(Scheme::Chia264, &discriminant, 400, &bytes), Err(Refusal::WrongProof));
    }
    for scheme in [Scheme::Harmony128, Scheme::Bound264] {
        let (discriminant, proof) = small_proof(scheme);
        let mut both = proof.clone();
        for middle in [17..34, 51..68] {
            let mut bytes = proof.clone();
            for bytes in [&mut bytes, &mut both] {
                let mut carry = true;
                for byte in bytes[middle.clone()].iter_mut().rev() {
                    (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
                }
            }
            assert_eq!(vdf::verify_with(scheme, &discriminant, 400, &bytes), Err(Refusal::WrongProof), "{scheme}");
        }
        assert_eq!(vdf::verify_with(scheme, &discriminant, 400, &both), Err(Refusal::WrongProof), "{scheme}");
    }
}

#[test]
fn every_flipped_bit_of_a_proof_is_refused() {
    for (scheme, (discriminant, proof)) in
        [(Scheme::Bound264, &*SMALL_PROOF), (Scheme::Chia264, &small_proof(Scheme::Chia264))]
    {
        (0..8 * proof.len()).into_par_iter().for_each(|bit| {
            let mut bytes = proof.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(vdf::verify_with(scheme, discriminant, 400, &bytes).is_err(), "{scheme} bit {bit}");
        });
    }
}

#[test]
fn chias_sizes_end_at_1024_bits_and_its_lengths_are_checked_before_the_discriminant_is_sought() {
    let too_long = Err(Refusal::Discriminant(DiscriminantDefect::Bits(1032)));
    assert_eq!(vdf::verify(Scheme::Chia264, 1032, &[1; 32], 400, &[0; 200]), too_long);
    assert!(DiscriminantValue::from_challenge(1032, &[1]).is_err());
    assert_eq!(DiscriminantValue::from_challenge(256, &[]), Err(DiscriminantDefect::NoneForSeed));
    let long = DiscriminantValue::from_seed(2048, &[1; 32]).unwrap();
    assert!(vdf::verify_with(Scheme::Chia264, &long, 400, &[0; 200]).is_err());
    for (got, want) in [(0, 200), (199, 200), (201, 200), (200 + 140, 200), (200 + 141 * 64, 200 + 141 * 63)] {
        let refusal = Err(Refusal::Length { got, want });
        assert_eq!(vdf::verify(Scheme::Chia264, 1024, &[1; 32], 400, &vec![8; got]), refusal);
    }
    // A length that is allowed, and no form in it.
    let (discriminant, _) = small_proof(Scheme::Chia264);
    let defect = Refusal::Form { part: Part::Output, defect: FormDefect::NotCanonical };
    for fill in [0, 1, 4, 8, 0xff] {
        let bytes = vec![fill; 200 + 141 * 3];
        assert_eq!(vdf::verify_with(Scheme::Chia264, &discriminant, 400, &bytes), Err(defect));
    }
    let (discriminant, proof) = small_proof(Scheme::Bound264);
    let wrong = Err(Refusal::Length { got: 0, want: 34 });
    assert_eq!(vdf::verify_from(Scheme::Bound264, &discriminant, &[], 400, &proof), wrong);
    let two = [&[0; 16][..], &[2], &[0; 16], &[1]].concat();
    assert_eq!(vdf::verify_from(Scheme::Bound264, &discriminant, &two, 400, &proof), Ok(()));
}

proptest! {
    #[test]
    fn random_and_altered_bytes_never_panic_and_never_verify(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0usize..68,
        patch in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let (discriminant, proof) = &*SMALL_PROOF;
        let verdict = |bytes: &[u8]| vdf::verify_with(Scheme::Bound264, discriminant, 400, bytes);
        prop_assert!(verdict(&noise).is_err());
        prop_assert!(verdict(&proof[..cut]).is_err());
        prop_assert!(verdict(&[&proof[..], &noise[..], &[0]].concat()).is_err());
        let mut patched = proof.clone();
        for (byte, new) in patched[cut..].iter_mut().zip(&patch) {
            *byte = *new;
        }
        prop_assert_eq!(verdict(&patched).is_ok(), patched == *proof);
        // Small coefficients, which pass the first checks more often.
        let mut small = vec![0; 68];
        for (byte, new) in small.iter_mut().rev().step_by(17).zip(&patch) {
            *byte = *new;
        }
        prop_assert!(verdict(&small).is_err());
    }

    #[test]
    fn supplied_discriminants_of_any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
        for bits in [256, 264, 512] {
            if let Ok(value) = DiscriminantValue::new(bits, &bytes) {
                prop_assert_eq!(value.to_bytes(), bytes.clone());
            }
        }
    }
}

#[test]
fn a_cancelled_evaluation_stops_with_its_error() {
    let control = Control::default();
    control.cancel();
    assert_eq!(vdf::evaluate(Scheme::Bound264, 256, &[1; 32], 1 << 40, &control), Err(Error::Cancelled));
    let control = Control::default();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| vdf::evaluate(Scheme::Bound264, 256, &[1; 32], 1 << 40, &control));
        while control.progress().0 < 1000 {
            std::thread::yield_now();
        }
        control.cancel();
        assert_eq!(running.join().unwrap(), Err(Error::Cancelled));
    });
}

#[test]
fn shapes_that_cannot_run_are_refused_before_anything_runs() {
    let evaluate = |discriminant_bits, iterations, instances| {
        Evaluate::validate(&EvaluateParams { scheme: Scheme::Bound264, discriminant_bits, iterations, instances })
    };
    assert_eq!(evaluate(2048, 1, 1), Ok(()));
    for (bits, iterations, instances) in [(2048, 0, 1), (2048, 1, 0), (2047, 1, 1), (128, 1, 1), (1 << 20, 1, 1)] {
        assert!(evaluate(bits, iterations, instances).is_err());
    }
    let prove =
        |scheme, discriminant_bits, iterations| Prove::validate(&ProveParams { scheme, discriminant_bits, iterations });
    assert_eq!(prove(Scheme::Bound264, 2048, 1), Ok(()));
    for (scheme, bits, iterations) in
        [(Scheme::Bound264, 2048, 0), (Scheme::Bound264, 2047, 1), (Scheme::Chia264, 2048, 1)]
    {
        assert!(prove(scheme, bits, iterations).is_err());
    }
    assert!(vdf::evaluate(Scheme::Bound264, 256, &[0; 32], 0, &Control::default()).is_err());
    assert!(vdf::evaluate(Scheme::Bound264, 100, &[0; 32], 1, &Control::default()).is_err());
    assert!(
        serde_json::from_str::<DiscriminantParams>(r#"{"discriminant_bits": 256, "seeds": 1, "extra": 0}"#).is_err()
    );
    let params: EvaluateParams =
        serde_json::from_str(r#"{"discriminant_bits": 256, "iterations": 9, "instances": 1}"#).unwrap();
    assert_eq!(params.scheme, Scheme::Bound264);
    for scheme in Scheme::ALL {
        assert_eq!(scheme.to_string().parse(), Ok(scheme));
        assert_eq!(serde_json::to_string(&scheme).unwrap(), format!("\"{scheme}\""));
    }
}

#[test]
fn evaluation_conforms() {
    let shape = |scheme, discriminant_bits, iterations, instances| EvaluateParams {
        scheme,
        discriminant_bits,
        iterations,
        instances,
    };
    let shapes = [
        shape(Scheme::Bound264, 256, 1, 1),
        shape(Scheme::Harmony128, 256, 777, 3),
        shape(Scheme::Bound264, 264, 1000, 2),
        shape(Scheme::Bound264, 1024, 300, 1),
        shape(Scheme::Chia264, 256, 500, 2),
    ];
    conformance::<Evaluate>(&shapes, &[1, 2]);
}

#[test]
fn proofs_after_the_squarings_conform_and_are_those_of_evaluations() {
    let shape = |scheme, discriminant_bits, iterations| ProveParams { scheme, discriminant_bits, iterations };
    let shapes = [
        shape(Scheme::Bound264, 256, 1),
        shape(Scheme::Harmony128, 256, 777),
        shape(Scheme::Bound264, 264, 3000),
        shape(Scheme::Chia264, 256, 500),
    ];
    conformance::<Prove>(&shapes, &[1, 2]);
    // Longer than integers of fixed capacity.
    for params in shapes.iter().chain([&shape(Scheme::Bound264, 2056, 300)]) {
        let setup = Prove::setup(params, 3);
        let input = Prove::generate(params, &setup, 3, 0);
        let evaluate = |iterations| {
            let control = Control::default();
            vdf::evaluate(params.scheme, params.discriminant_bits, &input.seed, iterations, &control).unwrap()
        };
        for threads in [1, 3] {
            let backend = Prove::open(BackendId::Cpu, &Options { threads, ..Options::default() }).unwrap();
            let prepared = backend.prepare(&setup).unwrap();
            let control = Control::default();
            assert_eq!(prepared.compute(&input, &control), Ok(evaluate(params.iterations)), "{params:?}");
            let (done, total) = control.progress();
            assert!(total > params.iterations && done == total, "{done} of {total}");
        }
        assert!(Prove::check(&setup, &input, &evaluate(params.iterations + 1)).is_err());
        assert!(Prove::check(&setup, &input, &Vec::new()).is_err());
    }
}

#[test]
fn a_proof_is_cancelled_in_its_squarings_and_after_them() {
    let params = ProveParams { scheme: Scheme::Bound264, discriminant_bits: 256, iterations: 3000 };
    let setup = Prove::setup(&params, 1);
    let backend = Prove::open(BackendId::Cpu, &Options::default()).unwrap();
    let prepared = backend.prepare(&setup).unwrap();
    let cancelled = Control::default();
    cancelled.cancel();
    let endless = ProveInput { seed: setup.seeds[0], iterations: 1 << 40 };
    assert_eq!(prepared.compute(&endless, &cancelled), Err(Error::Cancelled));
    let input = Prove::generate(&params, &setup, 1, 0);
    let mut session = prepared.load(&input).unwrap();
    assert_eq!(session.execute(&cancelled), Err(Error::Cancelled));
    assert!(session.output().is_err(), "nothing was proved");
    let control = Control::default();
    session.execute(&control).unwrap();
    assert_eq!(Prove::check(&setup, &input, &session.output().unwrap()), Ok(()));
    // The proof's own steps, without the squarings.
    let (done, total) = control.progress();
    assert!(done == total && total < params.iterations, "{done} of {total}");
    let refused = |input: ProveInput| prepared.load(&input).err().map(|error| error.to_string()).unwrap();
    assert!(refused(ProveInput { seed: [9; 32], ..input.clone() }).contains("no discriminant for the seed"));
    assert!(refused(ProveInput { iterations: 0, ..input.clone() }).contains("at least one iteration"));
}

#[test]
fn verification_conforms() {
    let shape = |scheme, discriminant_bits, iterations, proofs, cached_discriminant| VerifyParams {
        scheme,
        discriminant_bits,
        iterations,
        proofs,
        cached_discriminant,
    };
    let shapes = [
        shape(Scheme::Bound264, 256, 500, 3, false),
        shape(Scheme::Bound264, 256, 500, 3, true),
        shape(Scheme::Harmony128, 512, 200, 2, true),
        shape(Scheme::Harmony128, 256, 1, 1, false),
        shape(Scheme::Chia264, 256, 500, 2, true),
    ];
    // Seeds that plant an invalid item in one of the suite's two iterations, and one that does not.
    let plants = |seed: &u64| carries_invalid(*seed, 0) || carries_invalid(*seed, 1);
    let mut seeds: Vec<u64> = (0..).filter(plants).take(3).collect();
    seeds.extend((0..).find(|seed| !plants(seed)));
    assert_eq!(seeds.len(), 4);
    conformance::<Verify>(&shapes, &seeds);
}

#[test]
fn discriminants_conform() {
    let shape = |scheme, discriminant_bits, seeds| DiscriminantParams { scheme, discriminant_bits, seeds };
    let harmony = [(256, 4), (264, 1), (1024, 1), (2048, 1)].map(|(bits, seeds)| shape(Scheme::Bound264, bits, seeds));
    let chia = [(256, 4), (264, 1), (1024, 1)].map(|(bits, seeds)| shape(Scheme::Chia264, bits, seeds));
    conformance::<Discriminant>(&[harmony.to_vec(), chia.to_vec()].concat(), &[1]);
}

#[test]
fn squarings_modulo_rsa_numbers_conform() {
    let shape = |modulus_bits, iterations, instances| RsaSquareParams { modulus_bits, iterations, instances };
    conformance::<RsaSquare>(
        &[shape(1024, 1, 1), shape(1024, 1500, 9), shape(2048, 300, 6), shape(2048, 77, 23)],
        &[1],
    );
}

#[test]
fn published_time_locks_are_opened() {
    let text = include_str!("../vectors/vdf/rsa2048_timelock_generated.json");
    let rows: serde_json::Value = serde_json::from_str(text).unwrap();
    let params = RsaSquareParams { modulus_bits: 2048, iterations: 1, instances: 1 };
    let setup = RsaSquare::setup(&params, 0);
    let bytes = |digits: &str| {
        let digits = format!("{digits:0>512}");
        hex::decode(digits).unwrap()
    };
    for id in [BackendId::Cpu, BackendId::Simd] {
        let Ok(backend) = RsaSquare::open(id, &Options::default()) else { continue };
        let prepared = backend.prepare(&setup).unwrap();
        for row in rows["vectors"].as_array().unwrap() {
            let iterations = row["T"].as_u64().unwrap();
            if iterations > 10_000 {
                continue;
            }
            let values = vec![bytes(row["x"].as_str().unwrap()); 3];
            let got = prepared.compute(&RsaSquareInput { values, iterations }, &Control::default()).unwrap();
            // The rows have y, results the smaller of y and N - y.
            let y = bytes(row["y"].as_str().unwrap());
            let borrow = |a: &[u8], b: &[u8]| {
                let mut carry = 0i16;
                let mut out = vec![0; a.len()];
                for index in (0..a.len()).rev() {
                    let digit = i16::from(a[index]) - i16::from(b[index]) - carry;
                    (out[index], carry) = (digit.rem_euclid(256) as u8, i16::from(digit < 0));
                }
                out
            };
            let want = y.clone().min(borrow(&setup.modulus, &y));
            assert_eq!(got, vec![want; 3], "{id}, T = {iterations}");
        }
    }
}

#[test]
fn values_that_are_no_canonical_units_are_refused() {
    let params = RsaSquareParams { modulus_bits: 1024, iterations: 1, instances: 1 };
    let setup = RsaSquare::setup(&params, 0);
    let backend = RsaSquare::open(BackendId::Cpu, &Options::default()).unwrap();
    let prepared = backend.prepare(&setup).unwrap();
    let refusal = |value: Vec<u8>| {
        let input = RsaSquareInput { values: vec![[vec![0; 127], vec![2]].concat(), value], iterations: 1 };
        prepared.load(&input).err().map(|error| error.to_string())
    };
    assert_eq!(refusal([vec![0; 127], vec![2]].concat()), None);
    // -2, 0, the modulus, all ones, another length.
    let mut minus_two = setup.modulus.clone();
    minus_two[127] -= 2;
    assert!(refusal(minus_two).unwrap().contains("smaller of the two"));
    assert!(refusal(vec![0; 128]).unwrap().contains("shares a factor"));
    assert!(refusal(setup.modulus.clone()).unwrap().contains("smaller of the two"));
    assert!(refusal(vec![0xff; 128]).is_some());
    assert!(refusal(vec![1; 127]).unwrap().contains("127 bytes"));
    for (modulus_bits, iterations, instances) in [(512, 1, 1), (2048, 0, 1), (2048, 1, 0), (2048, 1, usize::MAX)] {
        assert!(RsaSquare::validate(&RsaSquareParams { modulus_bits, iterations, instances }).is_err());
    }
}

#[test]
fn a_backend_that_always_says_yes_is_caught() {
    let params = VerifyParams {
        scheme: Scheme::Bound264,
        discriminant_bits: 256,
        iterations: 300,
        proofs: 2,
        cached_discriminant: true,
    };
    let setup = Verify::setup(&params, 5);
    let planted: Vec<u64> = (0..200).filter(|&iteration| carries_invalid(5, iteration)).collect();
    assert!(planted.len() > 5);
    for iteration in planted {
        let input = Verify::generate(&params, &setup, 5, iteration);
        assert!(Verify::check(&setup, &input, &vec![Ok(()); 2]).is_err());
    }
    let clean = (0..).find(|&iteration| !carries_invalid(5, iteration)).unwrap();
    let input = Verify::generate(&params, &setup, 5, clean);
    assert_eq!(Verify::check(&setup, &input, &vec![Ok(()); 2]), Ok(()));
    assert!(Verify::check(&setup, &input, &vec![Ok(()); 1]).is_err(), "a verdict is missing");
    assert!(Verify::check(&setup, &input, &vec![Ok(()); 3]).is_err(), "a verdict too many");
}

#[test]
fn a_changed_output_fails_the_evaluations_check() {
    let params = EvaluateParams { scheme: Scheme::Bound264, discriminant_bits: 256, iterations: 300, instances: 2 };
    let setup = Evaluate::setup(&params, 1);
    let input = Evaluate::generate(&params, &setup, 1, 0);
    let output = |iterations| -> Vec<Vec<u8>> {
        let evaluate = |seed| vdf::evaluate(params.scheme, 256, seed, iterations, &Control::default()).unwrap();
        input.seeds.iter().map(evaluate).collect()
    };
    assert_eq!(Evaluate::check(&setup, &input, &output(300)), Ok(()));
    assert_eq!(Evaluate::check(&setup, &input, &output(299)).unwrap_err().item, 0);
    let mut swapped = output(300);
    swapped.swap(0, 1);
    assert!(Evaluate::check(&setup, &input, &swapped).is_err());
    assert_eq!(Evaluate::check(&setup, &input, &output(300)[..1].to_vec()).unwrap_err().item, 1);
}
