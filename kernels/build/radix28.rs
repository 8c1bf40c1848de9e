//! Writes the AVX2 assembly of the field's lanes: 14 limbs of 28 bits, four elements side by side.
//!
//! Why assembly: a product keeps 14 sums, a factor and a temporary in the 16 vector registers at once. Compilers spill
//! such code and lose a third to a half of its speed. Every kernel is straight-line code without calls or branches.
//!
//! Convention (System V): `rdi` is the result, `rsi` and `rdx` are operands, `rax` returns the result. All
//! vectors are 32-byte aligned. `r11` holds the table of constants, see `Table` in `radix28/kernels.rs`; the layout is
//! agreed in the module [`table`].

use std::fmt::Write;

const LIMBS: usize = 14;
const BITS: usize = 28;

/// Where the constants lie in the table, in vectors.
mod table {
    use super::LIMBS;

    pub const LOW: usize = 0;
    pub const RECIPROCAL: usize = 1;
    pub const K: usize = 2;
    pub const PRIME: usize = 4;
    pub const MULTIPLE_8: usize = PRIME + LIMBS;
    pub const MULTIPLE_32: usize = MULTIPLE_8 + LIMBS;
    pub const COMPLEMENT: usize = MULTIPLE_32 + LIMBS;
    pub const M_BLOCKS: usize = COMPLEMENT + LIMBS;
    pub const SQUARE: usize = M_BLOCKS + super::BLOCKS.len() * LIMBS;
}

/// All kernels: file name and text.
pub fn kernels() -> Vec<(&'static str, String)> {
    vec![
        ("mul", mul()),
        ("sqr", sqr()),
        ("mul_quadratic", mul_quadratic()),
        ("sqr_quadratic", sqr_quadratic()),
        ("wide_quadratic", wide_quadratic()),
        ("reduce", reduce_columns()),
        ("add", each(Linear::Add, &[FIRST])),
        ("sub", each(Linear::Sub(table::MULTIPLE_8), &[FIRST])),
        ("sub_wide", each(Linear::Sub(table::MULTIPLE_32), &[FIRST])),
        ("tight", tight(&[FIRST])),
        ("add_quadratic", each(Linear::Add, &[FIRST, SECOND])),
        ("sub_quadratic", each(Linear::Sub(table::MULTIPLE_8), &[FIRST, SECOND])),
        ("sub_wide_quadratic", each(Linear::Sub(table::MULTIPLE_32), &[FIRST, SECOND])),
        ("nonresidue", nonresidue(table::MULTIPLE_8)),
        ("nonresidue_wide", nonresidue(table::MULTIPLE_32)),
        ("tight_quadratic", tight(&[FIRST, SECOND])),
    ]
}

/// The text of one kernel.
struct Asm(String);

impl Asm {
    fn new() -> Self {
        let mut asm = Self(String::new());
        asm.put("# {stride} bytes from one coordinate to the next");
        asm.put("lea r11, [rip + {table}]");
        asm
    }

    fn put(&mut self, line: impl AsRef<str>) {
        writeln!(self.0, "{}", line.as_ref()).expect("a string takes all");
    }

    /// Takes vectors of scratch from the stack; they start at `rsp`.
    fn enter(&mut self, vectors: usize) {
        self.put("mov r10, rsp");
        self.put(format!("sub rsp, {}", 32 * vectors));
        self.put("and rsp, -64");
    }

