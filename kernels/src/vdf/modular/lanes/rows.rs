//! The inner loop in AVX2 and FMA, by hand.
//!
//! A product is two multiply-adds on two pipes and two additions on two others. 4 columns with two chains of upper halves
//! each, their lower halves, one digit of `a`, one copy and a window of two digits of `b` fill the 16 registers; the other
//! two digits of the window come from memory, where there are loads to spare. The compiler keeps all of the window in
//! registers, and with one chain a column the latency of a multiply-add, 4 or 5 cycles, bounds a row of 4 products.

use std::arch::asm;

use super::doubles::Avx2;
use super::vector::Tile;

/// One product of a row, of the digits in `ymm12` and `$b`: into the chain in register `$h`, and into `$l`.
macro_rules! product {
    ($h:literal, $l:literal, $b:expr) => {
        concat!(
            "vmovapd ymm13, ymm",
            $h,
            "\n",
            "vfmadd231pd ymm",
            $h,
            ", ymm12, ",
            $b,
            "\n",
            "vsubpd ymm13, ymm13, ymm",
            $h,
            "\n",
            "vfmadd231pd ymm13, ymm12, ",
            $b,
            "\n",
            "vaddpd ymm",
            $l,
            ", ymm",
            $l,
            ", ymm13\n",
        )
    };
}

/// Two rows, by offsets of their digits of `a` and of the window of `b`: two registers, that take turns, and memory.
macro_rules! two_rows {
    ($a0:literal, $a1:literal, $b3:literal, $b2:literal, $b1:literal, $b0:literal, $bm:literal) => {
        concat!(
            "vmovapd ymm12, [{a} + ",
            $a0,
            "]\n",
            "vmovapd ymm14, [{b} + ",
            $b0,
            "]\n",
            product!("0", "8", "ymm14"),
            product!("1", "9", "ymm15"),
            product!("2", "10", concat!("[{b} + ", $b2, "]")),
            product!("3", "11", concat!("[{b} + ", $b3, "]")),
            "vmovapd ymm12, [{a} + ",
            $a1,
            "]\n",
            "vmovapd ymm15, [{b} + ",
            $bm,
            "]\n",
            product!("4", "8", "ymm15"),
            product!("5", "9", "ymm14"),
            product!("6", "10", concat!("[{b} + ", $b1, "]")),
            product!("7", "11", concat!("[{b} + ", $b2, "]")),
        )
    };
}

/// The compiler keeps the window of `b` in registers too, and then has none for the second chain of upper halves,
/// without which the latency of one multiplication bounds the loop.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn rows(tile: &mut Tile<Avx2>, a: *const Avx2, b: *const Avx2, rows: usize) {
    let [e0, e1, e2, e3] = &mut tile.even;
    let [o0, o1, o2, o3] = &mut tile.odd;
    let [l0, l1, l2, l3] = &mut tile.low;
    // SAFETY: rows go by four, from the third if there are but two of the first four.
    unsafe {
        asm!(
            "vmovapd ymm15, [{b} + 32]",
            "test {rows:l}, 2",
            "je 2f",
            "sub {a}, 64",
            "add {b}, 64",
            "add {rows}, 2",
            "jmp 3f",
            ".p2align 5",
            "2:",
            two_rows!("0", "32", "96", "64", "32", "0", "-32"),
            "3:",
            two_rows!("64", "96", "32", "0", "-32", "-64", "-96"),
            "add {a}, 128",
            "sub {b}, 128",
            "sub {rows}, 4",
            "jne 2b",
            a = inout(reg) a => _,
            b = inout(reg) b => _,
            rows = inout(reg) rows => _,
            inout("ymm0") e0.0,
            inout("ymm1") e1.0,
            inout("ymm2") e2.0,
            inout("ymm3") e3.0,
            inout("ymm4") o0.0,
            inout("ymm5") o1.0,
            inout("ymm6") o2.0,
            inout("ymm7") o3.0,
            inout("ymm8") l0.0,
            inout("ymm9") l1.0,
            inout("ymm10") l2.0,
            inout("ymm11") l3.0,
            out("ymm12") _,
            out("ymm13") _,
            out("ymm14") _,
            out("ymm15") _,
            options(readonly, nostack),
        )
    }
}
