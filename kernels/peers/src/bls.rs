//! Rows of the BLS kernels, against blst's own batch call, one by one, and commonware-cryptography.

use blst::min_pk::{PublicKey, Signature};
use blst::{BLST_ERROR, blst_scalar};
use commonware_codec::DecodeExt;
use commonware_cryptography::bls12381::primitives::group::{G1, G2};
use commonware_cryptography::bls12381::primitives::ops::batch;
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_parallel::Sequential;
use commonware_utils::iter::NonEmpty;
use shardmark_kernels::backend::{Control, Kernel, Options};
use shardmark_kernels::bls::verify_batch::{Input, Params, Setup};
use shardmark_kernels::bls::{SCHEME, SecretKey, SignatureSet, Signers, VerifyBatch};

use crate::duel::{Case, Table};

const TIMED: &str = "keys decoded and resident, signatures decoded to affine, messages not hashed, subgroup checks inside";

/// All rows.
///
/// # Errors
///
/// The backend is unavailable or refuses the input.
pub fn rows(table: &mut Table) -> Result<(), String> {
    for (sets, messages) in [(1, 1), (8, 8), (10, 1), (32, 32), (128, 128), (512, 512), (100, 1), (250, 1), (1000, 1)] {
        verify_batch(table, sets, messages)?;
    }
    Ok(())
}

/// Decoded as blst's user holds it.
struct Decoded {
    keys: Vec<PublicKey>,
    signatures: Vec<Signature>,
    messages: Vec<Vec<u8>>,
}

fn verify_batch(table: &mut Table, sets: usize, messages: usize) -> Result<(), String> {
    let kernel = VerifyBatch::NAME;
    let case = format!("sets={sets} messages={messages}");
    let peers = ["blst verify_multiple", "blst one by one", "commonware same-message"];
    if !peers.iter().any(|peer| table.wants(kernel, &case, peer)) {
        return Ok(());
    }
    let params = Params {
        sets: sets as u32,
        distinct_messages: messages as u32,
        invalid: 0,
        committee: sets as u32,
        signers: Default::default(),
        absent_percent: 0,
    };
    VerifyBatch::validate(&params).map_err(|e| e.to_string())?;
    let (setup, input) = valid_input(sets, messages);
    let backend = VerifyBatch::open(table.backend, &Options::default()).map_err(|e| e.to_string())?;
    let prepared = backend.prepare(&setup).map_err(|e| e.to_string())?;
    let mut session = prepared.load(&input).map_err(|e| e.to_string())?;
    let control = Control::default();
    let description = backend.description();
    let decoded = decode(&setup, &input)?;
    let mut ours = || {
        session.execute(&control).expect("a loaded session executes");
        let verdicts = session.output().expect("an executed session has an output");
        assert!(verdicts.iter().all(Result::is_ok), "ours refused a valid set");
    };

    let scalars: Vec<blst_scalar> = (0..sets).map(|i| weight(i as u64)).collect();
    let message_refs: Vec<&[u8]> = decoded.messages.iter().map(Vec::as_slice).collect();
    let key_refs: Vec<&PublicKey> = decoded.keys.iter().collect();
    let signature_refs: Vec<&Signature> = decoded.signatures.iter().collect();
    if table.wants(kernel, &case, peers[0]) {
        let timed = format!("{TIMED}, 64-bit weights on both sides");
        table.duel(
            &Case { kernel, case: case.clone(), items: sets as u64, peer: "blst verify_multiple_aggregate_signatures", timed: &timed },
            &description,
            &mut ours,
            || {
                let verdict = Signature::verify_multiple_aggregate_signatures(
                    &message_refs, SCHEME.as_bytes(), &key_refs, false, &signature_refs, true, &scalars, 64,
                );
                assert_eq!(verdict, BLST_ERROR::BLST_SUCCESS);
            },
        );
    }
    if sets <= 250 && table.wants(kernel, &case, peers[1]) {
        let timed = format!("{TIMED}, 64-bit weights on ours, none on the peer's");
        table.duel(
            &Case { kernel, case: case.clone(), items: sets as u64, peer: peers[1], timed: &timed },
            &description,
            &mut ours,
            || {
                for ((signature, message), key) in decoded.signatures.iter().zip(&decoded.messages).zip(&decoded.keys) {
                    let verdict = signature.verify(true, message, SCHEME.as_bytes(), &[], key, false);
                    assert_eq!(verdict, BLST_ERROR::BLST_SUCCESS);
                }
            },
        );
    }
    if messages == 1 && table.wants(kernel, &case, peers[2]) {
        commonware(table, &case, &setup, &input, &decoded, &mut ours, &description)?;
    }
    Ok(())
}