    fn leave(&mut self) {
        self.put("mov rsp, r10");
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

/// Half of the limbs: one level of Karatsuba's method.
const HALF: usize = LIMBS / 2;
/// Columns of a product of two elements.
const COLUMNS: usize = 2 * LIMBS - 1;
/// So many limbs are cleared at once, block after block, by multiples of `p` that are `1` modulo the block's power of two;
/// then so many by `-1/p`.
const BLOCKS: [usize; 4] = [6, 3, 2, 1];
const FINAL: usize = 2;

/// An element or a row of columns in memory: a pointer, and where it starts behind it, in vectors.
#[derive(Clone, Copy)]
struct Place(&'static str, usize);

impl Place {
    fn at(self, i: usize) -> String {
        at(self.0, self.1 + i)
    }
}

/// The second coordinates of the result and of the operands in the quadratic extension.
const SECOND_OUT: &str = "rdi + {stride}";
const SECOND_A: &str = "rsi + {stride}";
const SECOND_B: &str = "rdx + {stride}";

/// A Montgomery product.
fn mul() -> String {
    let mut asm = Asm::new();
    asm.enter(COLUMNS);
    let columns = Place("rsp", 0);
    multiply(&mut asm, columns, Place("rsi", 0), Place("rdx", 0));
    reduce(&mut asm, Place("rdi", 0), columns);
    asm.leave();
    asm.finish()
}

/// A Montgomery square.
fn sqr() -> String {
    let mut asm = Asm::new();
    asm.enter(COLUMNS);
    let columns = Place("rsp", 0);
    square(&mut asm, columns, Place("rsi", 0));
    reduce(&mut asm, Place("rdi", 0), columns);
    asm.leave();
    asm.finish()
}

/// A product in the quadratic extension: three products of columns, two reductions.
fn mul_quadratic() -> String {
    let mut asm = Asm::new();
    asm.enter(3 * COLUMNS + 2 * LIMBS);
    let (a0, a1, b0, b1) = (Place("rsi", 0), Place(SECOND_A, 0), Place("rdx", 0), Place(SECOND_B, 0));
    let [low, high, cross] = [0, 1, 2].map(|i| Place("rsp", i * COLUMNS));
    let [a, b] = [0, 1].map(|i| Place("rsp", 3 * COLUMNS + i * LIMBS));
    sum(&mut asm, a, a0, a1);
    sum(&mut asm, b, b0, b1);
    multiply(&mut asm, low, a0, b0);
    multiply(&mut asm, high, a1, b1);
    multiply(&mut asm, cross, a, b);
    reduce_quadratic(&mut asm, low, high, cross);
    asm.leave();
    asm.finish()
}

/// The columns of a product in the quadratic extension, not reduced: those of the real coordinate may be below zero.
fn wide_quadratic() -> String {
    let mut asm = Asm::new();
    asm.enter(2 * COLUMNS + 2 * LIMBS);
    let (a0, a1, b0, b1) = (Place("rsi", 0), Place(SECOND_A, 0), Place("rdx", 0), Place(SECOND_B, 0));
    let [low, high] = [0, 1].map(|i| Place("rsp", i * COLUMNS));
    let [a, b] = [0, 1].map(|i| Place("rsp", 2 * COLUMNS + i * LIMBS));
    let [real, imaginary] = [0, 1].map(|i| Place("rdi", i * COLUMNS));
    sum(&mut asm, a, a0, a1);
    sum(&mut asm, b, b0, b1);
    multiply(&mut asm, low, a0, b0);
    multiply(&mut asm, high, a1, b1);
    multiply(&mut asm, imaginary, a, b);
    for k in 0..COLUMNS {
        let set = 3 * (k % 5);
        let (l, h, c) = (ymm(set), ymm(set + 1), ymm(set + 2));
        asm.put(format!("vmovdqa {l}, {}", low.at(k)));
        asm.put(format!("vmovdqa {h}, {}", high.at(k)));
        asm.put(format!("vmovdqa {c}, {}", imaginary.at(k)));
        asm.put(format!("vpsubq {c}, {c}, {l}"));
        asm.put(format!("vpsubq {l}, {l}, {h}"));
        asm.put(format!("vpsubq {c}, {c}, {h}"));
        asm.put(format!("vmovdqa {}, {l}", real.at(k)));
        asm.put(format!("vmovdqa {}, {c}", imaginary.at(k)));
    }
    asm.leave();
    asm.finish()
}

/// The reduction by itself. It spoils the columns.
fn reduce_columns() -> String {
    let mut asm = Asm::new();
    reduce(&mut asm, Place("rdi", 0), Place("rsi", 0));
    asm.finish()
}

/// A square in the quadratic extension, by three squares of columns.
fn sqr_quadratic() -> String {
    let mut asm = Asm::new();
    asm.enter(3 * COLUMNS + LIMBS);
    let (a0, a1) = (Place("rsi", 0), Place(SECOND_A, 0));
    let [low, high, cross] = [0, 1, 2].map(|i| Place("rsp", i * COLUMNS));
    let a = Place("rsp", 3 * COLUMNS);
    sum(&mut asm, a, a0, a1);
    square(&mut asm, low, a0);
    square(&mut asm, high, a1);
    square(&mut asm, cross, a);
    reduce_quadratic(&mut asm, low, high, cross);
    asm.leave();
    asm.finish()
}

/// A sum without carries.
fn sum(asm: &mut Asm, out: Place, a: Place, b: Place) {
    for i in 0..LIMBS {
        let limb = ymm(i);
        asm.put(format!("vmovdqa {limb}, {}", a.at(i)));
        asm.put(format!("vpaddq {limb}, {limb}, {}", b.at(i)));
        asm.put(format!("vmovdqa {}, {limb}", out.at(i)));
    }
}

/// Karatsuba's method for the extension: `low - high` and `cross - low - high`, reduced.
fn reduce_quadratic(asm: &mut Asm, low: Place, high: Place, cross: Place) {
    for k in 0..COLUMNS {
        let set = 3 * (k % 5);
        let (l, h, c) = (ymm(set), ymm(set + 1), ymm(set + 2));
        asm.put(format!("vmovdqa {l}, {}", low.at(k)));
        asm.put(format!("vmovdqa {h}, {}", high.at(k)));
        asm.put(format!("vmovdqa {c}, {}", cross.at(k)));
        asm.put(format!("vpsubq {c}, {c}, {l}"));
        asm.put(format!("vpaddq {l}, {l}, {}", constant(table::SQUARE + k)));
        asm.put(format!("vpsubq {c}, {c}, {h}"));
        asm.put(format!("vpsubq {l}, {l}, {h}"));
        asm.put(format!("vmovdqa {}, {l}", low.at(k)));
        asm.put(format!("vmovdqa {}, {c}", cross.at(k)));
    }
    reduce(asm, Place("rdi", 0), low);
    reduce(asm, Place(SECOND_OUT, 0), cross);
}

/// The columns of a product.
fn multiply(asm: &mut Asm, columns: Place, a: Place, b: Place) {
    karatsuba(asm, columns, |asm, part, begun, done| {
        half(asm, |asm, i, to| part.load(asm, a, i, to), |asm, i, to| part.load(asm, b, i, to), begun, done);
    });
}

/// The columns of a square.
fn square(asm: &mut Asm, columns: Place, a: Place) {
    karatsuba(asm, columns, |asm, part, begun, done| {
        half_square(asm, |asm, i, to| part.load(asm, a, i, to), begun, done);
    });
}

/// Half of an element's limbs.
#[derive(Clone, Copy)]
enum Part {
    Low,
    High,
    Sum,
}

impl Part {
    fn load(self, asm: &mut Asm, place: Place, i: usize, to: &str) {
        let offset = if matches!(self, Part::High) { HALF } else { 0 };
        asm.put(format!("vmovdqa {to}, {}", place.at(offset + i)));
        if matches!(self, Part::Sum) {
            asm.put(format!("vpaddq {to}, {to}, {}", place.at(HALF + i)));
        }
    }
}

/// Looks at a column's register, to write instructions about it.
type See<'a> = &'a dyn Fn(&mut Asm, usize, &str);

/// The columns of a product by one level of Karatsuba's method: with `a = l + h 2^196`, the middle is
/// `(al + ah)(bl + bh) - al bl - ah bh`. Three products of 7 limbs, 147 in all instead of 196. `product` writes one.
fn karatsuba(asm: &mut Asm, columns: Place, product: impl Fn(&mut Asm, Part, See, See)) {
    let nothing: See = &|_, _, _| {};
    // The low product, in its place.
    product(asm, Part::Low, nothing, &|asm, k, column| asm.put(format!("vmovdqa {}, {column}", columns.at(k))));
    // The high product; of its lower part, only the upper part of the low product minus it is needed, twice.
    product(asm, Part::High, nothing, &|asm, k, column| {
        if k < HALF - 1 {
            let tmp = ymm(15);
            asm.put(format!("vmovdqa {tmp}, {}", columns.at(HALF + k)));
            asm.put(format!("vpsubq {column}, {tmp}, {column}"));
        }
        asm.put(format!("vmovdqa {}, {column}", columns.at(LIMBS + k)));
    });
    product(
        asm,
        Part::Sum,
        &|asm, k, column| {
            let (first, second, sign) = match k {
                0..6 => (columns.at(k), columns.at(LIMBS + k), "vpaddq"),
                6 => (columns.at(k), columns.at(LIMBS + k), "vpsubq"),
                _ => (columns.at(HALF + k), columns.at(LIMBS + k), "vpsubq"),
            };
            asm.put(format!("vpsubq {column}, {column}, {first}"));
            asm.put(format!("{sign} {column}, {column}, {second}"));
        },
        &|asm, k, column| asm.put(format!("vmovdqa {}, {column}", columns.at(HALF + k))),
    );
}

/// A product of 7 limbs by 7: one factor in registers, the other limb by limb. `begun` and `done` see each of the 13
/// columns after its first product and after its last.
fn half(asm: &mut Asm, a: impl Fn(&mut Asm, usize, &str), b: impl Fn(&mut Asm, usize, &str), begun: See, done: See) {
    let column = |k: usize| ymm(HALF + k % HALF);
    let (factor, tmp) = (ymm(14), ymm(15));
    for j in 0..HALF {
        a(asm, j, &ymm(j));
    }
    for i in 0..HALF {
        b(asm, i, &factor);
        for j in 0..HALF {
            if i == 0 || j == HALF - 1 {
                asm.put(format!("vpmuludq {}, {factor}, {}", column(i + j), ymm(j)));
                begun(asm, i + j, &column(i + j));
            } else {
                asm.accumulate(&column(i + j), &factor, &ymm(j), &tmp);
            }
            if j == 0 {
                done(asm, i, &column(i));
            }
        }
    }
    for k in HALF..2 * HALF - 1 {
        done(asm, k, &column(k));
    }
}

/// A square of 7 limbs, as [`half`]: 28 products, those of different limbs with one of them doubled.
fn half_square(asm: &mut Asm, a: impl Fn(&mut Asm, usize, &str), begun: See, done: See) {
    let column = |k: usize| ymm(HALF + k % HALF);
    let (factor, tmp) = (ymm(14), ymm(15));
    for j in 0..HALF {
        a(asm, j, &ymm(j));
    }
    for i in 0..HALF {
        asm.put(format!("vpaddq {factor}, {0}, {0}", ymm(i)));
        for j in i..HALF {
            let k = i + j;
            let by = if i == j { ymm(i) } else { factor.clone() };
            if i == 0 || j == HALF - 1 {
                asm.put(format!("vpmuludq {}, {by}, {}", column(k), ymm(j)));
                begun(asm, k, &column(k));
            } else {
                asm.accumulate(&column(k), &by, &ymm(j), &tmp);
            }
            if j <= i + 1 {
                done(asm, k, &column(k));
            }
        }
    }
}

/// Columns below `2^63`, divided by `R` modulo `p`. See `radix28/mod.rs` for the blocks of limbs and what they add.
///
/// Within a block, the quotient's limbs stay in registers and those of its constant pass by. Columns are done one after
/// the other, so that the next block's quotient is carried long before this block ends.
fn reduce(asm: &mut Asm, out: Place, columns: Place) {
    let (tmp, carry, low) = (ymm(13), ymm(14), ymm(15));
    asm.put(format!("vmovdqa {low}, {}", constant(table::LOW)));
    // The first quotient: the lowest limbs, carried.
    for i in 0..BLOCKS[0] {
        let q = ymm(i);
        asm.put(format!("vmovdqa {q}, {}", columns.at(i)));
        if i > 0 {
            asm.put(format!("vpaddq {q}, {q}, {carry}"));
        }
        asm.put(format!("vpsrlq {carry}, {q}, {BITS}"));
        asm.put(format!("vpand {q}, {q}, {low}"));
    }
    let mut start = 0;
    for (n, &block) in BLOCKS.iter().enumerate() {
        let next = start + block;
        // What the next block makes its quotient of; of the last one, the highest limb keeps what it carries.
        let (quotient, last) = match BLOCKS.get(n + 1) {
            Some(block) => (next..next + block, false),
            None => (next..next + FINAL, true),
        };
        if n > 0 {
            for i in 0..block {
                asm.put(format!("vmovdqa {}, {}", ymm(i), columns.at(start + i)));
            }
        }
        let mut carrying = n == 0;
        scan(asm, block, next, table::M_BLOCKS + n * LIMBS, columns, |asm, k, column| {
            if carrying {
                asm.put(format!("vpaddq {column}, {column}, {carry}"));
            }
            carrying = quotient.contains(&k) && !(last && k + 1 == quotient.end);
            if carrying {
                asm.put(format!("vpsrlq {carry}, {column}, {BITS}"));
                asm.put(format!("vpand {column}, {column}, {low}"));
            }
            asm.put(format!("vmovdqa {}, {column}", columns.at(k)));
        });
        start = next;
    }
    // The last quotient, by -1/p: two limbs at once.
    let (q, u) = ([ymm(0), ymm(1)], [ymm(2), ymm(3)]);
    asm.put(format!("vmovdqa {}, {}", u[0], columns.at(start)));
    asm.put(format!("vmovdqa {}, {}", u[1], columns.at(start + 1)));
    asm.put(format!("vpmuludq {}, {}, {}", q[0], u[0], constant(table::K)));
    asm.put(format!("vpmuludq {}, {}, {}", q[1], u[0], constant(table::K + 1)));
    asm.put(format!("vpmuludq {tmp}, {}, {}", u[1], constant(table::K)));
    asm.put(format!("vpsrlq {carry}, {}, {BITS}", q[0]));
    asm.put(format!("vpand {0}, {0}, {low}", q[0]));
    asm.put(format!("vpaddq {0}, {0}, {tmp}", q[1]));
    asm.put(format!("vpaddq {0}, {0}, {carry}", q[1]));
    asm.put(format!("vpand {0}, {0}, {low}", q[1]));
    scan(asm, FINAL, start, table::PRIME, columns, |asm, k, column| {
        if k > start {
            asm.put(format!("vpaddq {column}, {column}, {carry}"));
        }
        asm.put(format!("vpsrlq {carry}, {column}, {BITS}"));
        if k >= LIMBS {
            asm.put(format!("vpand {column}, {column}, {low}"));
            asm.put(format!("vmovdqa {}, {column}", out.at(k - LIMBS)));
        }
    });
    asm.put(format!("vmovdqa {}, {carry}", out.at(LIMBS - 1)));
}

/// Adds the product of the quotient in the first registers and a constant to the columns from `start` on; `done` sees
/// each column after its last product, in order.
fn scan(
    asm: &mut Asm,
    block: usize,
    start: usize,
    by: usize,
    columns: Place,
    mut done: impl FnMut(&mut Asm, usize, &str),
) {
    let column = |k: usize| ymm(6 + k % block);
    let (factor, tmp) = (ymm(12), ymm(13));
    for j in 0..LIMBS {
        asm.put(format!("vmovdqa {factor}, {}", constant(by + j)));
        for i in 0..block {
            let k = start + i + j;
            asm.put(format!("vpmuludq {tmp}, {factor}, {}", ymm(i)));
            let before = if j == 0 || i == block - 1 { columns.at(k) } else { column(k) };
            asm.put(format!("vpaddq {}, {tmp}, {before}", column(k)));
            if i == 0 {
                done(asm, k, &column(k));
            }
        }
    }
    for k in start + LIMBS..start + LIMBS + block - 1 {
        done(asm, k, &column(k));
    }
}

#[derive(Clone, Copy)]
enum Linear {
    Add,
    /// A multiple of the prime is added to the difference.
    Sub(usize),
}

/// Where an operation on one coordinate finds its operands and leaves its result.
type Places = [&'static str; 3];

const FIRST: Places = ["rdi", "rsi", "rdx"];
const SECOND: Places = [SECOND_OUT, SECOND_A, SECOND_B];

/// Sums and differences, carried once.
fn linear(operations: &[(Linear, Places)]) -> String {
    let mut asm = Asm::new();
    for (kind, [out, a, b]) in operations {
        carried(&mut asm, out, |asm, i, sum, _| {
            asm.put(format!("vmovdqa {sum}, {}", at(a, i)));
            match kind {
                Linear::Add => asm.put(format!("vpaddq {sum}, {sum}, {}", at(b, i))),
                Linear::Sub(multiple) => {
                    asm.put(format!("vpaddq {sum}, {sum}, {}", constant(multiple + i)));
                    asm.put(format!("vpsubq {sum}, {sum}, {}", at(b, i)));
                }
            }
        });
    }
    asm.finish()
}

/// The same operation on one or both coordinates.
fn each(kind: Linear, places: &[Places]) -> String {
    linear(&places.iter().map(|places| (kind, *places)).collect::<Vec<_>>())
}

/// `(a0 + a1 i) (1 + i)`.
fn nonresidue(multiple: usize) -> String {
    linear(&[(Linear::Sub(multiple), ["rdi", "rsi", SECOND_A]), (Linear::Add, [SECOND_OUT, "rsi", SECOND_A])])
}

/// Takes the right multiple of the prime away: the quotient is estimated from the last limb.
fn tight(places: &[Places]) -> String {
    let mut asm = Asm::new();
    let q = ymm(14);
    for [out, a, _] in places {
        asm.put(format!("vmovdqa {q}, {}", at(a, LIMBS - 1)));
        asm.put(format!("vpmuludq {q}, {q}, {}", constant(table::RECIPROCAL)));
        asm.put(format!("vpsrlq {q}, {q}, 40"));
        carried(&mut asm, out, |asm, i, sum, tmp| {
            asm.put(format!("vmovdqa {sum}, {}", at(a, i)));
            let into = if i < LIMBS - 1 { "vpaddq" } else { "vpsubq" };
            asm.put(format!("vpmuludq {tmp}, {q}, {}", constant(table::COMPLEMENT + i)));
            asm.put(format!("{into} {sum}, {sum}, {tmp}"));
        });
    }
    asm.finish()
}

/// Stores the limbs that `limb` computes, after one carry from each to the next.
fn carried(asm: &mut Asm, out: &str, limb: impl Fn(&mut Asm, usize, &str, &str)) {
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
        asm.put(format!("vmovdqa {}, {sum}", at(out, i)));
    }
}
