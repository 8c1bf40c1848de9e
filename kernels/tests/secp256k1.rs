//! `secp256k1/recover` against published transactions, libsecp256k1, and hostile signatures.

// Helpers of tests: a failure is the point.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use dashu_int::UBig;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::point::AffineCoordinates;
use k256::{ProjectivePoint, Scalar};
use proptest::prelude::*;
use sha2::Sha256;
use sha3::{Digest, Keccak256};
use shardmark_kernels::backend::{Backend, BackendId, Control, Error, Kernel, Options, Unavailable, carries_invalid};
use shardmark_kernels::conformance::conformance;
use shardmark_kernels::secp256k1::{
    Address, InvalidKey, Recover, RecoverParams, Refusal, SecretKey, SignedDigest, address, cpu::recover,
    sign_recoverable,
};

/// The order of the field: p = 2^256 - 2^32 - 977.
const FIELD: &str = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";
/// The order of the group.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

fn bytes(number: &UBig) -> [u8; 32] {
    let short = number.to_be_bytes();
    let mut bytes = [0; 32];
    bytes[32 - short.len()..].copy_from_slice(&short);
    bytes
}

fn from_hex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn from_decimal(text: &str) -> [u8; 32] {
    bytes(&text.parse().unwrap())
}

fn order() -> UBig {
    UBig::from_be_bytes(&from_hex::<32>(ORDER))
}

fn scalar(bytes: [u8; 32]) -> Scalar {
    Scalar::from_repr(bytes.into()).unwrap()
}

/// A batch on every backend that opens, on one thread and on three; all give the same.
fn recover_all(input: &Vec<SignedDigest>) -> Vec<Result<Address, Refusal>> {
    let mut outputs = Vec::new();
    for id in BackendId::ALL {
        for threads in [1, 3] {
            let Ok(backend) = Recover::open(id, &Options { threads, ..Options::default() }) else { continue };
            outputs.push(backend.prepare(&()).unwrap().compute(input, &Control::default()).unwrap());
        }
    }
    Recover::check(&(), input, &outputs[0]).unwrap();
    assert!(outputs.iter().all(|output| *output == outputs[0]));
    outputs.swap_remove(0)
}

static LIBSECP256K1: LazyLock<secp256k1::Secp256k1<secp256k1::All>> = LazyLock::new(secp256k1::Secp256k1::new);

/// libsecp256k1 under the same rules. It knows neither EIP-2 nor the order of reasons, so only whether there is an
/// address, and which, is compared.
fn libsecp256k1(item: &SignedDigest) -> Option<Address> {
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
    let id = RecoveryId::try_from(i32::from(item.y_parity)).ok().filter(|_| item.y_parity <= 1)?;
    let compact = [item.r, item.s].concat();
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    let standard = signature.to_standard();
    let mut normal = standard;
    normal.normalize_s();
    if normal != standard {
        return None;
    }
    let key = LIBSECP256K1.recover_ecdsa(secp256k1::Message::from_digest(item.digest), &signature).ok()?;
    let hash = Keccak256::digest(&key.serialize_uncompressed()[1..]);
    Some(hash[12..].try_into().unwrap())
}

#[test]
fn recovery_conforms_on_every_backend() {
    let seed = (0u64..).find(|seed| carries_invalid(*seed, 0) || carries_invalid(*seed, 1)).unwrap();
    let shapes = [1, 2, 17, 100].map(|batch| RecoverParams { batch });
    conformance::<Recover>(&shapes, &[seed, 1, 2]);
    // More than one block of shared inversions.
    conformance::<Recover>(&[RecoverParams { batch: 600 }], &[seed]);
}

/// Source: EIP-155, "Example".
#[test]
fn the_example_of_eip_155_comes_out_byte_for_byte() {
    // rlp([9, 20 * 10^9, 21000, 0x3535..35, 10^18, "", 1, 0, 0])
    let payload = hex::decode(concat!(
        "ec",
        "09",
        "8504a817c800",
        "825208",
        "94",
        "3535353535353535353535353535353535353535",
        "880de0b6b3a7640000",
        "80",
        "01",
        "80",
        "80"
    ));
    let digest: [u8; 32] = Keccak256::digest(payload.unwrap()).into();
    assert_eq!(digest, from_hex("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"));
    let published = SignedDigest {
        digest,
        r: from_decimal("18515461264373351373200002665853028612451056578545711640558177340181847433846"),
        s: from_decimal("46948507304638947509940763649030358759909902576025900602547168820602576006531"),
        // v = 37 = 35 + 2 * chain id + parity.
        y_parity: 0,
    };
    let key = SecretKey::from_bytes(&[0x46; 32]).unwrap();
    let sender = from_hex("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f");
    assert_eq!(address(&key), sender);
    assert_eq!(sign_recoverable(&key, &digest), published);
    assert_eq!(recover_all(&vec![published]), [Ok(sender)]);
    assert_eq!(libsecp256k1(&published), Some(sender));
}

