//! Delay functions at Harmony's size: `cargo bench -p shardmark-kernels --bench vdf`.
//!
//! One thread, one instance. Discriminants differ by a factor of several in how far their prime lies, so those rows take
//! 16 seeds in turn and their mean is the number to read.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shardmark_kernels::backend::Control;
use shardmark_kernels::vdf::{self, DiscriminantValue, Scheme};

const ITERATIONS: u64 = 2000;

fn discriminant(bits: u32) -> DiscriminantValue {
    DiscriminantValue::from_seed(bits, &[0x5d; 32]).expect("the seed gives a discriminant")
}

fn square(c: &mut Criterion) {
    let mut group = c.benchmark_group("vdf::square");
    group.throughput(Throughput::Elements(ITERATIONS)).sample_size(20);
    for bits in [512, 1024, 2048] {
        let discriminant = discriminant(bits);
        group.bench_function(format!("backend=cpu bits={bits}"), |b| {
            b.iter(|| vdf::square_chain(black_box(&discriminant), ITERATIONS, &Control::default()));
        });
    }
}

fn verify(c: &mut Criterion) {
    let mut group = c.benchmark_group("vdf::verify");
    group.sample_size(20);
    for (scheme, bits) in [(Scheme::Harmony128, 2048), (Scheme::Bound264, 2048), (Scheme::Chia264, 1024)] {
        let discriminant = scheme.discriminant(bits, &[0x5d; 32]).expect("the seed gives a discriminant");
        let proof = vdf::evaluate(scheme, bits, &[0x5d; 32], ITERATIONS, &Control::default()).expect("it evaluates");
        assert_eq!(vdf::verify_with(scheme, &discriminant, ITERATIONS, &proof), Ok(()));
        group.bench_function(format!("backend=cpu bits={bits} scheme={scheme} discriminant=cached"), |b| {
            b.iter(|| vdf::verify_with(scheme, black_box(&discriminant), ITERATIONS, black_box(&proof)));
        });
        group.bench_function(format!("backend=cpu bits={bits} scheme={scheme} discriminant=fresh"), |b| {
            b.iter(|| vdf::verify(scheme, bits, black_box(&[0x5d; 32]), ITERATIONS, black_box(&proof)));
        });
    }
}

fn search(c: &mut Criterion) {
    let mut group = c.benchmark_group("vdf::discriminant");
    group.sample_size(10);
    for bits in [1024, 2048] {
        group.throughput(Throughput::Elements(16));
        group.bench_function(format!("backend=cpu bits={bits}"), |b| {
            b.iter(|| (0..16u8).map(|seed| DiscriminantValue::from_seed(bits, &[seed; 32]).is_ok()).all(black_box));
        });
    }
}

criterion_group!(benches, square, verify, search);
criterion_main!(benches);
