//! Squaring and multiplication in Montgomery form with BMI2 and ADX.
//!
//! Everything is a multiple of eight limbs, so that one subroutine, [`steps::mul_add_chunks`], does all products of
//! eight limbs by many: 64 `mulx` feeding two carry chains, with a window of eight accumulators in registers.
//!
//! A modulus of `8b` limbs is eliminated in blocks of eight limbs. With `k = -N^-1 mod 2^512`, the low eight limbs of
//! `k N` are all ones, so `(V + q k N) / 2^512 = (V >> 512) + q M` where `q = V mod 2^512` and `M = (k N + 1) / 2^512
//! <= N`: the quotient is the value's own low limbs and costs neither a product nor latency. (Montgomery's reduction,
//! Math. Comp. 44 (1985), by a multiple of the modulus.) Each such step adds less than `2^512 N` to the value, which
//! the next step divides away, and the last block has to use `N` itself. For 32 limbs the first step takes 16 limbs in
//! the same way, since then halves save products ([`halves::square_and_fold`]).
//!
//! So `T < R^2` becomes less than `T / R + 3 N`, and a multiple of `N` read off the top limb brings that below `R`: the
//! largest `j <= 3` that the top limb proves to fit. For `N < R / 16` none is needed: below `4 N` goes to below
//! `(16 / 16 + 3) N`.

use std::arch::naked_asm;
use std::mem::MaybeUninit;

use halves::{square_and_fold, square_halves};
use steps::{mul_add_chunks, reduce, square_plain};

use super::MAX_LIMBS;
use super::wide::{add_multiple, less, negative_inverse, subtract};

#[macro_use]
mod blocks;
mod halves;
mod steps;

/// Limbs of scratch: a product, and [`square_halves`]' three quarters of one. [`square_and_fold`] takes fewer.
const SCRATCH: usize = 7 * MAX_LIMBS / 2;

/// The width that [`square_and_fold`] is for.
const FOLDED: usize = 32;

/// What the kernels read. They reach the fields by offset: keep the order.
#[repr(C)]
struct Context {
    /// The modulus.
    modulus: *const u64,
    /// `(k N + 1) / 2^512`.
    multiple: *const u64,
    /// `-j N mod R` for `j` of 0 to 3.
    negatives: *const u64,
    /// Bytes of the modulus: a multiple of 64.
    bytes: u64,
    /// `-N^-1 mod 2^64`.
    inverse: u64,
    /// `floor((2^124 - 1) / (top limb + 1))`, or 0 where the top limb is below `2^60`: then nothing is taken away.
    reciprocal: u64,
    /// `ceil(j N / R)` for `j` of 0 to 3.
    borrows: [u64; 4],
    /// For 32 limbs `(k N + 1) / 2^1024` with `k = -N^-1 mod 2^1024`.
    folded: *const u64,
    /// For each 16 limbs of that, lower half less upper half: eight limbs of magnitude, then -1 if negative or 0.
    differences: *const u64,
}

/// Squares `value` in place `count` times, in Montgomery form; every value is below `R`.
///
/// # Safety
///
/// The processor has BMI2 and ADX. `value` holds `context.bytes` bytes and `scratch` [`SCRATCH`] limbs, set or not,
/// apart from each other; the context's pointers hold as many as their comments say.
#[unsafe(naked)]
unsafe extern "sysv64" fn square_times(value: *mut u64, context: *const Context, scratch: *mut u64, count: u64) {
    naked_asm!(
        "test rcx, rcx",
        "jz 9f",
        prologue!(),
        "mov [rsp + 8], rdi",
        "mov [rsp + 16], rsi",
        "mov [rsp + 24], rdx",
        "mov [rsp + 32], rcx",
        "2:",
        "mov rsi, [rsp + 8]",
        "mov rax, [rsp + 16]",
        "mov rdx, [rax + 24]",
        "mov rdi, [rsp + 24]",
        "cmp rdx, 256",
        "jb 3f",
        "je 5f",
        "test rdx, 64",
        "jnz 3f",
        "call {halves}",
        "jmp 4f",
        "3:",
        "call {plain}",
        "4:",
        "mov rbp, [rsp + 24]",
        "xor edx, edx",
        "jmp 6f",
        "5:",
        "mov rdx, rax",
        "call {fold}",
        "6:",
        "call {reduce}",
        "dec qword ptr [rsp + 32]",
        "jnz 2b",
        epilogue!(),
        "9:",
        "ret",
        plain = sym square_plain,
        halves = sym square_halves,
        fold = sym square_and_fold,
        reduce = sym reduce,
    )
}

