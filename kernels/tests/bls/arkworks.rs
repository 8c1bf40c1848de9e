//! Aggregates, verdicts and small-order points against arkworks, which shares no code with blst.

use ark_bls12_381::{Bls12_381, Fq, Fq2, Fr, G1Affine, G1Projective, G2Affine, G2Projective, g2};
use ark_ec::hashing::HashToCurve;
use ark_ec::hashing::curve_maps::wb::WBMap;
use ark_ec::hashing::map_to_curve_hasher::MapToCurveBasedHasher;
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveConfig, CurveGroup, PrimeGroup};
use ark_ff::field_hashers::DefaultFieldHasher;
use ark_ff::{BigInteger, Field, PrimeField, Zero};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use dashu_int::UBig;
use shardmark_kernels::backend::Kernel;
use shardmark_kernels::bls::keys::{SecretKey, aggregate};
use shardmark_kernels::bls::signers::is_marked;
use shardmark_kernels::bls::verify_batch::{Input, Params, SignerShape};
use shardmark_kernels::bls::{AggregateKeys, AggregateSignatures, Refusal, SCHEME, SignatureSet, Signers, VerifyBatch};
use shardmark_kernels::bls::{aggregate_keys, aggregate_signatures, verify_batch};

use super::run;

fn decode<T: CanonicalDeserialize>(bytes: &[u8]) -> T {
    T::deserialize_compressed(bytes).unwrap()
}

fn encode<const N: usize>(point: &impl CanonicalSerialize) -> [u8; N] {
    let mut bytes = Vec::new();
    point.serialize_compressed(&mut bytes).unwrap();
    bytes.try_into().unwrap()
}

fn hash(message: &[u8]) -> G2Affine {
    type Hasher = MapToCurveBasedHasher<G2Projective, DefaultFieldHasher<sha2_for_ark::Sha256>, WBMap<g2::Config>>;
    Hasher::new(SCHEME.as_bytes()).unwrap().hash(message).unwrap()
}

/// The draft's `CoreVerify`, by arkworks alone.
fn verify(key: &G1Affine, message: &[u8], signature: &[u8; 96]) -> bool {
    let Ok(signature) = G2Affine::deserialize_compressed(&signature[..]) else { return false };
    let pairs = ([*key, -G1Affine::generator()], [hash(message), signature]);
    !key.is_zero() && Bls12_381::multi_pairing(pairs.0, pairs.1).is_zero()
}

#[test]
fn sums_of_keys_agree() {
    for (committee, absent_percent) in [(1, 0), (5, 40), (33, 10), (100, 30), (100, 70)] {
        let params = aggregate_keys::Params { committee, bitmaps: 4, absent_percent };
        let setup = AggregateKeys::setup(&params, 5);
        let input = AggregateKeys::generate(&params, &setup, 5, 0);
        let keys: Vec<G1Affine> = setup.keys.iter().map(|key| decode(key)).collect();
        let sums = run::<AggregateKeys>(&setup, &input).unwrap();
        for (bitmap, sum) in input.iter().zip(sums) {
            let marked = keys.iter().enumerate().filter(|(slot, _)| is_marked(bitmap, *slot));
            let want: G1Projective = marked.map(|(_, key)| key.into_group()).sum();
            assert_eq!(sum, Ok(encode(&want.into_affine())));
        }
    }
}

#[test]
fn sums_of_signatures_agree() {
    let params = aggregate_signatures::Params { groups: 3, signatures: 40 };
    let input = AggregateSignatures::generate(&params, &(), 5, 0);
    let sums = run::<AggregateSignatures>(&(), &input).unwrap();
    for (group, sum) in input.iter().zip(sums) {
        let want: G2Projective = group.iter().map(|point| decode::<G2Affine>(point).into_group()).sum();
        assert_eq!(sum, Ok(encode(&want.into_affine())));
    }
}

#[test]
fn keys_and_signatures_agree() {
    for i in 1..6u64 {
        let secret = Fr::from(i).pow([40 * i]);
        let bytes: [u8; 32] = secret.into_bigint().to_bytes_be().try_into().unwrap();
        let key = SecretKey::from_bytes(&bytes).unwrap();
        let message = vec![i as u8; 20 * i as usize];
        assert_eq!(key.public_key(), encode(&(G1Projective::generator() * secret).into_affine()));
        assert_eq!(key.sign(&message), encode(&(hash(&message) * secret).into_affine()));
    }
}

