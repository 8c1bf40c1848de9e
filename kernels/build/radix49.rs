//! Writes the AVX2 assembly of the field's lanes: 8 limbs of 49 bits in doubles, four elements side by side. What it
//! computes, and within which bounds, is told in `radix49/mod.rs`.
//!
//! Why assembly: a product of limbs takes four operations, each waiting for the one before, and the digits of a reduction
//! wait for each other. Only an order that mixes them keeps the pipes busy; compilers keep the source's order and spill.
//!
//! Columns are done two by two. While the digits of two are found, the next two take their products of limbs and what
//! earlier digits add; the scheduler mixes these two streams. Every kernel is straight-line code without calls or branches.
//!
//! Convention (System V): `rdi` is the result, `rsi` and `rdx` are operands, `rax` returns the result. All vectors are
//! 32-byte aligned. `r11` holds the table of constants, see `Table` in `radix49/kernels.rs`; the layout is agreed in the
//! module [`table`].

use crate::schedule::{Graph, Operand, Place, schedule};

const LIMBS: usize = 8;
/// Columns of a product of two elements: the last one is what the one before it carries.
const COLUMNS: usize = 2 * LIMBS;

/// Where the constants lie in the table, in vectors.
mod table {
    use super::{COLUMNS, LIMBS};

    pub const START: usize = 0;
    pub const DIGIT_START: usize = START + COLUMNS;
    pub const PRIME: usize = DIGIT_START + LIMBS;
    pub const INVERSE: usize = PRIME + LIMBS;
    pub const RECIPROCAL: usize = INVERSE + 1;
    pub const WHOLE: usize = RECIPROCAL + 1;
}

/// All kernels: file name and text.
pub fn kernels() -> Vec<(&'static str, String)> {
    vec![
        ("mul", mul()),
        ("sqr", sqr()),
        ("mul_quadratic", mul_quadratic()),
        ("sqr_quadratic", sqr_quadratic()),
        ("wide_quadratic", wide_quadratic()),
        ("reduce_quadratic", reduce_quadratic()),
        ("add", linear(&[(Linear::Add, FIRST)])),
        ("sub", linear(&[(Linear::Sub, FIRST)])),
        ("tight", linear(&[(Linear::Tight, FIRST)])),
        ("add_quadratic", linear(&[(Linear::Add, FIRST), (Linear::Add, SECOND)])),
        ("sub_quadratic", linear(&[(Linear::Sub, FIRST), (Linear::Sub, SECOND)])),
        ("nonresidue", linear(&[(Linear::Sub, ["rdi", A, SECOND_A]), (Linear::Add, [SECOND_OUT, A, SECOND_A])])),
        ("tight_quadratic", linear(&[(Linear::Tight, FIRST), (Linear::Tight, SECOND)])),
    ]
}

const A: &str = "rsi";
const B: &str = "rdx";
/// The second coordinates of the result and of the operands in the quadratic extension.
const SECOND_OUT: &str = "rdi + {stride}";
const SECOND_A: &str = "rsi + {stride}";
const SECOND_B: &str = "rdx + {stride}";