/// `output = left * right` in Montgomery form; every value is below `R`. `output` may be either operand.
///
/// # Safety
///
/// As of [`square_times`], for the three values.
#[unsafe(naked)]
unsafe extern "sysv64" fn multiply(
    output: *mut u64,
    context: *const Context,
    scratch: *mut u64,
    left: *const u64,
    right: *const u64,
) {
    naked_asm!(
        prologue!(),
        "mov [rsp + 8], rdi",
        "mov [rsp + 16], rsi",
        "mov [rsp + 24], rdx",
        "mov [rsp + 40], r8",
        "mov rbp, rcx",
        "mov rax, [rsi + 24]",
        "lea rcx, [r8 + rax]",
        "mov [rsp], rcx",
        "lea rcx, [rbp + rax]",
        "mov [rsp + 48], rcx",
        "mov [rsp + 56], rdx",
        "mov rdi, rdx",
        "pxor xmm0, xmm0",
        "3:",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "movups [rdi + 32], xmm0",
        "movups [rdi + 48], xmm0",
        "add rdi, 64",
        "sub rax, 64",
        "jnz 3b",
        "4:",
        "mov rsi, [rsp + 40]",
        "mov rdi, [rsp + 56]",
        window_clear!(),
        "xor ecx, ecx",
        "call {chunks}",
        window_finish!(),
        "add qword ptr [rsp + 56], 64",
        "add rbp, 64",
        "cmp rbp, [rsp + 48]",
        "jne 4b",
        "mov rbp, [rsp + 24]",
        "xor edx, edx",
        "call {reduce}",
        epilogue!(),
        chunks = sym mul_add_chunks,
        reduce = sym reduce,
    )
}

/// What the kernels need of a modulus beyond itself.
#[derive(Clone, Default)]
pub struct Tables {
    multiple: Vec<u64>,
    negatives: Vec<u64>,
    borrows: [u64; 4],
    reciprocal: u64,
    folded: Vec<u64>,
    differences: Vec<u64>,
}

impl Tables {
    /// For a modulus of a multiple of eight limbs.
    pub fn new(modulus: &[u64]) -> Self {
        let width = modulus.len();
        let top = modulus[width - 1];
        let mut this = Self { multiple: multiple(modulus, 8), ..Self::default() };
        // With N < R / 16 values stay below 4 N by themselves.
        if top >> 60 != 0 {
            this.reciprocal = (((1 << 124) - 1) / (u128::from(top) + 1)) as u64;
        }
        if width == FOLDED {
            this.folded = multiple(modulus, 16);
            for part in this.folded.chunks_exact(16) {
                let (low, high) = part.split_at(8);
                let negative = less(high, low);
                let (mut more, fewer) = if negative { (low.to_vec(), high) } else { (high.to_vec(), low) };
                subtract(&mut more, fewer);
                this.differences.append(&mut more);
                this.differences.push(if negative { u64::MAX } else { 0 });
            }
        }
        let mut negative = vec![0; width];
        let mut count = 0;
        for borrows in &mut this.borrows {
            this.negatives.extend_from_slice(&negative);
            *borrows = count;
            count += u64::from(subtract(&mut negative, modulus));
        }
        this
    }

    /// `value^(2^count)`.
    pub fn square_times(&self, modulus: &[u64], inverse: u64, value: &mut [u64], count: u64) {
        let mut scratch = MaybeUninit::<[u64; SCRATCH]>::uninit();
        let context = self.context(modulus, inverse);
        assert!(value.len() == modulus.len() && modulus.len() <= MAX_LIMBS);
        // SAFETY: tables exist only where the processor has BMI2 and ADX; the lengths are as asserted here and in
        // `context`.
        unsafe { square_times(value.as_mut_ptr(), &context, scratch.as_mut_ptr().cast(), count) }
    }

    /// `value * other`.
    pub fn multiply(&self, modulus: &[u64], inverse: u64, value: &mut [u64], other: &[u64]) {
        let mut scratch = MaybeUninit::<[u64; SCRATCH]>::uninit();
        let context = self.context(modulus, inverse);
        assert!(value.len() == modulus.len() && other.len() == modulus.len() && modulus.len() <= MAX_LIMBS);
        let value = value.as_mut_ptr();
        // SAFETY: as in `square_times`; the kernel writes its output last, so it may be an operand.
        unsafe { multiply(value, &context, scratch.as_mut_ptr().cast(), value, other.as_ptr()) }
    }

    fn context(&self, modulus: &[u64], inverse: u64) -> Context {
        let width = modulus.len();
        assert!(width > 0 && width.is_multiple_of(8));
        assert!(self.multiple.len() == width && self.negatives.len() == 4 * width);
        assert!(width != FOLDED || self.folded.len() == width && self.differences.len() == 9 * width / 16);
        Context {
            modulus: modulus.as_ptr(),
            multiple: self.multiple.as_ptr(),
            negatives: self.negatives.as_ptr(),
            bytes: 8 * width as u64,
            inverse,
            reciprocal: self.reciprocal,
            borrows: self.borrows,
            folded: self.folded.as_ptr(),
            differences: self.differences.as_ptr(),
        }
    }
}

/// `(k N + 1) / 2^(64 limbs)` with `k = -N^-1 mod 2^(64 limbs)`.
fn multiple(modulus: &[u64], limbs: usize) -> Vec<u64> {
    let width = modulus.len();
    let inverse = negative_inverse(modulus[0]);
    let mut sum = vec![0u64; width + limbs];
    sum[0] = 1;
    for index in 0..limbs {
        let limb = sum[index].wrapping_mul(inverse);
        sum[index + width] = add_multiple(&mut sum[index..index + width], modulus, limb);
    }
    sum.split_off(limbs)
}