/// Source: crate k256 0.14, `src/ecdsa.rs`: its recovery vectors, and the ethers-rs example that it adapts.
#[test]
fn vectors_of_k256_and_ethers_come_out() {
    let digest: [u8; 32] = Sha256::digest(b"example message").into();
    let cases = [
        (
            0,
            "ce53abb3721bafc561408ce8ff99c909f7f0b18a2f788649d6470162ab1aa032",
            "3971edc523a6d6453f3fb6128d318d9db1a5ff3386feb1047d9816e780039d52",
            "021a7a569e91dbf60581509c7fc946d1003b60c7dee85299538db6353538d59574",
        ),
        (
            1,
            "46c05b6368a44b8810d79859441d819b8e7cdc8bfd371e35c53196f4bcacdb51",
            "35c7facce2a97b95eacba8a586d87b7958aaf8368ab29cee481f76e871dbd9cb",
            "036d6caac248af96f6afa7f904f550253a0f3ef3f5aa2fe6838a95b216691468e2",
        ),
    ];
    for (y_parity, r, s, key) in cases {
        let key = secp256k1::PublicKey::from_slice(&hex::decode(key).unwrap()).unwrap();
        let hash = Keccak256::digest(&key.serialize_uncompressed()[1..]);
        let item = SignedDigest { digest, r: from_hex(r), s: from_hex(s), y_parity };
        assert_eq!(recover_all(&vec![item]), [Ok(hash[12..].try_into().unwrap())]);
    }

    let key = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
    let payload = "e9808504e3b29200831e848094f0109fc8df283027b6285cc889f5aa624eac1f55843b9aca0080018080";
    let key = SecretKey::from_bytes(&from_hex(key)).unwrap();
    let digest = Keccak256::digest(hex::decode(payload).unwrap()).into();
    let signed = SignedDigest {
        digest,
        r: from_hex("c9cf86333bcb065d140032ecaab5d9281bde80f21b9687b3e94161de42d51895"),
        s: from_hex("727a108a0b8d101465414033c3f705a9c7b826e596766046ee1183dbc8aeaa68"),
        y_parity: 0,
    };
    assert_eq!(sign_recoverable(&key, &digest), signed);
    assert_eq!(recover_all(&vec![signed]), [Ok(address(&key))]);
}

#[test]
fn the_smallest_keys_have_their_well_known_addresses() {
    for (key, want) in
        [(1, "7e5f4552091a69125d5dfcb7b8c2659029395bdf"), (2, "2b5ad5c4795c026514f8317c7a215e218dccd6cf")]
    {
        let key = SecretKey::from_bytes(&bytes(&UBig::from(key as u8))).unwrap();
        assert_eq!(address(&key), from_hex(want));
        let signed = sign_recoverable(&key, &[0xff; 32]);
        assert_eq!(recover(&signed), Ok(address(&key)));
    }
}

#[test]
fn numbers_that_are_no_secret_key_are_refused_and_keys_are_not_shown() {
    for bad in [UBig::ZERO, order(), order() + 1u8, (UBig::ONE << 256) - 1u8] {
        assert_eq!(SecretKey::from_bytes(&bytes(&bad)).err(), Some(InvalidKey));
    }
    let last = SecretKey::from_bytes(&bytes(&(order() - 1u8))).unwrap();
    // The key n - 1 has the point of key 1 with the other y.
    let signed = sign_recoverable(&last, &[7; 32]);
    assert_eq!(recover(&signed), Ok(address(&last)));
    assert_eq!(format!("{last:?}"), "SecretKey(..)");
}

