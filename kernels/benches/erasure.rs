//! Developers' benches of `erasure/*`: data bytes per second of one loaded input, one thread, every backend that opens.
//!
//! Row names are `key=value` pairs. `reconstruct` and `retrieve` lose `min(k, m)` data chunks, in a new pattern for each sample's batch.

#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; developers' tools

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shardmark_kernels::backend::{BackendId, Control, Kernel, Options, carries_invalid};
use shardmark_kernels::erasure::{
    Code, Disperse, Encode, EncodeParams, Reconstruct, ReconstructParams, Retrieve, merkle::Tree,
};

const CODE: Code = Code::RsVandermonde;
const SHAPES: [(u16, u16); 4] = [(10, 4), (32, 32), (85, 171), (128, 128)];
const BLOCKS: [(&str, usize); 2] = [("128KiB", 1 << 17), ("1MiB", 1 << 20)];

fn rows() -> impl Iterator<Item = (u16, u16, &'static str, usize)> {
    SHAPES
        .into_iter()
        .flat_map(|(k, m)| BLOCKS.into_iter().map(move |(block, bytes)| (k, m, block, bytes.div_ceil(usize::from(k)))))
}

/// From data outwards.
fn outwards<K: Kernel<Params = EncodeParams>>(c: &mut Criterion) {
    let mut group = c.benchmark_group(K::NAME.replace('/', "::"));
    for id in BackendId::ALL {
        let Ok(backend) = K::open(id, &Options::default()) else { continue };
        for (k, m, block, chunk_bytes) in rows() {
            let params = EncodeParams { code: CODE, data_chunks: k, parity_chunks: m, chunk_bytes };
            let setup = K::setup(&params, 1);
            let input = K::generate(&params, &setup, 1, 0);
            let prepared = backend.prepare(&setup).unwrap();
            let mut session = prepared.load(&input).unwrap();
            group.throughput(Throughput::Bytes(K::work(&params).bytes));
            group.bench_function(format!("backend={id} code={CODE} k={k} m={m} block={block}"), |b| {
                b.iter(|| session.execute(&Control::default()).unwrap());
            });
        }
    }
}

/// From chunks back, all of them good.
fn back<K: Kernel<Params = ReconstructParams>>(c: &mut Criterion) {
    let mut group = c.benchmark_group(K::NAME.replace('/', "::"));
    for id in BackendId::ALL {
        let Ok(backend) = K::open(id, &Options::default()) else { continue };
        for (k, m, block, chunk_bytes) in rows() {
            let missing = k.min(m);
            let params = ReconstructParams { code: CODE, data_chunks: k, parity_chunks: m, chunk_bytes, missing };
            let setup = K::setup(&params, 1);
            let valid = (0..).filter(|i| !carries_invalid(1, *i)).take(4);
            let inputs: Vec<_> = valid.map(|i| K::generate(&params, &setup, 1, i)).collect();
            let prepared = backend.prepare(&setup).unwrap();
            let mut pattern = inputs.iter().cycle();
            group.throughput(Throughput::Bytes(K::work(&params).bytes));
            group.bench_function(
                format!("backend={id} code={CODE} k={k} m={m} missing={missing} block={block}"),
                |b| {
                    b.iter_batched_ref(
                        || prepared.load(pattern.next().unwrap()).unwrap(),
                        |session| session.execute(&Control::default()).unwrap(),
                        BatchSize::PerIteration,
                    );
                },
            );
        }
    }
}

fn tree(c: &mut Criterion) {
    let mut group = c.benchmark_group("erasure::merkle");
    for (k, m, block, chunk_bytes) in rows() {
        let chunks = vec![vec![7; chunk_bytes]; usize::from(k + m)];
        group.throughput(Throughput::Bytes((chunk_bytes * chunks.len()) as u64));
        group.bench_function(format!("hash=blake3 k={k} m={m} block={block}"), |b| {
            b.iter(|| Tree::build(&chunks).unwrap().root());
        });
    }
}

criterion_group!(benches, outwards::<Encode>, outwards::<Disperse>, back::<Reconstruct>, back::<Retrieve>, tree);
criterion_main!(benches);
