//! Batches that an attacker would send: every verdict must equal one-by-one verification, and nothing may panic.

use proptest::prelude::*;
use shardmark_kernels::backend::{Error, Kernel};
use shardmark_kernels::bls::keys::{SecretKey, aggregate};
use shardmark_kernels::bls::signers::bitmap_of;
use shardmark_kernels::bls::verify_batch::{Input, Setup};
use shardmark_kernels::bls::{AggregateKeys, AggregateSignatures, Refusal, SignatureSet, Signers, VerifyBatch};
use shardmark_kernels::bls::{aggregate_keys, verify_batch::Output};

use super::{Rng, run, run_natively};

const KEYS: usize = 24;

/// A committee, and a batch of votes that all hold: set `i` is slot `i % KEYS` over message `i % messages`.
struct World {
    secrets: Vec<SecretKey>,
    setup: Setup,
}

impl World {
    fn new() -> Self {
        let secrets: Vec<_> = (0..KEYS as u8).map(|i| SecretKey::from_ikm(&[i + 1; 32])).collect();
        let setup = Setup { keys: secrets.iter().map(SecretKey::public_key).collect() };
        Self { secrets, setup }
    }

    fn votes(&self, sets: usize, messages: usize) -> Input {
        let messages: Vec<_> = (0..messages).map(|i| format!("message {i}").into_bytes()).collect();
        let sets = (0..sets).map(|i| {
            let (slot, message) = (i % KEYS, i % messages.len());
            SignatureSet {
                signers: Signers::One(slot as u32),
                message: message as u32,
                signature: self.secrets[slot].sign(&messages[message]),
            }
        });
        Input { sets: sets.collect(), messages }
    }

    /// The verdicts, after comparing them with one-by-one verification.
    fn verdicts(&self, input: &Input) -> Output {
        let output = match input.sets.len() {
            0..=12 => run::<VerifyBatch>(&self.setup, input),
            _ => run_natively::<VerifyBatch>(&self.setup, input, 1),
        }
        .unwrap();
        VerifyBatch::check(&self.setup, input, &output).unwrap();
        output
    }

    fn bad(&self, input: &Input) -> Vec<usize> {
        let verdicts = self.verdicts(input);
        (0..verdicts.len()).filter(|&i| verdicts[i].is_err()).collect()
    }
}

fn add(a: &[u8; 96], b: &[u8; 96]) -> [u8; 96] {
    aggregate(&[*a, *b]).unwrap()
}

/// The opposite point has the other sign bit.
fn negate<const N: usize>(point: &[u8; N]) -> [u8; N] {
    let mut opposite = *point;
    opposite[0] ^= 0x20;
    opposite
}

fn infinity<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    bytes[0] = 0xc0;
    bytes
}

#[test]
fn votes_made_to_cancel_are_both_caught() {
    let world = World::new();
    let stray = SecretKey::from_ikm(&[99; 32]).sign(b"stray");
    for (sets, messages) in [(2, 1), (2, 2), (9, 1), (9, 3), (33, 33), (20, 20)] {
        for (i, j) in [(0, 1), (0, sets - 1), (sets / 2, sets - 1)].into_iter().filter(|(i, j)| i != j) {
            let mut input = world.votes(sets, messages);
            input.sets[i].signature = add(&input.sets[i].signature, &stray);
            input.sets[j].signature = add(&input.sets[j].signature, &negate(&stray));
            assert_eq!(world.bad(&input), [i, j], "{sets} sets, {messages} messages");
        }
    }
}

#[test]
fn three_votes_made_to_cancel_are_all_caught() {
    let world = World::new();
    let [a, b] = [b"a", b"b"].map(|message| SecretKey::from_ikm(&[99; 32]).sign(message));
    let mut input = world.votes(16, 1);
    input.sets[3].signature = add(&input.sets[3].signature, &a);
    input.sets[7].signature = add(&input.sets[7].signature, &b);
    input.sets[8].signature = add(&input.sets[8].signature, &negate(&add(&a, &b)));
    assert_eq!(world.bad(&input), [3, 7, 8]);
}

#[test]
fn swapped_votes_of_one_message_are_both_caught() {
    let world = World::new();
    let mut input = world.votes(12, 1);
    let (a, b) = (input.sets[2].signature, input.sets[9].signature);
    (input.sets[2].signature, input.sets[9].signature) = (b, a);
    assert_eq!(world.bad(&input), [2, 9]);
}

