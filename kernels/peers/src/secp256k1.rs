//! Rows of `secp256k1/recover`, against libsecp256k1 through the crate secp256k1.

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, Secp256k1, VerifyOnly};
use sha3::{Digest, Keccak256};
use shardmark_kernels::backend::Kernel;
use shardmark_kernels::secp256k1::{Address, Recover, RecoverParams, SecretKey, SignedDigest, sign_recoverable};

use crate::duel::{Case, Table};
use crate::ours::Ours;

const PEER: &str = concat!("libsecp256k1 (secp256k1 ", env!("VERSUS_SECP256K1"), ") one by one");
const TIMED: &str =
    "from (digest, r, s, parity) bytes to addresses: parsing, recovery, Keccak-256; ours also refuses high s";

/// All rows.
///
/// # Errors
///
/// The backend is unavailable, a side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    for batch in [1, 100, 1000] {
        let name = format!("batch={batch}");
        if !table.wants(Recover::NAME, &name, PEER) {
            continue;
        }
        let input = signatures(batch);
        let ours = Ours::<Recover>::open(table.backend, &())?;
        let want: Vec<Address> = ours.checked(&(), &input)?.into_iter().flatten().collect();
        let items = Recover::work(&RecoverParams { batch }).items;
        let case = Case { kernel: Recover::NAME, name: &name, items, ours: &ours.description, path: None };
        let mut session = ours.load(&input)?;
        let context = Secp256k1::verification_only();
        table.duel(
            &case,
            PEER,
            TIMED,
            &mut || session.output().is_some_and(|senders| senders.iter().flatten().eq(&want)),
            &mut || input.iter().map(|item| recover(&context, item)).eq(want.iter().copied().map(Some)),
        )?;
    }
    Ok(())
}

/// Valid signatures, each of its own key.
fn signatures(batch: u32) -> Vec<SignedDigest> {
    let mut rng = shardmark_kernels::backend::generator("versus", 1, 0);
    let one = |i: u32| sign_recoverable(&SecretKey::generate(&mut rng), &Keccak256::digest(i.to_le_bytes()).into());
    (0..batch).map(one).collect()
}

fn recover(context: &Secp256k1<VerifyOnly>, item: &SignedDigest) -> Option<Address> {
    let id = RecoveryId::try_from(i32::from(item.y_parity)).ok()?;
    let mut compact = [0; 64];
    compact[..32].copy_from_slice(&item.r);
    compact[32..].copy_from_slice(&item.s);
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    let key = context.recover_ecdsa(Message::from_digest(item.digest), &signature).ok()?;
    let hash = Keccak256::digest(&key.serialize_uncompressed()[1..]);
    hash[12..].try_into().ok()
}
