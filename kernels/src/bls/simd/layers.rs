//! A door for benches: each layer's operations by themselves, on operands in cache.
//!
//! Not for any other use: names and operations change with the code behind them.

use std::hint::black_box;

use blst::{blst_fp, blst_fp2};

use super::convert::{stored_g1, stored_g2};
use super::decode::decode_g2;
use super::field::{Field, Fp2, Fp49, Ring, constants};
use super::hash::hash_to_g2;
use super::miller::miller_product;
use super::msm::{draw, row_sums};
use super::multiply::multiply_g1;
use super::subgroup::in_g2;
use super::sums::sum;
use crate::bls::{SIGNATURE_BYTES, points};

/// One operation of a layer, over and over.
pub struct Operation {
    /// Layer, instruction set and operation.
    pub name: String,
    /// Elements that one call computes.
    pub elements: u64,
    /// Computes them. Independent of each other, but for a chain, where each needs the one before.
    pub call: Box<dyn FnMut()>,
}

/// Something computed from values.
type Call<R> = Box<dyn FnMut(&[R])>;

/// Vectors in the operands' arrays: they stay in the first-level cache.
const VECTORS: usize = 8;

/// Operations on the base field and its quadratic extension, on every instruction set of this processor.
pub fn field() -> Vec<Operation> {
    let mut operations = Vec::new();
    if Fp49::available() {
        of_field::<Fp49>("avx2", &mut operations);
    }
    #[cfg(target_arch = "x86_64")]
    if super::field::Fp52::<super::field::Avx512>::available() {
        of_field::<super::field::Fp52<super::field::Avx512>>("ifma", &mut operations);
    }
    operations
}

/// Operations on `n` points or messages at once, on every instruction set of this processor.
pub fn batch(n: usize) -> Vec<Operation> {
    let mut operations = Vec::new();
    if Fp49::available() {
        of_batch::<Fp49>("avx2", n, &mut operations);
    }
    #[cfg(target_arch = "x86_64")]
    if super::field::Fp52::<super::field::Avx512>::available() {
        of_batch::<super::field::Fp52<super::field::Avx512>>("ifma", n, &mut operations);
    }
    operations
}

fn of_batch<F: Field>(isa: &str, n: usize, operations: &mut Vec<Operation>) {
    let messages: Vec<Vec<u8>> = (0..n as u64).map(|i| i.to_le_bytes().to_vec()).collect();
    let hashes: Vec<_> = messages.iter().map(|message| points::hash_to_g2(message)).collect();
    let affine = points::affine_g2(&hashes);
    let encoded: Vec<[u8; SIGNATURE_BYTES]> = affine.iter().map(points::encode_g2).collect();
    let generator = [points::negated_generator()];
    let keys: Vec<_> = (0..n as u64).map(|i| points::weighted_sum_g1(&generator, &[i * i + 7])).collect();
    let (keys, signatures) = (stored_g1::<F>(&points::affine_g1(&keys)), stored_g2::<F>(&affine));
    let digits = draw(n).unwrap_or_default();
    let mut push = |operation: &str, call: Box<dyn FnMut()>| {
        operations.push(Operation { name: format!("{operation} isa={isa} n={n}"), elements: n as u64, call });
    };
    // Each call owns what it works on.
    macro_rules! operation {
        ($name:literal, [$($operand:ident),*], $call:expr) => {{
            $(let $operand = $operand.clone();)*
            push($name, Box::new(move || _ = black_box($call)));
        }};
    }
    operation!("sum in G1", [keys], sum(&keys));
    operation!("sum in G2", [signatures], sum(&signatures));
    operation!("row sums in G1", [keys, digits], row_sums(&keys, &digits));
    operation!("row sums in G2", [signatures, digits], row_sums(&signatures, &digits));
    operation!("product in G1", [keys, digits], multiply_g1(&keys, &digits));
    operation!("subgroup check in G2", [signatures], in_g2(&signatures));
    operation!("decode in G2", [encoded], decode_g2::<F>(&encoded.iter().collect::<Vec<_>>()));
    operation!("hash to G2", [messages], hash_to_g2::<F>(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    operation!("Miller loop", [keys, signatures], miller_product(&keys, &signatures));
}

fn of_field<F: Field>(isa: &str, operations: &mut Vec<Operation>) {
    let mut seed = 1;
    let mut random = || {
        let mut words = std::array::from_fn(|_| {
            seed = 6_364_136_223_846_793_005u64.wrapping_mul(seed).wrapping_add(1_442_695_040_888_963_407);
            seed ^ (seed >> 29)
        });
        words[5] %= constants::P[5];
        blst_fp { l: words }
    };
    let values: Vec<F> = (0..VECTORS).map(|_| F::load(|_| random())).collect();
    of_ring(&format!("fp isa={isa}"), &values, operations);
    let values: Vec<Fp2<F>> = (0..VECTORS).map(|_| Fp2::load(|_| blst_fp2 { fp: [random(), random()] })).collect();
    of_ring(&format!("fp2 isa={isa}"), &values, operations);
}

fn of_ring<R: Ring>(name: &str, values: &[R], operations: &mut Vec<Operation>) {
    let mut push = |operation: &str, mut call: Call<R>| {
        let values = values.to_vec();
        operations.push(Operation {
            name: format!("{name} {operation}"),
            elements: (VECTORS * R::LANES) as u64,
            call: Box::new(move || call(black_box(&values))),
        });
    };
    let each = |operation: fn(&R, &R) -> R| -> Call<R> {
        Box::new(move |values| {
            for (a, b) in values.iter().zip(values.iter().rev()) {
                black_box(&operation(a, b));
            }
        })
    };
    push("mul", each(R::mul));
    push("sqr", each(|a, _| a.sqr()));
    push("add", each(R::add));
    push("sub", each(R::sub));
    push("tight", each(|a, _| a.tight()));
    push("is_zero", Box::new(|values| values.iter().for_each(|a| _ = black_box(a.is_zero()))));
    let mut last = values[0];
    push("mul chain", Box::new(move |values| values.iter().for_each(|a| last = last.mul(a))));
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_operation_runs() {
        for mut operation in super::field() {
            (operation.call)();
            assert!(operation.elements > 0, "{}", operation.name);
        }
    }
}