#[test]
fn any_subset_of_bad_sets_is_found() {
    let world = World::new();
    let mut rng = Rng(1);
    let stray = SecretKey::from_ikm(&[99; 32]).sign(b"stray");
    for round in 0..60 {
        let sets = 1 + rng.below(40);
        let mut input = world.votes(sets, 1 + rng.below(sets));
        let density = [1, 2, 4, 16][rng.below(4)];
        let mut bad = Vec::new();
        for i in (0..sets).filter(|_| rng.below(density) == 0).collect::<Vec<_>>() {
            bad.push(i);
            let signature = &mut input.sets[i].signature;
            match rng.below(5) {
                0 => *signature = add(signature, &stray),
                1 => *signature = negate(signature),
                2 => *signature = infinity(),
                3 => signature[0] ^= 0x80,
                _ => *signature = stray,
            }
        }
        assert_eq!(world.bad(&input), bad, "round {round}");
    }
}

#[test]
fn every_thread_count_gives_the_same_verdicts() {
    let world = World::new();
    let mut input = world.votes(70, 37);
    for i in [0, 16, 36, 37, 69] {
        input.sets[i].signature = negate(&input.sets[i].signature);
    }
    let want = world.verdicts(&input);
    for threads in [2, 3, 5, 8] {
        assert_eq!(run_natively::<VerifyBatch>(&world.setup, &input, threads).unwrap(), want, "{threads} threads");
    }
}

#[test]
fn repeated_sets_and_repeated_messages_hold() {
    let world = World::new();
    let mut input = world.votes(6, 2);
    input.sets.extend(input.sets.clone());
    input.messages.push(input.messages[0].clone());
    input.sets.push(SignatureSet { message: 2, ..input.sets[0].clone() });
    input.sets.push(SignatureSet { message: 2, ..input.sets[1].clone() });
    assert_eq!(world.bad(&input), [13], "the same message by another index is the same message");
}

#[test]
fn messages_of_any_length_are_signed_and_told_apart() {
    let world = World::new();
    let messages: Vec<Vec<u8>> = [0, 1, 31, 64, 1000].map(|length| vec![7; length]).into();
    let sets = messages.iter().zip(0..).map(|(message, i)| SignatureSet {
        signers: Signers::One(0),
        message: i,
        signature: world.secrets[0].sign(message),
    });
    let mut input = Input { sets: sets.collect(), messages };
    assert!(world.bad(&input).is_empty());
    input.sets[0].message = 1;
    assert_eq!(world.bad(&input), [0]);
}

#[test]
fn certificates_count_exactly_their_signers() {
    let world = World::new();
    let mut rng = Rng(2);
    for _ in 0..20 {
        let marked: Vec<bool> = (0..KEYS).map(|_| rng.below(3) > 0).collect();
        let votes: Vec<_> = (0..KEYS).filter(|&i| marked[i]).map(|i| world.secrets[i].sign(b"block")).collect();
        let Ok(signature) = aggregate(&votes) else { continue };
        let bitmap =
            |flipped: Option<usize>| Signers::Bitmap(bitmap_of(KEYS, |slot| marked[slot] != (Some(slot) == flipped)));
        let set = |signers| SignatureSet { signers, message: 0, signature };
        let sets = vec![set(bitmap(None)), set(bitmap(Some(rng.below(KEYS)))), set(Signers::One(0))];
        let verdicts = world.verdicts(&Input { messages: vec![b"block".to_vec()], sets });
        assert_eq!(verdicts[0], Ok(()));
        assert!(verdicts[1].is_err(), "one signer more or less");
    }
}

#[test]
fn bitmaps_that_do_not_fit_are_refused_alone() {
    let world = World::new();
    let mut input = world.votes(8, 2);
    let bitmaps: [(&[u8], Refusal); 5] = [
        (&[], Refusal::BadSigners),
        (&[0xff, 0xff], Refusal::BadSigners),
        (&[0xff, 0xff, 0xff, 0x00], Refusal::BadSigners),
        (&[0x00, 0x00, 0x00], Refusal::Empty),
        (&[0xff; 300], Refusal::BadSigners),
    ];
    for (i, (bitmap, _)) in bitmaps.iter().enumerate() {
        input.sets[i].signers = Signers::Bitmap(bitmap.to_vec());
    }
    input.sets[5].signers = Signers::One(KEYS as u32);
    let verdicts = world.verdicts(&input);
    for (i, (_, reason)) in bitmaps.iter().enumerate() {
        assert_eq!(verdicts[i], Err(*reason));
    }
    assert_eq!(verdicts[5..], [Err(Refusal::BadSigners), Ok(()), Ok(())]);

    let setup = aggregate_keys::Setup { keys: world.setup.keys.clone() };
    let input: Vec<Vec<u8>> = bitmaps.iter().map(|(bitmap, _)| bitmap.to_vec()).collect();
    let sums = run::<AggregateKeys>(&setup, &input).unwrap();
    assert_eq!(sums, bitmaps.map(|(_, reason)| Err(reason)));
}

