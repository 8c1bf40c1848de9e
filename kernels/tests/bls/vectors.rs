//! Published vectors (`vectors/bls/SOURCE.md`), through the public API wherever it reaches.

use std::path::{Path, PathBuf};

use serde_json::Value;
use shardmark_kernels::bls::keys::{SecretKey, aggregate, verify};
use shardmark_kernels::bls::signers::bitmap_of;
use shardmark_kernels::bls::verify_batch::{Input, Setup};
use shardmark_kernels::bls::{AggregateSignatures, Refusal, SCHEME, SignatureSet, Signers, VerifyBatch};

use super::run;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/bls")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Runs `case(name, input, output)` over one folder of the Ethereum suite, which must hold `count` files.
fn each(suite: &str, count: usize, case: impl Fn(&str, &Value, &Value)) {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder().join("eth").join(suite)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), count, "{suite}");
    for path in paths {
        let value = read(&path);
        case(&path.file_stem().unwrap().to_string_lossy(), &value["input"], &value["output"]);
    }
}

fn hex_of(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap()
}

fn hexes(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(hex_of).collect()
}

fn exact<const N: usize>(bytes: Vec<u8>) -> [u8; N] {
    bytes.try_into().unwrap()
}

fn secret(value: &Value) -> Result<SecretKey, Refusal> {
    SecretKey::from_bytes(&exact(hex_of(value)))
}

#[test]
fn eth_sign() {
    each("sign", 10, |name, input, output| {
        let signature = secret(&input["privkey"]).map(|key| key.sign(&hex_of(&input["message"])).to_vec());
        match output {
            Value::Null => assert_eq!(signature, Err(Refusal::BadEncoding), "{name}"),
            output => assert_eq!(signature, Ok(hex_of(output)), "{name}"),
        }
    });
}

/// A verdict one by one and through the batch kernel.
fn verdict(keys: &[Vec<u8>], signers: Signers, message: &Value, signature: &Value) -> bool {
    let setup = Setup { keys: keys.iter().cloned().map(exact).collect() };
    let set = SignatureSet { signers, message: 0, signature: exact(hex_of(signature)) };
    let input = Input { messages: vec![hex_of(message)], sets: vec![set] };
    matches!(run::<VerifyBatch>(&setup, &input).as_deref(), Ok([Ok(())]))
}

#[test]
fn eth_verify() {
    each("verify", 20, |name, input, output| {
        let (key, signature) = (hex_of(&input["pubkey"]), hex_of(&input["signature"]));
        let one = verify(&exact(key.clone()), &hex_of(&input["message"]), &exact(signature)).is_ok();
        assert_eq!(Some(one), output.as_bool(), "{name}");
        let batch = verdict(&[key], Signers::One(0), &input["message"], &input["signature"]);
        assert_eq!(Some(batch), output.as_bool(), "{name} in a batch");
    });
}

#[test]
fn eth_fast_aggregate_verify() {
    each("fast_aggregate_verify", 8, |name, input, output| {
        let keys = hexes(&input["pubkeys"]);
        let all = Signers::Bitmap(bitmap_of(keys.len(), |_| true));
        let batch = verdict(&keys, all, &input["message"], &input["signature"]);
        assert_eq!(Some(batch), output.as_bool(), "{name}");
    });
}

#[test]
fn eth_aggregate() {
    each("aggregate", 6, |name, input, output| {
        let signatures: Vec<[u8; 96]> = hexes(input).into_iter().map(exact).collect();
        let want = match output {
            Value::Null => Err(Refusal::Empty),
            output => Ok(exact(hex_of(output))),
        };
        assert_eq!(aggregate(&signatures), want, "{name}");
        assert_eq!(run::<AggregateSignatures>(&(), &vec![signatures]), Ok(vec![want]), "{name} in a batch");
    });
}

#[test]
fn eth_batch_verify() {
    each("batch_verify", 2, |name, input, output| {
        let keys = hexes(&input["pubkeys"]).into_iter().map(exact).collect();
        let signatures = hexes(&input["signatures"]).into_iter().zip(0..);
        let sets = signatures.map(|(signature, i)| SignatureSet {
            signers: Signers::One(i),
            message: i,
            signature: exact(signature),
        });
        let input = Input { messages: hexes(&input["messages"]), sets: sets.collect() };
        let verdicts = run::<VerifyBatch>(&Setup { keys }, &input).unwrap();
        assert_eq!(Some(verdicts.iter().all(Result::is_ok)), output.as_bool(), "{name}");
    });
}

