//! The field arithmetic of `bls/simd/field/radix52` as a bare program for an emulated CPU: the product's own files, with
//! AVX-512 IFMA, no std, no system. `scripts/emulate-ifma.sh` builds and runs it; `run.py` judges its results.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use core::arch::{asm, global_asm};

#[path = "../src/bls/simd/field"]
mod field {
    #[allow(dead_code)]
    mod prime;
    pub mod radix52 {
        pub mod arithmetic;
        #[allow(dead_code)]
        pub mod vector;
    }
}

use field::radix52::arithmetic::{self as fp, Limbs};
use field::radix52::vector::Avx512;

/// 8 lanes of 8 limbs.
type Rows = [[u64; 8]; 8];

/// The operands of one case: two elements of the quadratic extension.
#[repr(C)]
pub struct Case {
    a: [Rows; 2],
    b: [Rows; 2],
}

/// What `run.py` expects, in its order.
#[repr(C)]
pub struct Results {
    values: [Rows; 14],
    /// The lanes of `a[0]` that are zero, and of `a[0] - a[0]`.
    zero: [u64; 2],
}

/// Chosen lanes come from `a[0]`.
const MASK: u8 = 0b1010_0110;

fn vectors(rows: &Rows) -> Limbs<Avx512> {
    fp::from_rows(rows.each_ref())
}

/// # Safety
/// `cases` and `results` hold `count` items.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _start(cases: *const Case, results: *mut Results, count: usize) -> ! {
    for i in 0..count {
        // SAFETY: the loader laid out that many.
        let (case, out) = unsafe { (&*cases.add(i), &mut *results.add(i)) };
        let (a0, a1) = (&vectors(&case.a[0]), &vectors(&case.a[1]));
        let (b0, b1) = (&vectors(&case.b[0]), &vectors(&case.b[1]));
        let tight = fp::tight(b0);
        let product = fp::mul_quadratic([a0, a1], [b0, b1]);
        let square = fp::sqr_quadratic([a0, a1]);
        let values = [
            &tight,
            &fp::add(a0, b0),
            &fp::sub(a0, &tight),
            &fp::sub_wide(a0, b0),
            &fp::mul(a0, b0),
            &fp::mul_constant(a0, &case.b[0][0]),
            &fp::sqr(a0),
            &fp::select(MASK, a0, b0),
            &fp::splat(&case.a[0][0]),
            a0,
            &product[0],
            &product[1],
            &square[0],
            &square[1],
        ];
        for (rows, value) in out.values.iter_mut().zip(values) {
            *rows = fp::to_rows(value);
        }
        out.zero = [fp::is_zero(a0).into(), fp::is_zero(&fp::sub_wide(a0, a0)).into()];
    }
    // SAFETY: stops the emulated CPU.
    unsafe { asm!("hlt", options(noreturn)) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: an undefined instruction is what `run.py` reports.
    unsafe { asm!("ud2", options(noreturn)) }
}

// What the compiler calls to copy and clear; no C library is here.
global_asm!(
    ".globl memcpy, memset",
    "memcpy: mov rax, rdi; mov rcx, rdx; rep movsb; ret",
    "memset: mov r8, rdi; mov eax, esi; mov rcx, rdx; rep stosb; mov rax, r8; ret",
);
