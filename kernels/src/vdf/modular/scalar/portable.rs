//! Squaring and multiplication in Montgomery form in plain Rust: squares with each product of two different limbs made
//! once, then the reduction limb by limb.

use super::MAX_LIMBS;
use super::wide::{add_multiple, less, subtract};

/// `value^(2^count)`; every value is below `R`.
pub fn square_times(modulus: &[u64], inverse: u64, value: &mut [u64], count: u64) {
    let mut scratch = [0; 2 * MAX_LIMBS];
    let product = &mut scratch[..2 * modulus.len()];
    for _ in 0..count {
        square(product, value);
        reduce(modulus, inverse, product, value);
    }
}

/// `value * other`; every value is below `R`.
pub fn multiply(modulus: &[u64], inverse: u64, value: &mut [u64], other: &[u64]) {
    let mut scratch = [0; 2 * MAX_LIMBS];
    let width = modulus.len();
    let product = &mut scratch[..2 * width];
    for (index, &limb) in value.iter().enumerate() {
        product[index + width] = add_multiple(&mut product[index..index + width], other, limb);
    }
    reduce(modulus, inverse, product, value);
}

fn square(product: &mut [u64], value: &[u64]) {
    let width = value.len();
    product[..width].fill(0);
    for (index, &limb) in value.iter().enumerate() {
        product[index + width] = add_multiple(&mut product[2 * index + 1..index + width], &value[index + 1..], limb);
    }
    let (mut bit, mut carry) = (0, 0);
    for (pair, &limb) in product.chunks_exact_mut(2).zip(value) {
        let low = pair[0] << 1 | bit;
        let high = pair[1] << 1 | pair[0] >> 63;
        bit = pair[1] >> 63;
        let square = u128::from(limb) * u128::from(limb);
        let sum = u128::from(low) + u128::from(square as u64) + u128::from(carry);
        pair[0] = sum as u64;
        let sum = u128::from(high) + (square >> 64) + (sum >> 64);
        pair[1] = sum as u64;
        carry = (sum >> 64) as u64;
    }
}

/// `output = product / R mod N`, below `R`: `product < R^2` gives less than `R + N` before the subtraction.
fn reduce(modulus: &[u64], inverse: u64, product: &mut [u64], output: &mut [u64]) {
    let width = modulus.len();
    let mut carry = 0;
    for index in 0..width {
        let quotient = product[index].wrapping_mul(inverse);
        let high = add_multiple(&mut product[index..index + width], modulus, quotient);
        let sum = u128::from(product[index + width]) + u128::from(high) + u128::from(carry);
        product[index + width] = sum as u64;
        carry = (sum >> 64) as u64;
    }
    output.copy_from_slice(&product[width..]);
    if carry != 0 || !less(output, modulus) {
        subtract(output, modulus);
    }
}