#[test]
fn infinite_signatures_never_verify() {
    let world = World::new();
    for (sets, messages) in [(1, 1), (2, 1), (5, 5)] {
        let mut input = world.votes(sets, messages);
        input.sets[0].signature = infinity();
        assert_eq!(world.verdicts(&input)[0], Err(Refusal::Invalid));
        assert_eq!(world.bad(&input), [0]);
    }
    assert_eq!(run::<AggregateSignatures>(&(), &vec![vec![infinity(); 20]]).unwrap(), [Ok(infinity())]);
}

#[test]
fn keys_that_are_no_public_keys_are_refused_at_prepare() {
    let good = World::new().setup.keys;
    let with = |bad: [u8; 48]| {
        let mut keys = good.clone();
        keys[5] = bad;
        keys
    };
    let mut unflagged = good[5];
    unflagged[0] ^= 0x80;
    // x = 4 is the smallest abscissa on the curve; the point is outside the subgroup.
    let mut outside = [0; 48];
    (outside[0], outside[47]) = (0x80, 4);
    for (keys, reason) in [
        (with(infinity()), "infinity"),
        (with(unflagged), "encoding"),
        (with(outside), "subgroup"),
        (Vec::new(), "no keys"),
    ] {
        let verify = run::<VerifyBatch>(&Setup { keys: keys.clone() }, &Input::default());
        let sums = run::<AggregateKeys>(&aggregate_keys::Setup { keys }, &vec![]);
        for error in [verify.unwrap_err(), sums.unwrap_err()] {
            assert!(matches!(&error, Error::InvalidInput(why) if why.contains(reason)), "{error}");
        }
    }
}

/// Equal and opposite points meet in the batch-affine tree, which needs 16 points before it divides.
#[test]
fn equal_and_opposite_keys_are_summed() {
    let key = SecretKey::from_ikm(&[1; 32]).public_key();
    let other = SecretKey::from_ikm(&[2; 32]).public_key();
    for keys in [
        vec![key, negate(&key)],
        vec![key; 40],
        [[key, negate(&key)]; 20].concat(),
        [vec![key; 20], vec![negate(&key); 20]].concat(),
        [vec![key; 20], vec![negate(&key); 19], vec![other]].concat(),
    ] {
        let setup = aggregate_keys::Setup { keys };
        let slots = setup.keys.len();
        let mut rng = Rng(3);
        let mut input: Vec<Vec<u8>> = (1..=slots).map(|n| bitmap_of(slots, |slot| slot < n)).collect();
        input.extend((0..20).map(|_| {
            let marked: Vec<bool> = (0..slots).map(|_| rng.below(3) > 0).collect();
            bitmap_of(slots, |slot| marked[slot])
        }));
        let sums = run::<AggregateKeys>(&setup, &input).unwrap();
        AggregateKeys::check(&setup, &input, &sums).unwrap();
    }
    let setup = aggregate_keys::Setup { keys: vec![key, negate(&key)] };
    assert_eq!(run::<AggregateKeys>(&setup, &vec![vec![0b11]]).unwrap(), [Ok(infinity())]);
}

#[test]
fn a_committee_that_cancels_verifies_nothing() {
    let secret = SecretKey::from_ikm(&[1; 32]);
    let setup = Setup { keys: vec![secret.public_key(), negate(&secret.public_key())] };
    let signature = secret.sign(b"block");
    let set = |signers, signature| SignatureSet { signers, message: 0, signature };
    let sets = vec![
        set(Signers::Bitmap(vec![0b11]), infinity()),
        set(Signers::One(0), signature),
        set(Signers::One(1), negate(&signature)),
        set(Signers::Bitmap(vec![0b10]), negate(&signature)),
    ];
    let verdicts = run::<VerifyBatch>(&setup, &Input { messages: vec![b"block".to_vec()], sets }).unwrap();
    assert_eq!(verdicts, [Err(Refusal::Invalid), Ok(()), Ok(()), Ok(())]);
}