/// Same-message verification of commonware-cryptography 2026.10, plus the group checks it asks its caller for.
fn commonware(
    table: &mut Table,
    case: &str,
    setup: &Setup,
    input: &Input,
    decoded: &Decoded,
    ours: &mut impl FnMut(),
    description: &shardmark_kernels::backend::Description,
) -> Result<(), String> {
    let keys = setup.keys.iter().map(|bytes| G1::decode(bytes.as_slice()));
    let keys: Vec<G1> = keys.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let signatures = input.sets.iter().map(|set| G2::decode(set.signature.as_slice()));
    let signatures: Vec<G2> = signatures.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let message = input.messages[0].strip_prefix(&[0]).ok_or("the message lacks its empty-namespace prefix")?.to_vec();
    let timed = format!("{TIMED} (the peer's through blst), weights 64-bit on ours, 128-bit on the peer's");
    table.duel(
        &Case {
            kernel: VerifyBatch::NAME,
            case: case.to_owned(),
            items: input.sets.len() as u64,
            peer: "commonware-cryptography same-message, plus group checks",
            timed: &timed,
        },
        description,
        ours,
        || {
            assert!(decoded.signatures.iter().all(Signature::subgroup_check));
            let entries = keys.iter().copied().zip(signatures.iter().copied());
            let entries = NonEmpty::try_new(entries).expect("at least one set");
            let bad = batch::verify_same_message::<_, MinPk, _>(&mut weights_rng(), &[], &message, entries, &Sequential);
            assert!(bad.is_empty());
        },
    );
    Ok(())
}

fn decode(setup: &Setup, input: &Input) -> Result<Decoded, String> {
    let text = |e: BLST_ERROR| format!("{e:?}");
    let mut decoded = Decoded { keys: Vec::new(), signatures: Vec::new(), messages: Vec::new() };
    for set in &input.sets {
        let Signers::One(slot) = set.signers else { return Err("rows are of single signers".to_owned()) };
        decoded.keys.push(PublicKey::key_validate(&setup.keys[slot as usize]).map_err(text)?);
        decoded.signatures.push(Signature::uncompress(&set.signature).map_err(text)?);
        decoded.messages.push(input.messages[set.message as usize].clone());
    }
    Ok(decoded)
}

/// Valid sets. Each message begins with the zero byte by which commonware frames an empty namespace, so that every peer
/// verifies the same bytes.
fn valid_input(sets: usize, messages: usize) -> (Setup, Input) {
    let secrets: Vec<SecretKey> = (0..sets).map(|i| secret(i as u64)).collect();
    let messages: Vec<Vec<u8>> = (0..messages).map(|i| [&[0u8][..], &(i as u64).to_le_bytes(), &[7; 24]].concat()).collect();
    let sets = secrets.iter().enumerate().map(|(i, secret)| {
        let message = i % messages.len();
        SignatureSet { signers: Signers::One(i as u32), message: message as u32, signature: secret.sign(&messages[message]) }
    });
    let sets = sets.collect();
    (Setup { keys: secrets.iter().map(SecretKey::public_key).collect() }, Input { messages, sets })
}

fn secret(index: u64) -> SecretKey {
    let mut material = [0x5a; 32];
    material[..8].copy_from_slice(&index.to_le_bytes());
    SecretKey::from_ikm(&material)
}

/// A fixed nonzero 64-bit weight: the peer's timed region holds no randomness, as blst leaves it to its caller.
fn weight(index: u64) -> blst_scalar {
    let mut scalar = blst_scalar::default();
    scalar.b[..8].copy_from_slice(&(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_le_bytes());
    scalar
}

/// A cheap stand-in for the operating system's generator, in the peer's favour.
fn weights_rng() -> impl rand_core::CryptoRng {
    shardmark_kernels::backend::generator("versus", 1, 1)
}