#[test]
fn verdicts_agree() {
    for (signers, absent_percent, distinct_messages, invalid) in
        [(SignerShape::One, 0, 10, 4), (SignerShape::One, 0, 1, 5), (SignerShape::Bitmap, 30, 3, 5)]
    {
        let params = Params { sets: 10, distinct_messages, invalid, committee: 12, signers, absent_percent };
        for seed in 0..3 {
            let setup = VerifyBatch::setup(&params, seed);
            let input = VerifyBatch::generate(&params, &setup, seed, 0);
            let keys: Vec<G1Affine> = setup.keys.iter().map(|key| decode(key)).collect();
            let verdicts = run::<VerifyBatch>(&setup, &input).unwrap();
            for (set, verdict) in input.sets.iter().zip(&verdicts) {
                let key = match &set.signers {
                    Signers::One(slot) => keys[*slot as usize],
                    Signers::Bitmap(bitmap) => {
                        let marked = keys.iter().enumerate().filter(|(slot, _)| is_marked(bitmap, *slot));
                        marked.map(|(_, key)| key.into_group()).sum::<G1Projective>().into_affine()
                    }
                };
                let message = &input.messages[set.message as usize];
                assert_eq!(verdict.is_ok(), verify(&key, message, &set.signature), "{verdict:?}");
            }
            assert_eq!(verdicts.iter().filter(|verdict| verdict.is_err()).count(), invalid as usize);
        }
    }
}

/// The small prime factors of the order of the twist. They are checked to divide it.
const SMALL_ORDERS: [u64; 5] = [13, 23, 2713, 11953, 262069];

/// A point of exactly this prime order: a random point of the twist times everything else in the group's order.
fn point_of_order(order: u64) -> G2Affine {
    let number = |limbs: &[u64]| limbs.iter().rev().fold(UBig::ZERO, |sum, limb| (sum << 64) + *limb);
    let limbs = |number: &UBig| -> Vec<u64> {
        number
            .to_le_bytes()
            .chunks(8)
            .map(|chunk| chunk.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b)))
            .collect()
    };
    let mut rest = number(<g2::Config as CurveConfig>::COFACTOR) * number(&Fr::MODULUS.0);
    assert!((&rest % order) == 0, "{order} divides the order of the twist");
    while (&rest % order) == 0 {
        rest /= order;
    }
    let points =
        (1u64..).filter_map(|x| G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(x), Fq::from(1)), false));
    let mut point = points.map(|point| point.mul_bigint(limbs(&rest))).find(|point| !point.is_zero()).unwrap();
    while !point.mul_bigint([order]).is_zero() {
        point = point.mul_bigint([order]);
    }
    point.into_affine()
}

#[test]
fn small_order_components_are_refused_alone_and_together() {
    let keys: Vec<_> = (1..=15).map(|i| SecretKey::from_ikm(&[i; 32])).collect();
    let setup = verify_batch::Setup { keys: keys.iter().map(SecretKey::public_key).collect() };
    let good: Vec<[u8; 96]> = keys.iter().map(|key| key.sign(b"block")).collect();
    for order in SMALL_ORDERS {
        let stray = point_of_order(order);
        let with = |signature: &[u8; 96], stray: G2Affine| -> [u8; 96] {
            encode(&(decode::<G2Affine>(signature).into_group() + stray).into_affine())
        };
        let mut signatures = good.clone();
        signatures[2] = with(&good[2], stray);
        signatures[5] = with(&good[5], -stray);
        signatures[9] = encode(&stray);
        let sets = signatures.iter().zip(0..).map(|(signature, slot)| SignatureSet {
            signers: Signers::One(slot),
            message: 0,
            signature: *signature,
        });
        let input = Input { messages: vec![b"block".to_vec()], sets: sets.collect() };
        let verdicts = run::<VerifyBatch>(&setup, &input).unwrap();
        for (i, verdict) in verdicts.iter().enumerate() {
            let want = if [2, 5, 9].contains(&i) { Err(Refusal::NotInSubgroup) } else { Ok(()) };
            assert_eq!(*verdict, want, "order {order}, set {i}");
        }
        // Each as often as its order could hide it: the sum would be in the subgroup again.
        if order == 13 {
            let hidden: Vec<_> = good[..13].iter().map(|signature| with(signature, stray)).collect();
            assert_eq!(aggregate(&hidden), Err(Refusal::NotInSubgroup));
            assert_eq!(run::<AggregateSignatures>(&(), &vec![hidden]).unwrap(), [Err(Refusal::NotInSubgroup)]);
        }
        assert_eq!(aggregate(&signatures), Err(Refusal::NotInSubgroup));
    }
}