#[test]
fn equal_and_opposite_signatures_are_summed() {
    let [a, b] = [b"a", b"b"].map(|message| SecretKey::from_ikm(&[1; 32]).sign(message));
    let groups = vec![
        vec![a, negate(&a)],
        vec![a; 40],
        [[a, negate(&a)]; 20].concat(),
        [vec![a; 20], vec![negate(&a); 20], vec![infinity(), b]].concat(),
    ];
    let sums = run::<AggregateSignatures>(&(), &groups).unwrap();
    AggregateSignatures::check(&(), &groups, &sums).unwrap();
    assert_eq!((sums[0], sums[2], sums[3]), (Ok(infinity()), Ok(infinity()), Ok(b)));
}

#[test]
fn a_message_that_does_not_exist_makes_the_input_invalid() {
    let world = World::new();
    let mut input = world.votes(3, 2);
    input.sets[1].message = 2;
    assert!(matches!(run::<VerifyBatch>(&world.setup, &input), Err(Error::InvalidInput(_))));
}

#[test]
fn empty_inputs_have_empty_outputs() {
    let world = World::new();
    assert_eq!(run::<VerifyBatch>(&world.setup, &Input::default()).unwrap(), []);
    assert_eq!(run::<AggregateSignatures>(&(), &vec![]).unwrap(), []);
    assert_eq!(run::<AggregateSignatures>(&(), &vec![vec![]]).unwrap(), [Err(Refusal::Empty)]);
}

fn any_signature() -> impl Strategy<Value = [u8; 96]> {
    let valid = (0..KEYS, 0..3usize).prop_map(|(slot, message)| {
        SecretKey::from_ikm(&[slot as u8 + 1; 32]).sign(format!("message {message}").as_bytes())
    });
    let flipped = (valid.clone(), 0..768usize).prop_map(|(mut signature, bit)| {
        signature[bit / 8] ^= 1 << (bit % 8);
        signature
    });
    let random = prop::collection::vec(any::<u8>(), 96).prop_map(|bytes| bytes.try_into().unwrap());
    prop_oneof![4 => valid, 2 => flipped, 1 => random, 1 => Just(infinity())]
}

fn any_signers() -> impl Strategy<Value = Signers> {
    prop_oneof![
        (0..KEYS as u32 + 2).prop_map(Signers::One),
        any::<u32>().prop_map(Signers::One),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Signers::Bitmap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn arbitrary_batches_are_judged_as_one_by_one(
        sets in prop::collection::vec((any_signers(), 0..3u32, any_signature()), 0..12),
    ) {
        let world = World::new();
        let messages = (0..3).map(|i| format!("message {i}").into_bytes()).collect();
        let set = |(signers, message, signature)| SignatureSet { signers, message, signature };
        world.verdicts(&Input { messages, sets: sets.into_iter().map(set).collect() });
    }

    #[test]
    fn arbitrary_signatures_are_summed_as_one_by_one(
        groups in prop::collection::vec(prop::collection::vec(any_signature(), 0..5), 0..5),
    ) {
        let sums = run::<AggregateSignatures>(&(), &groups).unwrap();
        prop_assert_eq!(AggregateSignatures::check(&(), &groups, &sums), Ok(()));
    }

    #[test]
    fn arbitrary_keys_are_prepared_or_refused(bytes in prop::collection::vec(any::<u8>(), 48), flag in any::<bool>()) {
        let mut key: [u8; 48] = bytes.try_into().unwrap();
        if flag {
            key[0] = key[0] & 0x0f | 0x80;
        }
        let refused = run::<AggregateKeys>(&aggregate_keys::Setup { keys: vec![key] }, &vec![vec![1]]).is_err();
        prop_assert!(refused, "a random point is in the subgroup with a chance of 2^-125");
    }

    #[test]
    fn arbitrary_bitmaps_are_summed_as_one_by_one(
        bitmaps in prop::collection::vec(prop::collection::vec(any::<u8>(), 2..5), 0..8),
    ) {
        let setup = aggregate_keys::Setup { keys: World::new().setup.keys };
        let sums = run::<AggregateKeys>(&setup, &bitmaps).unwrap();
        prop_assert_eq!(AggregateKeys::check(&setup, &bitmaps, &sums), Ok(()));
    }
}