/// No kernel verifies one signature over several messages: this pins the library that the kernels stand on.
#[test]
fn eth_aggregate_verify() {
    use blst::min_pk::{PublicKey, Signature};
    each("aggregate_verify", 4, |name, input, output| {
        let keys: Result<Vec<_>, _> = hexes(&input["pubkeys"]).iter().map(|key| PublicKey::key_validate(key)).collect();
        let messages = hexes(&input["messages"]);
        let messages: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
        let signature = Signature::sig_validate(&hex_of(&input["signature"]), false);
        let accepted = match (keys, signature) {
            (Ok(keys), Ok(signature)) => {
                let keys: Vec<&PublicKey> = keys.iter().collect();
                let verdict = signature.aggregate_verify(false, &messages, SCHEME.as_bytes(), &keys, false);
                verdict == blst::BLST_ERROR::BLST_SUCCESS
            }
            _ => false,
        };
        assert_eq!(Some(accepted), output.as_bool(), "{name}");
    });
}

/// The uncompressed bytes of the affine point that a vector gives as `x` and `y`, each `c0,c1` in hexadecimal.
fn uncompressed(point: &Value) -> Vec<u8> {
    let coordinate = |name: &str| {
        let (c0, c1) = point[name].as_str().unwrap().split_once(',').unwrap();
        [c1, c0].map(|c| hex::decode(c.strip_prefix("0x").unwrap()).unwrap()).concat()
    };
    [coordinate("x"), coordinate("y")].concat()
}

fn compressed(point: &Value) -> [u8; 96] {
    blst::min_pk::Signature::deserialize(&uncompressed(point)).unwrap().compress()
}

/// Domain of the published hash vectors. The scheme's own domain is pinned by `eth_sign`.
const HASH_DOMAIN: &[u8] = b"QUUX-V01-CS02-with-BLS12381G2_XMD:SHA-256_SSWU_RO_";

fn hash(message: &[u8]) -> [u8; 96] {
    let mut point = blst::blst_p2::default();
    let mut bytes = [0; 96];
    let (dst, none) = (HASH_DOMAIN, std::ptr::null());
    // SAFETY: slices come with their lengths; the function writes one point, which the next one encodes in 96 bytes.
    unsafe {
        blst::blst_hash_to_g2(&mut point, message.as_ptr(), message.len(), dst.as_ptr(), dst.len(), none, 0);
        blst::blst_p2_compress(bytes.as_mut_ptr(), &point);
    }
    bytes
}

#[test]
fn eth_hash_to_g2() {
    each("hash_to_G2", 4, |name, input, output| {
        assert_eq!(hash(input["msg"].as_str().unwrap().as_bytes()), compressed(output), "{name}");
    });
}

/// The decoders' verdict is seen through `verify`: whatever decodes fails later, for another reason.
#[test]
fn eth_deserialization_g1() {
    let key = SecretKey::from_ikm(&[1; 32]);
    let decodes = |bytes: &[u8]| match bytes.try_into() {
        Ok(bytes) => matches!(verify(&bytes, b"message", &key.sign(b"message")), Err(Refusal::Invalid)),
        Err(_) => false,
    };
    assert!(decodes(&SecretKey::from_ikm(&[2; 32]).public_key()));
    each("deserialization_G1", 13, |name, input, output| {
        let text = input["pubkey"].as_str().unwrap();
        let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap_or_default();
        assert_eq!(Some(decodes(&bytes)), output.as_bool(), "{name}");
    });
}

#[test]
fn eth_deserialization_g2() {
    each("deserialization_G2", 10, |name, input, output| {
        let text = input["signature"].as_str().unwrap();
        let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap_or_default();
        let decodes = bytes[..].try_into().is_ok_and(|bytes| aggregate(&[bytes]).is_ok());
        assert_eq!(Some(decodes), output.as_bool(), "{name}");
    });
}

/// RFC 9380 appendix J.10.1.
#[test]
fn hash_to_curve_g2_random_oracle() {
    let suite = read(&folder().join("h2c/BLS12381G2_XMD_SHA-256_SSWU_RO_.json"));
    assert_eq!(suite["dst"].as_str().unwrap().as_bytes(), HASH_DOMAIN);
    let cases = suite["vectors"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let message = case["msg"].as_str().unwrap();
        assert_eq!(hash(message.as_bytes()), compressed(&case["P"]), "{message}");
    }
}
