//! Writes the AVX2 assembly of the field's lanes: 14 limbs of 28 bits, four elements side by side.
//!
//! Why assembly: a product keeps 14 sums, a factor and a temporary in the 16 vector registers at once. Compilers spill
//! such code and lose a third to a half of its speed. Every kernel is straight-line code without calls or branches.
//!
//! Convention (System V): `rdi` is the result, `rsi`, `rdx`, `rcx`, `r8` are operands, `rax` returns the result. All
//! vectors are 32-byte aligned. `r11` holds the table of constants, see `Table` in `radix28/kernels.rs`; the layout is
//! agreed in the module [`table`].

use std::fmt::Write;

const LIMBS: usize = 14;
const BITS: usize = 28;

/// Where the constants lie in the table, in vectors.
mod table {
    use super::LIMBS;

    pub const LOW: usize = 0;
    pub const K: usize = 1;
    pub const RECIPROCAL: usize = 2;
    pub const PRIME: usize = 3;
    pub const M: usize = PRIME + LIMBS;
    pub const MULTIPLE_8: usize = M + LIMBS;
    pub const MULTIPLE_32: usize = MULTIPLE_8 + LIMBS;
    pub const LENT: usize = MULTIPLE_32 + LIMBS;
}

/// All kernels: file name and text.
pub fn kernels() -> Vec<(&'static str, String)> {
    vec![
        ("mul", mul()),
        ("add", linear(Linear::Add)),
        ("sub", linear(Linear::Sub(table::MULTIPLE_8))),
        ("sub_wide", linear(Linear::Sub(table::MULTIPLE_32))),
        ("tight", tight()),
    ]
}

/// The text of one kernel.
struct Asm(String);

impl Asm {
    fn new() -> Self {
        let mut asm = Self(String::new());
        asm.put("lea r11, [rip + {table}]");
        asm
    }

    fn put(&mut self, line: impl AsRef<str>) {
        writeln!(self.0, "{}", line.as_ref()).expect("a string takes all");
    }

    fn finish(mut self) -> String {
        self.put("mov rax, rdi");
        self.put("vzeroupper");
        self.put("ret");
        self.0
    }

    /// `sum += factor * memory`, through a temporary.
    fn accumulate(&mut self, sum: &str, factor: &str, memory: &str, tmp: &str) {
        self.put(format!("vpmuludq {tmp}, {factor}, {memory}"));
        self.put(format!("vpaddq {sum}, {sum}, {tmp}"));
    }
}

fn ymm(i: usize) -> String {
    format!("ymm{i}")
}

/// Vector `i` behind a pointer.
fn at(pointer: &str, i: usize) -> String {
    format!("[{pointer} + {}]", 32 * i)
}

fn constant(i: usize) -> String {
    at("r11", i)
}

