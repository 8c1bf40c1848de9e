//! Developers' benches of `secp256k1/recover`: senders per second, one thread, every backend that opens, and beside them
//! k256's own call, one signature at a time. Parsing, range checks and Keccak are inside the timed region of all.

#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; developers' tools

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use sha3::{Digest, Keccak256};
use shardmark_kernels::backend::{BackendId, Control, Kernel, Options, carries_invalid};
use shardmark_kernels::secp256k1::{Recover, RecoverParams, SignedDigest};

fn one_by_one(item: &SignedDigest) -> [u8; 32] {
    let signature = Signature::from_scalars(item.r, item.s).unwrap();
    assert_eq!(signature.normalize_s(), signature);
    let id = RecoveryId::new(item.y_parity == 1, false);
    let key = VerifyingKey::recover_from_prehash(&item.digest, &signature, id).unwrap();
    Keccak256::digest(&key.to_sec1_point(false).as_bytes()[1..]).into()
}

fn recover(c: &mut Criterion) {
    let mut group = c.benchmark_group("secp256k1::recover");
    let valid = (0..).find(|iteration| !carries_invalid(1, *iteration)).unwrap();
    for batch in [1, 16, 256, 2048] {
        let params = RecoverParams { batch };
        let input = Recover::generate(&params, &(), 1, valid);
        group.throughput(Throughput::Elements(Recover::work(&params).items));
        for id in BackendId::ALL {
            let Ok(backend) = Recover::open(id, &Options::default()) else { continue };
            let prepared = backend.prepare(&()).unwrap();
            let mut session = prepared.load(&input).unwrap();
            group.bench_function(format!("backend={id} batch={batch}"), |b| {
                b.iter(|| session.execute(&Control::default()).unwrap());
            });
        }
        group.bench_function(format!("peer=k256 batch={batch}"), |b| {
            b.iter(|| input.iter().map(one_by_one).collect::<Vec<_>>());
        });
    }
}

criterion_group!(benches, recover);
criterion_main!(benches);
