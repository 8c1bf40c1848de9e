//! Criterion benches of the BLS kernels: `execute` alone, input already loaded.
//!
//! For developers who compare two states of one machine; comparisons with peers are `versus`'s.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shardmark_kernels::backend::{BackendId, Control, Kernel, Options};
use shardmark_kernels::bls::verify_batch::{self, SignerShape};
use shardmark_kernels::bls::{
    AggregateKeys, AggregateSignatures, VerifyBatch, aggregate_keys, aggregate_signatures, layers as simd_layers,
};

/// Benches one shape on every backend that this host has. Every output is checked first.
fn bench<K: Kernel>(c: &mut Criterion, params: &K::Params, case: &str) {
    const SEED: u64 = 1;
    let setup = K::setup(params, SEED);
    let input = K::generate(params, &setup, SEED, 0);
    let mut group = c.benchmark_group(K::NAME.replace('/', "::"));
    group.sample_size(10).throughput(Throughput::Elements(K::work(params).items));
    for id in BackendId::ALL {
        let Ok(backend) = K::open(id, &Options::default()) else { continue };
        let control = Control::default();
        let prepared = backend.prepare(&setup).expect("a generated setup is valid");
        let mut session = prepared.load(&input).expect("a generated input is valid");
        session.execute(&control).expect("nothing cancels it");
        K::check(&setup, &input, &session.output().expect("it was executed")).expect("the output is right");
        group.bench_function(format!("backend={id} {case}"), |bencher| {
            bencher.iter(|| black_box(session.execute(&control)));
        });
    }
}

fn aggregate(c: &mut Criterion) {
    for (committee, absent_percent) in [(250, 10), (250, 50), (1000, 10)] {
        let params = aggregate_keys::Params { committee, bitmaps: 16, absent_percent };
        bench::<AggregateKeys>(
            c,
            &params,
            &format!("committee={committee} bitmaps=16 absent_percent={absent_percent}"),
        );
    }
    for signatures in [4, 250] {
        let params = aggregate_signatures::Params { groups: 1, signatures };
        bench::<AggregateSignatures>(c, &params, &format!("groups=1 signatures={signatures}"));
    }
}

fn verify(c: &mut Criterion) {
    for (sets, distinct_messages) in [(1, 1), (8, 8), (128, 128), (10, 1), (250, 1)] {
        for invalid in [0, 1] {
            let (committee, signers) = (sets, SignerShape::One);
            let params =
                verify_batch::Params { sets, distinct_messages, invalid, committee, signers, absent_percent: 0 };
            let case = format!("sets={sets} messages={distinct_messages}");
            let case = if invalid == 0 { case } else { format!("{case} invalid={invalid}") };
            bench::<VerifyBatch>(c, &params, &case);
        }
    }
    let (committee, signers) = (250, SignerShape::Bitmap);
    let params =
        verify_batch::Params { sets: 1, distinct_messages: 1, invalid: 0, committee, signers, absent_percent: 10 };
    bench::<VerifyBatch>(c, &params, "sets=1 messages=1 committee=250 absent_percent=10");
}

/// The layers of the backend `simd`, and blst's field, which it is measured against.
fn layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("bls::field");
    let (a, b) = (blst::blst_fp { l: [3; 6] }, blst::blst_fp { l: [5; 6] });
    let (a2, b2) = (blst::blst_fp2 { fp: [a, b] }, blst::blst_fp2 { fp: [b, a] });
    group.throughput(Throughput::Elements(1));
    group.bench_function("blst fp mul", |bencher| {
        let mut out = a;
        // SAFETY: the function reads two elements and writes one.
        bencher.iter(|| unsafe { blst::blst_fp_mul(black_box(&mut out), black_box(&a), &b) });
    });
    group.bench_function("blst fp2 mul", |bencher| {
        let mut out = a2;
        // SAFETY: the function reads two elements and writes one.
        bencher.iter(|| unsafe { blst::blst_fp2_mul(black_box(&mut out), black_box(&a2), &b2) });
    });
    group.bench_function("blst fp2 sqr", |bencher| {
        let mut out = a2;
        // SAFETY: the function reads an element and writes one.
        bencher.iter(|| unsafe { blst::blst_fp2_sqr(black_box(&mut out), black_box(&a2)) });
    });
    for mut operation in simd_layers::field() {
        group.throughput(Throughput::Elements(operation.elements));
        group.bench_function(operation.name, |bencher| bencher.iter(&mut operation.call));
    }
    group.finish();
    let mut group = c.benchmark_group("bls::batch");
    group.sample_size(10);
    for mut operation in [4, 128].into_iter().flat_map(simd_layers::batch) {
        group.throughput(Throughput::Elements(operation.elements));
        group.bench_function(operation.name, |bencher| bencher.iter(&mut operation.call));
    }
}

criterion_group!(benches, aggregate, verify, layers);
criterion_main!(benches);