/// Where an operation on one coordinate leaves its result and finds its operands.
type Pointers = [&'static str; 3];

const FIRST: Pointers = ["rdi", A, B];
const SECOND: Pointers = [SECOND_OUT, SECOND_A, SECOND_B];

/// Vector `i` behind a pointer.
fn at(pointer: &str, i: usize) -> String {
    format!("[{pointer} + {}]", 32 * i)
}

/// Limbs or columns in memory, the lowest first.
type Vectors = Vec<Place>;

fn element(pointer: &str) -> Vectors {
    (0..LIMBS).map(|i| Place::new(at(pointer, i))).collect()
}

/// What a product's columns are sums of.
enum Factors {
    Product(Vectors, Vectors),
    /// The factor, and twice the factor.
    Square(Vectors, Vectors),
    /// Nothing: the columns are at hand.
    None,
}

/// A Montgomery product.
fn mul() -> String {
    let mut kernel = Kernel::default();
    kernel.reduce("rdi", &Factors::Product(element(A), element(B)), nothing);
    kernel.finish()
}

/// A Montgomery square: products of different limbs once, with one of them doubled.
fn sqr() -> String {
    let mut kernel = Kernel::default();
    let twice = kernel.plain(Linear::Add, &element(A), &element(A));
    kernel.reduce("rdi", &Factors::Square(element(A), twice), nothing);
    kernel.finish()
}

/// A product in the quadratic extension by Karatsuba's method: three products of columns, two reductions. The real one is
/// reduced while the second product is under way, the other one while the third is.
fn mul_quadratic() -> String {
    let mut kernel = Kernel::default();
    let low = kernel.wide(Factors::Product(element(A), element(B)));
    let mut product = Product::new(Factors::Product(element(SECOND_A), element(SECOND_B)));
    let (mut excess, mut sums) = (None, Vectors::new());
    kernel.reduce("rdi", &Factors::None, |kernel, k| {
        let high = product.columns(kernel, k);
        [0, 1]
            .map(|c| {
                let low = kernel.graph.leaf(&low[k + c]);
                let sum = kernel.graph.add(low, high[c]);
                let sum = kernel.carry_column(sum, k + c, &mut excess);
                sums.push(kernel.keep(sum));
                (Linear::Add, kernel.graph.sub(low, high[c]))
            })
            .to_vec()
    });
    let a = kernel.carried(Linear::Add, &element(A), &element(SECOND_A));
    let b = kernel.plain(Linear::Add, &element(B), &element(SECOND_B));
    kernel.reduce(SECOND_OUT, &Factors::Product(a, b), |kernel, k| {
        [k, k + 1].map(|k| (Linear::Sub, kernel.graph.leaf(&sums[k]))).to_vec()
    });
    kernel.finish()
}

/// The columns of a product in the quadratic extension, not reduced, each carried once.
fn wide_quadratic() -> String {
    let mut kernel = Kernel::default();
    let low = kernel.wide(Factors::Product(element(A), element(B)));
    let mut product = Product::new(Factors::Product(element(SECOND_A), element(SECOND_B)));
    let (mut excess, mut above, mut sums) = (None, None, Vectors::new());
    for k in (0..COLUMNS).step_by(2) {
        for (k, high) in (k..).zip(product.columns(&mut kernel, k)) {
            let low = kernel.graph.leaf(&low[k]);
            let (sum, difference) = (kernel.graph.add(low, high), kernel.graph.sub(low, high));
            let sum = kernel.carry_column(sum, k, &mut excess);
            sums.push(kernel.keep(sum));
            let real = kernel.carry_column(difference, k, &mut above);
            kernel.graph.store(real, &at("rdi", k));
        }
        kernel.close();
    }
    let a = kernel.carried(Linear::Add, &element(A), &element(SECOND_A));
    let b = kernel.plain(Linear::Add, &element(B), &element(SECOND_B));
    let mut product = Product::new(Factors::Product(a, b));
    let mut excess = None;
    for k in (0..COLUMNS).step_by(2) {
        for (k, cross) in (k..).zip(product.columns(&mut kernel, k)) {
            let sum = kernel.graph.leaf(&sums[k]);
            let rest = kernel.graph.sub(cross, sum);
            let imaginary = kernel.carry_column(rest, k, &mut excess);
            kernel.graph.store(imaginary, &at("rdi", COLUMNS + k));
        }
        kernel.close();
    }
    kernel.finish()
}

/// Two rows of columns, reduced.
fn reduce_quadratic() -> String {
    let mut kernel = Kernel::default();
    for (out, first) in [("rdi", 0), (SECOND_OUT, COLUMNS)] {
        kernel.reduce(out, &Factors::None, |kernel, k| {
            [k, k + 1].map(|k| (Linear::Add, kernel.graph.leaf(&Place::new(at(A, first + k))))).to_vec()
        });
    }
    kernel.finish()
}

/// A square in the quadratic extension: `(a0 + a1) (a0 - a1)` and `2 a0 a1`.
fn sqr_quadratic() -> String {
    let mut kernel = Kernel::default();
    let (a0, a1) = (element(A), element(SECOND_A));
    let sum = kernel.carried(Linear::Add, &a0, &a1);
    let difference = kernel.plain(Linear::Sub, &a0, &a1);
    kernel.reduce("rdi", &Factors::Product(sum, difference), nothing);
    let twice = kernel.plain(Linear::Add, &a0, &a0);
    kernel.reduce(SECOND_OUT, &Factors::Product(twice, a1), nothing);
    kernel.finish()
}

#[derive(Clone, Copy)]
enum Linear {
    Add,
    Sub,
    Tight,
}

/// Operations limb by limb, carried once.
fn linear(operations: &[(Linear, Pointers)]) -> String {
    let mut kernel = Kernel::default();
    for (kind, [out, a, b]) in operations {
        match kind {
            Linear::Tight => kernel.tight(out, &element(a)),
            kind => {
                let mut excess = None;
                for (i, (a, b)) in element(a).iter().zip(&element(b)).enumerate() {
                    let sum = kernel.limb(*kind, a, b);
                    let limb = kernel.carry_column(sum, LIMBS + i, &mut excess);
                    kernel.graph.store(limb, &at(out, i));
                }
            }
        }
        kernel.close();
    }
    kernel.finish()
}

/// A column of products: sums of upper and of lower halves.
#[derive(Clone, Copy, Default)]
struct Column {
    upper: Option<Operand>,
    lower: Option<Operand>,
    /// To be subtracted once there is something else.
    taken: Option<Operand>,
}

/// What is added to two columns or taken from them, if anything.
type Rest = Vec<(Linear, Operand)>;

fn nothing(_: &mut Kernel, _: usize) -> Rest {
    Vec::new()
}

/// The columns of a product, not reduced.
struct Product {
    factors: Factors,
    columns: [Column; COLUMNS],
}

impl Product {
    fn new(factors: Factors) -> Self {
        Self { factors, columns: [Column::default(); COLUMNS] }
    }

    /// Columns `k` and `k + 1`, each as one sum; those before are done.
    fn columns(&mut self, kernel: &mut Kernel, k: usize) -> [Operand; 2] {
        kernel.products(&mut self.columns, &self.factors, k);
        [k, k + 1].map(|k| {
            if k > 0 {
                kernel.pass_on(&mut self.columns, k - 1);
            }
            self.columns[k].lower.expect("a column has products, or takes what the one before carries")
        })
    }
}

/// The text of one kernel, while it is made.
#[derive(Default)]
struct Kernel {
    graph: Graph,
    /// Vectors of scratch on the stack, from `rsp` on.
    scratch: usize,
}

impl Kernel {
    fn constant(&mut self, i: usize) -> Operand {
        self.graph.leaf(&Place::new(at("r11", i)))
    }

    /// Puts a value on the stack.
    fn keep(&mut self, value: Operand) -> Place {
        self.scratch += 1;
        self.graph.store(value, &at("rsp", self.scratch - 1))
    }

    /// What comes next is scheduled after what was before.
    fn close(&mut self) {
        self.graph.group += 1;
        self.graph.rank += 2;
    }

    fn plus(&mut self, a: Operand, b: Option<Operand>) -> Operand {
        match b {
            Some(b) => self.graph.add(a, b),
            None => a,
        }
    }

    /// A sum of column `k` without its multiple of `2^49`, and with what the column before had in excess; its own excess
    /// is left for the next one.
    fn carry(&mut self, sum: Operand, k: usize, excess: &mut Option<Operand>) -> Operand {
        let start = self.constant(table::START + k);
        let rounded = self.graph.add(sum, start);
        let upper = self.graph.sub(rounded, start);
        let rest = self.graph.sub(sum, upper);
        let limb = self.plus(rest, *excess);
        *excess = Some(upper);
        limb
    }

    /// As [`Kernel::carry`]; the last column keeps what it has.
    fn carry_column(&mut self, sum: Operand, k: usize, excess: &mut Option<Operand>) -> Operand {
        if k < COLUMNS - 1 { self.carry(sum, k, excess) } else { self.plus(sum, *excess) }
    }

    /// The columns of a product, kept.
    fn wide(&mut self, factors: Factors) -> Vectors {
        let mut product = Product::new(factors);
        let mut out = Vectors::new();
        for k in (0..COLUMNS).step_by(2) {
            for column in product.columns(self, k) {
                out.push(self.keep(column));
            }
            self.close();
        }
        out
    }

    fn limb(&mut self, kind: Linear, a: &Place, b: &Place) -> Operand {
        let (a, b) = (self.graph.leaf(a), self.graph.leaf(b));
        match kind {
            Linear::Sub => self.graph.sub(a, b),
            _ => self.graph.add(a, b),
        }
    }

    /// A sum or difference, carried once, as a factor.
    fn carried(&mut self, kind: Linear, a: &Vectors, b: &Vectors) -> Vectors {
        let mut excess = None;
        let mut out = Vectors::new();
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            let sum = self.limb(kind, a, b);
            let limb = self.carry_column(sum, LIMBS + i, &mut excess);
            out.push(self.keep(limb));
        }
        out
    }

    /// A sum or difference without carries, as a factor.
    fn plain(&mut self, kind: Linear, a: &Vectors, b: &Vectors) -> Vectors {
        let mut out = Vectors::new();
        for (a, b) in a.iter().zip(b) {
            let sum = self.limb(kind, a, b);
            out.push(self.keep(sum));
        }
        out
    }

    /// Takes the right multiple of the prime away: the quotient is estimated from the last limb.
    fn tight(&mut self, out: &str, a: &Vectors) {
        let last = self.graph.leaf(&a[LIMBS - 1]);
        let (reciprocal, whole) = (self.constant(table::RECIPROCAL), self.constant(table::WHOLE));
        let rounded = self.graph.mul_add(last, reciprocal, whole);
        let quotient = self.graph.sub(rounded, whole);
        let mut excess = None;
        for (i, limb) in a.iter().enumerate() {
            let (limb, prime) = (self.graph.leaf(limb), self.constant(table::PRIME + i));
            let about = self.graph.negated_mul_add(quotient, prime, limb);
            if i == LIMBS - 1 {
                let limb = self.plus(about, excess);
                self.graph.store(limb, &at(out, i));
                return;
            }
            // What is carried is taken from a rounded difference; the rest of it is exact.
            let start = self.constant(table::START + LIMBS + i);
            let rounded = self.graph.add(about, start);
            let upper = self.graph.sub(rounded, start);
            let taken = self.graph.mul_add(quotient, prime, upper);
            let rest = self.graph.sub(limb, taken);
            let limb = self.plus(rest, excess);
            self.graph.store(limb, &at(out, i));
            excess = Some(upper);
        }
    }

    /// Adds a product of limbs to column `k`, exactly, in two halves.
    fn product(&mut self, columns: &mut [Column], k: usize, a: Operand, b: Operand) {
        let column = &mut columns[k];
        let rest = match column.upper {
            Some(before) => {
                let after = self.graph.mul_add(a, b, before);
                let taken = self.graph.sub(before, after);
                column.upper = Some(after);
                self.graph.mul_add(a, b, taken)
            }
            None => {
                let start = self.constant(table::START + k);
                let after = self.graph.mul_add(a, b, start);
                let upper = self.graph.sub(after, start);
                column.upper = Some(after);
                self.graph.mul_sub(a, b, upper)
            }
        };
        column.lower = Some(self.plus(rest, column.lower));
    }

    /// Adds the products of factors to columns `k` and `k + 1`, neighbours sharing a limb.
    fn products(&mut self, columns: &mut [Column], factors: &Factors, k: usize) {
        let (a, b, is_square) = match factors {
            Factors::Product(a, b) => (a, b, false),
            Factors::Square(a, twice) => (twice, a, true),
            Factors::None => return,
        };
        let leaves = |kernel: &mut Self, of: &Vectors| of.iter().map(|place| kernel.graph.leaf(place)).collect();
        let (a, b): (Vec<Operand>, Vec<Operand>) = (leaves(self, a), leaves(self, b));
        for i in 0..LIMBS {
            for c in [k + 1, k] {
                let Some(j) = c.checked_sub(i).filter(|j| *j < LIMBS) else { continue };
                match is_square {
                    true if j < i => {}
                    true if j == i => self.product(columns, c, b[i], b[i]),
                    _ => self.product(columns, c, a[i], b[j]),
                }
            }
        }
    }

    /// What a column that takes no more products carries into the next.
    fn pass_on(&mut self, columns: &mut [Column], k: usize) {
        if let Some(upper) = columns[k].upper {
            let start = self.constant(table::START + k);
            let above = self.graph.sub(upper, start);
            let next = &mut columns[k + 1];
            let sum = self.plus(above, next.lower);
            next.lower = Some(match next.taken.take() {
                Some(taken) => self.graph.sub(sum, taken),
                None => sum,
            });
        }
    }

    /// The product of factors over `R` modulo `p`, with `rest` added to or taken from columns `k` and `k + 1` of it.
    fn reduce(&mut self, out: &str, factors: &Factors, mut rest: impl FnMut(&mut Self, usize) -> Rest) {
        let mut columns = [Column::default(); COLUMNS];
        let mut digits: Vectors = Vec::new();
        let mut excess = None;
        self.take_up(&mut columns, factors, &mut rest, &digits, 0);
        for k in (0..COLUMNS).step_by(2) {
            // The next two columns, with all that does not wait for the digits of these two.
            if k + 2 < COLUMNS {
                self.graph.group += 1;
                self.graph.rank += 1;
                self.take_up(&mut columns, factors, &mut rest, &digits, k + 2);
                self.graph.group -= 1;
                self.graph.rank -= 1;
            }
            for k in [k, k + 1] {
                if k < LIMBS {
                    digits.push(self.digit(&mut columns, k));
                    continue;
                }
                if k > LIMBS {
                    self.pass_on(&mut columns, k - 1);
                }
                let sum = columns[k].lower.expect("a column has products, or takes what the one before carries");
                let limb = self.carry_column(sum, k, &mut excess);
                self.graph.store(limb, &at(out, k - LIMBS));
            }
            self.close();
        }
    }

    /// Columns `k` and `k + 1`: products, what is to be added, and what digits so far add.
    fn take_up(
        &mut self,
        columns: &mut [Column],
        factors: &Factors,
        rest: &mut impl FnMut(&mut Self, usize) -> Rest,
        digits: &Vectors,
        k: usize,
    ) {
        self.products(columns, factors, k);
        for (c, (kind, rest)) in rest(self, k).into_iter().enumerate() {
            let column = &mut columns[k + c];
            match (kind, column.lower) {
                (Linear::Sub, None) => column.taken = Some(rest),
                (Linear::Sub, Some(lower)) => column.lower = Some(self.graph.sub(lower, rest)),
                (_, lower) => column.lower = Some(self.plus(rest, lower)),
            }
        }
        let prime: Vec<Operand> = (0..LIMBS).map(|i| self.constant(table::PRIME + i)).collect();
        for (j, digit) in digits.iter().enumerate() {
            let digit = self.graph.leaf(digit);
            for c in [k + 1, k] {
                if let Some(prime) = prime.get(c - j) {
                    self.product(columns, c, digit, *prime);
                }
            }
        }
    }

    /// Clears column `k` by a multiple of the prime. Gives its digit, which later columns are to take up: from the second
    /// after the next even one on.
    fn digit(&mut self, columns: &mut [Column], k: usize) -> Place {
        let value = columns[k].lower.expect("a column has products");
        let (inverse, start) = (self.constant(table::INVERSE), self.constant(table::DIGIT_START + k));
        let rounded = self.graph.mul_add(value, inverse, start);
        let upper = self.graph.sub(rounded, start);
        let digit = self.graph.mul_sub(value, inverse, upper);
        self.pass_on(columns, k);
        // The lowest limb's product leaves a multiple of 2^49, which is exact as it is.
        let lowest = self.constant(table::PRIME);
        let cleared = self.graph.mul_add(digit, lowest, value);
        columns[k + 1].lower = Some(self.plus(cleared, columns[k + 1].lower));
        let kept = self.keep(digit);
        // The nearest column first: the next digit waits for it.
        for c in k + 1..=(k | 1) + 2 {
            let limb = self.constant(table::PRIME + c - k);
            self.product(columns, c, digit, limb);
        }
        kept
    }

    fn finish(self) -> String {
        let (text, vectors) = schedule(&self.graph, self.scratch);
        let enter = format!("mov r10, rsp\nsub rsp, {}\nand rsp, -64\n", 32 * vectors);
        let (enter, leave) = if vectors > 0 { (enter.as_str(), "mov rsp, r10\n") } else { ("", "") };
        let head = "# {stride} bytes from one coordinate to the next\nlea r11, [rip + {table}]\n";
        format!("{head}{enter}{text}{leave}mov rax, rdi\nvzeroupper\nret\n")
    }
}