#[test]
fn numbers_at_the_edges_of_their_ranges_are_judged_as_documented() {
    let key = SecretKey::from_bytes(&[3; 32]).unwrap();
    let good = sign_recoverable(&key, &[9; 32]);
    let number = |number: &UBig| bytes(number);
    let (n, half) = (order(), order() / 2u8);
    let field = UBig::from_be_bytes(&from_hex::<32>(FIELD));
    let most = (UBig::ONE << 256) - 1u8;
    let with_r = |r: &UBig| SignedDigest { r: number(r), ..good };
    let with_s = |s: &UBig| SignedDigest { s: number(s), ..good };
    let refused = [
        (SignedDigest { y_parity: 2, ..good }, Refusal::Parity),
        (SignedDigest { y_parity: 27, ..good }, Refusal::Parity),
        (SignedDigest { y_parity: 255, ..good }, Refusal::Parity),
        (with_r(&UBig::ZERO), Refusal::R),
        (with_r(&n), Refusal::R),
        (with_r(&(&n + 1u8)), Refusal::R),
        (with_r(&(&field - 1u8)), Refusal::R),
        (with_r(&field), Refusal::R),
        (with_r(&most), Refusal::R),
        (with_s(&UBig::ZERO), Refusal::S),
        (with_s(&n), Refusal::S),
        (with_s(&(&n + 1u8)), Refusal::S),
        (with_s(&most), Refusal::S),
        (with_s(&(&half + 1u8)), Refusal::HighS),
        (with_s(&(&n - 1u8)), Refusal::HighS),
        // x = 5 has no point: 132 is not a square modulo p.
        (with_r(&UBig::from(5u8)), Refusal::NotOnCurve),
        // Several faults: the first in the order of the list.
        (SignedDigest { y_parity: 2, r: [0; 32], s: [0; 32], ..good }, Refusal::Parity),
        (SignedDigest { r: [0; 32], s: [0; 32], ..good }, Refusal::R),
        (SignedDigest { r: number(&UBig::from(5u8)), s: [0xff; 32], ..good }, Refusal::S),
        (SignedDigest { r: number(&UBig::from(5u8)), s: number(&(&n - 1u8)), ..good }, Refusal::HighS),
    ];
    let input: Vec<SignedDigest> = refused.iter().map(|(item, _)| *item).collect();
    let want: Vec<_> = refused.iter().map(|(_, reason)| Err(*reason)).collect();
    assert_eq!(recover_all(&input), want);
    assert!(input.iter().all(|item| libsecp256k1(item).is_none()));

    // The last values inside the ranges, and digests at or above the group order, which are reduced.
    let accepted: Vec<SignedDigest> = [with_s(&UBig::ONE), with_s(&half), with_r(&UBig::ONE), with_r(&UBig::from(2u8))]
        .into_iter()
        .chain([UBig::ZERO, n.clone(), &n + 1u8, most].map(|digest| SignedDigest { digest: number(&digest), ..good }))
        .chain([SignedDigest { y_parity: good.y_parity ^ 1, ..good }])
        .collect();
    for (got, item) in recover_all(&accepted).into_iter().zip(&accepted) {
        assert_eq!(got.ok(), libsecp256k1(item));
        assert!(got.is_ok());
    }
    let digests = |i: usize| accepted[i].digest;
    assert_eq!((digests(4), digests(5)), ([0; 32], number(&n)));
    assert_eq!(recover(&accepted[4]), recover(&accepted[5]));
}

/// r = x of k G, s = z / k: then s R - z G is the point at infinity.
fn infinity(k: u64, z: [u8; 32]) -> SignedDigest {
    let nonce = (ProjectivePoint::GENERATOR * Scalar::from(k)).to_affine();
    let s = scalar(z) * Scalar::from(k).invert().unwrap();
    let high = UBig::from_be_bytes(&s.to_bytes()) > order() / 2u8;
    let y_parity = u8::from(bool::from(nonce.y_is_odd()) ^ high);
    SignedDigest { digest: z, r: nonce.x().into(), s: if high { -s } else { s }.to_bytes().into(), y_parity }
}

#[test]
fn keys_at_infinity_are_refused_and_spoil_no_neighbour() {
    let good: Vec<SignedDigest> =
        (1u8..40).map(|i| sign_recoverable(&SecretKey::from_bytes(&[i; 32]).unwrap(), &[i ^ 0x55; 32])).collect();
    let want: Vec<_> = good.iter().map(|item| Ok(libsecp256k1(item).unwrap())).collect();
    assert_eq!(recover_all(&good), want);
    for k in 1..20 {
        let bad = infinity(k, [k as u8; 32]);
        assert_eq!(libsecp256k1(&bad), None);
        // First, last, in the middle, twice.
        let mut input = good.clone();
        let mut want = want.clone();
        for at in [0, 20, 20, input.len() + 3] {
            input.insert(at, bad);
            want.insert(at, Err(Refusal::Infinity));
        }
        assert_eq!(recover_all(&input), want);
    }
    assert_eq!(recover_all(&vec![infinity(1, [1; 32]); 5]), [Err(Refusal::Infinity); 5]);
}