/// A Montgomery product, row by row: limb `i` of one factor times the other, then the lowest sum is cleared.
fn mul() -> String {
    let mut asm = Asm::new();
    let mut t: Vec<String> = (0..LIMBS).map(ymm).collect();
    let (b, tmp) = (ymm(14), ymm(15));
    for i in 0..LIMBS {
        asm.put(format!("vmovdqa {b}, {}", at("rdx", i)));
        for (j, sum) in t.iter().enumerate() {
            if i == 0 {
                asm.put(format!("vpmuludq {sum}, {b}, {}", at("rsi", j)));
            } else {
                asm.accumulate(sum, &b, &at("rsi", j), &tmp);
            }
        }
        // The factor's register becomes the quotient's.
        if i < LIMBS - 1 {
            asm.put(format!("vpand {b}, {}, {}", t[0], constant(table::LOW)));
            asm.put(format!("vpsrlq {}, {}, {BITS}", t[0], t[0]));
            asm.put(format!("vpaddq {}, {}, {}", t[1], t[1], t[0]));
            t.rotate_left(1);
            for (j, sum) in t[..LIMBS - 1].iter().enumerate() {
                asm.accumulate(sum, &b, &constant(table::M + j), &tmp);
            }
            asm.put(format!("vpmuludq {}, {b}, {}", t[LIMBS - 1], constant(table::M + LIMBS - 1)));
        } else {
            asm.put(format!("vpmuludq {b}, {}, {}", t[0], constant(table::K)));
            asm.put(format!("vpand {b}, {b}, {}", constant(table::LOW)));
            for (j, sum) in t.iter().enumerate() {
                asm.accumulate(sum, &b, &constant(table::PRIME + j), &tmp);
            }
        }
    }
    asm.put(format!("vmovdqa {b}, {}", constant(table::LOW)));
    asm.put(format!("vpsrlq {0}, {0}, {BITS}", t[0]));
    for j in 1..LIMBS {
        asm.put(format!("vpaddq {0}, {0}, {1}", t[j], t[j - 1]));
        asm.put(format!("vpand {tmp}, {}, {b}", t[j]));
        asm.put(format!("vmovdqa {}, {tmp}", at("rdi", j - 1)));
        asm.put(format!("vpsrlq {0}, {0}, {BITS}", t[j]));
    }
    asm.put(format!("vmovdqa {}, {}", at("rdi", LIMBS - 1), t[LIMBS - 1]));
    asm.finish()
}

enum Linear {
    Add,
    /// A multiple of the prime is added to the difference.
    Sub(usize),
}

/// A sum or a difference, carried once.
fn linear(kind: Linear) -> String {
    let mut asm = Asm::new();
    carried(&mut asm, |asm, i, sum, _| {
        asm.put(format!("vmovdqa {sum}, {}", at("rsi", i)));
        match kind {
            Linear::Add => asm.put(format!("vpaddq {sum}, {sum}, {}", at("rdx", i))),
            Linear::Sub(multiple) => {
                asm.put(format!("vpaddq {sum}, {sum}, {}", constant(multiple + i)));
                asm.put(format!("vpsubq {sum}, {sum}, {}", at("rdx", i)));
            }
        }
    });
    asm.finish()
}

/// Takes the right multiple of the prime away: the quotient is estimated from the last limb.
fn tight() -> String {
    let mut asm = Asm::new();
    let q = ymm(14);
    asm.put(format!("vmovdqa {q}, {}", at("rsi", LIMBS - 1)));
    asm.put(format!("vpmuludq {q}, {q}, {}", constant(table::RECIPROCAL)));
    asm.put(format!("vpsrlq {q}, {q}, 40"));
    carried(&mut asm, |asm, i, sum, tmp| {
        asm.put(format!("vmovdqa {sum}, {}", at("rsi", i)));
        asm.put(format!("vpmuludq {tmp}, {q}, {}", constant(table::LENT + i)));
        let adds = if i < LIMBS - 1 { "vpaddq" } else { "vpsubq" };
        asm.put(format!("{adds} {sum}, {sum}, {tmp}"));
    });
    asm.finish()
}

/// Stores the limbs that `limb` computes, after one carry from each to the next.
fn carried(asm: &mut Asm, limb: impl Fn(&mut Asm, usize, &str, &str)) {
    let low = ymm(15);
    asm.put(format!("vmovdqa {low}, {}", constant(table::LOW)));
    // Four sets of registers in turn, so that no limb waits for another.
    let set = |i: usize| (ymm(i % 4 * 3), ymm(i % 4 * 3 + 1), ymm(i % 4 * 3 + 2));
    for i in 0..LIMBS {
        let (sum, above, tmp) = set(i);
        limb(asm, i, &sum, &tmp);
        if i < LIMBS - 1 {
            asm.put(format!("vpsrlq {above}, {sum}, {BITS}"));
            asm.put(format!("vpand {sum}, {sum}, {low}"));
        }
        if i > 0 {
            asm.put(format!("vpaddq {sum}, {sum}, {}", set(i - 1).1));
        }
        asm.put(format!("vmovdqa {}, {sum}", at("rdi", i)));
    }
}
