//! Rows of `secp256k1/recover`, against libsecp256k1 through the crate secp256k1.

use secp256k1::{Message, Secp256k1, VerifyOnly};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use shardmark_kernels::backend::{Control, Kernel, Options};
use sha3::{Digest, Keccak256};
use shardmark_kernels::secp256k1::{Recover, RecoverParams, SignedDigest};

use crate::duel::{Case, Table};

/// An iteration without an invalid item for the seed below.
const SEED: u64 = 1;

/// All rows.
///
/// # Errors
///
/// The backend is unavailable.
pub fn rows(table: &mut Table) -> Result<(), String> {
    let peer = "libsecp256k1 one by one";
    for batch in [1, 100, 1000] {
        let case = format!("batch={batch}");
        if !table.wants(Recover::NAME, &case, peer) {
            continue;
        }
        let params = RecoverParams { batch };
        let iteration = (0..).find(|&i| !shardmark_kernels::backend::carries_invalid(SEED, i)).unwrap_or(0);
        let input = Recover::generate(&params, &(), SEED, iteration);
        let backend = Recover::open(table.backend, &Options::default()).map_err(|e| e.to_string())?;
        let prepared = backend.prepare(&()).map_err(|e| e.to_string())?;
        let mut session = prepared.load(&input).map_err(|e| e.to_string())?;
        let control = Control::default();
        session.execute(&control).map_err(|e| e.to_string())?;
        let want = session.output().map_err(|e| e.to_string())?;
        let context = Secp256k1::verification_only();
        table.duel(
            &Case {
                kernel: Recover::NAME,
                case,
                items: u64::from(batch),
                peer,
                timed: "from (digest, r, s, parity) bytes to address: parsing, recovery, Keccak-256",
            },
            &backend.description(),
            || {
                session.execute(&control).expect("a loaded session executes");
                assert!(session.output().expect("an executed session has an output").iter().all(Result::is_ok));
            },
            || {
                for (item, want) in input.iter().zip(&want) {
                    assert_eq!(Some(peer_recover(&context, item)), want.as_ref().ok().copied());
                }
            },
        );
    }
    Ok(())
}

fn peer_recover(context: &Secp256k1<VerifyOnly>, item: &SignedDigest) -> [u8; 20] {
    let id = RecoveryId::try_from(i32::from(item.y_parity)).expect("parity is 0 or 1");
    let compact = [item.r, item.s].concat();
    let signature = RecoverableSignature::from_compact(&compact, id).expect("a valid signature");
    let key = context.recover_ecdsa(Message::from_digest(item.digest), &signature).expect("a recoverable signature");
    let hash = Keccak256::digest(&key.serialize_uncompressed()[1..]);
    hash[12..].try_into().expect("32 bytes less 12")
}