#[test]
fn nonces_that_meet_the_generator_are_added_correctly() {
    // R = G or -G or 2 G, and u1 = +-u2: the additions meet equal and opposite points.
    let mut input = Vec::new();
    for k in [1u64, 2, 3] {
        let nonce = (ProjectivePoint::GENERATOR * Scalar::from(k)).to_affine();
        for s in 1u64..6 {
            for digest in
                [Scalar::from(s), -Scalar::from(s), Scalar::from(2 * s), -Scalar::from(k * s), Scalar::from(k * s)]
            {
                for y_parity in [0, 1] {
                    let s = Scalar::from(s).to_bytes().into();
                    input.push(SignedDigest { digest: digest.to_bytes().into(), r: nonce.x().into(), s, y_parity });
                }
            }
        }
    }
    let want: Vec<_> = input.iter().map(libsecp256k1).collect();
    assert!(want.iter().any(Option::is_none) && want.iter().any(Option::is_some));
    let got: Vec<_> = recover_all(&input).into_iter().map(Result::ok).collect();
    assert_eq!(got, want);
}

#[test]
fn no_signatures_give_no_verdicts() {
    assert_eq!(recover_all(&Vec::new()), []);
}

#[test]
fn a_cancelled_call_gives_no_output_and_absent_backends_say_so() {
    let input = Recover::generate(&RecoverParams { batch: 5 }, &(), 1, 0);
    let control = Control::default();
    control.cancel();
    for threads in [1, 2] {
        let backend: Box<dyn Backend<Recover>> =
            Recover::open(BackendId::Cpu, &Options { threads, ..Options::default() }).unwrap();
        let prepared = backend.prepare(&()).unwrap();
        let mut session = prepared.load(&input).unwrap();
        assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
        assert_eq!(session.execute(&control), Err(Error::Cancelled));
        assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
    }
    assert_eq!(Recover::open(BackendId::Wgpu, &Options::default()).err(), Some(Unavailable::NotImplemented));
    let none = Options { threads: 0, ..Options::default() };
    assert!(matches!(Recover::open(BackendId::Cpu, &none).err(), Some(Unavailable::Options(_))));
}

/// Numbers of every kind that a peer may send: random, tiny, close to the order, close to half of it.
fn hostile_number() -> impl Strategy<Value = [u8; 32]> {
    let around = |centre: UBig| (0u8..5).prop_map(move |by| bytes(&(&centre + by - 2u8)));
    prop_oneof![
        4 => any::<[u8; 32]>(),
        1 => (0u8..20).prop_map(|small| bytes(&UBig::from(small))),
        1 => around(order()),
        1 => around(order() / 2u8),
        1 => any::<[u8; 32]>().prop_map(|mut low| { low[0] &= 0x7f; low }),
    ]
}

fn honest() -> impl Strategy<Value = SignedDigest> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_filter_map("not a key", |(key, digest)| {
        SecretKey::from_bytes(&key).ok().map(|key| sign_recoverable(&key, &digest))
    })
}

fn item() -> impl Strategy<Value = SignedDigest> {
    prop_oneof![
        3 => honest(),
        1 => (honest(), 0usize..97 * 8).prop_map(|(mut item, bit)| {
            let flip = 1 << (bit % 8);
            match bit / 8 {
                at @ 0..32 => item.digest[at] ^= flip,
                at @ 32..64 => item.r[at - 32] ^= flip,
                at @ 64..96 => item.s[at - 64] ^= flip,
                _ => item.y_parity ^= flip,
            }
            item
        }),
        1 => (1u64.., any::<[u8; 31]>()).prop_map(|(k, z)| {
            let mut digest = [0; 32];
            digest[1..].copy_from_slice(&z);
            infinity(k, digest)
        }),
        3 => (hostile_number(), hostile_number(), hostile_number(), 0u8..4).prop_map(|(digest, r, s, y_parity)| {
            SignedDigest { digest, r, s, y_parity }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_mixture_equals_libsecp256k1(input in prop::collection::vec(item(), 0..24)) {
        let got: Vec<_> = recover_all(&input).into_iter().map(Result::ok).collect();
        let want: Vec<_> = input.iter().map(libsecp256k1).collect();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn signing_equals_libsecp256k1(key in any::<[u8; 32]>(), digest: [u8; 32]) {
        let Ok(ours) = SecretKey::from_bytes(&key) else { return Ok(()) };
        let signed = sign_recoverable(&ours, &digest);
        let theirs = secp256k1::SecretKey::from_byte_array(key).unwrap();
        let signature = LIBSECP256K1.sign_ecdsa_recoverable(secp256k1::Message::from_digest(digest), &theirs);
        let (id, compact) = signature.serialize_compact();
        prop_assert_eq!(compact.to_vec(), [signed.r, signed.s].concat());
        prop_assert_eq!(i32::from(id), i32::from(signed.y_parity));
        prop_assert_eq!(recover(&signed), Ok(address(&ours)));
    }
}
