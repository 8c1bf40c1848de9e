//! Bytes as a program for a machine of four registers, run on every field beside blst: any formula, at any bounds.
//!
//! Registers hold elements of the quadratic extension, so that both rings are under test. Before an operation that its
//! operands' bounds forbid, they are made tight; the machine keeps its own account, by the documentation of [`Ring`].

use blst::{blst_fp, blst_fp2};

use super::*;

/// A function of blst over the base field or its extension.
pub(super) type Binary<T> = unsafe extern "C" fn(*mut T, *const T, *const T);
/// As [`Binary`], of one element.
pub(super) type Unary<T> = unsafe extern "C" fn(*mut T, *const T);

pub(super) fn binary<T: Copy + Default>(f: Binary<T>, a: &[T], b: &[T]) -> Vec<T> {
    let of = |(a, b): (&T, &T)| {
        let mut out = T::default();
        // SAFETY: the function reads two elements and writes one.
        unsafe { f(&mut out, a, b) };
        out
    };
    a.iter().zip(b).map(of).collect()
}

pub(super) fn unary<T: Copy + Default>(f: Unary<T>, a: &[T]) -> Vec<T> {
    let of = |a: &T| {
        let mut out = T::default();
        // SAFETY: the function reads one element and writes one.
        unsafe { f(&mut out, a) };
        out
    };
    a.iter().map(of).collect()
}

pub(super) fn stored<R: Ring>(value: &R) -> Vec<R::Scalar> {
    let mut lanes = vec![R::Scalar::default(); R::LANES];
    value.store(&mut lanes);
    lanes
}

/// The lanes that are zero.
pub(super) fn zeros<T: Default + PartialEq>(lanes: &[T]) -> Mask {
    lanes.iter().enumerate().fold(0, |mask, (lane, value)| mask | Mask::from(*value == T::default()) << lane)
}

/// Runs the bytes as a program on every field of this processor.
///
/// # Panics
///
/// Where a field differs from blst.
pub fn field(program: &[u8]) {
    if Fp49::available() {
        Machine::<Fp49>::new(program).run();
    }
    Machine::<Fp52<Emulated>>::new(program).run();
    #[cfg(target_arch = "x86_64")]
    if Fp52::<Avx512>::available() {
        Machine::<Fp52<Avx512>>::new(program).run();
    }
}

/// Most operations of one program.
const STEPS: usize = 100;

#[derive(Clone)]
struct Register<F> {
    value: Fp2<F>,
    model: Vec<blst_fp2>,
    bound: u32,
}

impl<F: Field> Register<F> {
    /// A `limit` of 2 or more, in units of the prime.
    fn fit(mut self, limit: u32) -> Self {
        if self.bound > limit {
            self.value = self.value.tight();
            self.bound = 2;
        }
        self
    }
}

struct Machine<'a, F> {
    program: &'a [u8],
    registers: [Register<F>; 4],
}

impl<'a, F: Field> Machine<'a, F> {
    fn new(program: &'a [u8]) -> Self {
        let zero = Register { value: Fp2::zero(), model: vec![blst_fp2::default(); F::LANES], bound: 1 };
        Self { program, registers: [zero.clone(), zero.clone(), zero.clone(), zero] }
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.program.split_first() else { return 0 };
        self.program = rest;
        *first
    }

    /// An edge, a power of two or any element, as blst's form.
    fn element(&mut self) -> blst_fp {
        let mut words = [0; 6];
        match self.byte() {
            0 => {}
            1 => words = constants::power_of_two(384),
            2 => {
                words = constants::P;
                words[0] -= 1;
            }
            kind @ 3..128 => words[kind as usize % 6] = 1 << (kind / 6),
            128.. => words = std::array::from_fn(|_| u64::from_le_bytes(std::array::from_fn(|_| self.byte()))),
        }
        words[5] &= (1 << 61) - 1;
        blst_fp { l: constants::reduce(words) }
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            if self.program.is_empty() {
                break;
            }
            let (operation, places) = (self.byte(), self.byte());
            let [to, a, b, _] = std::array::from_fn(|i| usize::from(places >> (2 * i) & 3));
            let (a, b) = (self.registers[a].clone(), self.registers[b].clone());
            let result = self.step(operation, a, b);
            assert!(stored(&result.value) == result.model, "operation {operation} gave a wrong value");
            assert_eq!(result.value.is_zero(), zeros(&result.model), "operation {operation}");
            self.registers[to] = result;
        }
    }

    fn step(&mut self, operation: u8, a: Register<F>, b: Register<F>) -> Register<F> {
        let made = |value, model, bound| Register { value, model, bound };
        let zero = vec![blst_fp2::default(); F::LANES];
        match operation % 16 {
            0 => {
                let few: [blst_fp2; 3] = std::array::from_fn(|_| blst_fp2 { fp: [self.element(), self.element()] });
                let order = u16::from_le_bytes([self.byte(), self.byte()]);
                let model: Vec<_> = (0..F::LANES).map(|lane| few[usize::from(order >> (2 * lane) & 3) % 3]).collect();
                made(Fp2::load(|lane| model[lane]), model, 3)
            }
            1 => {
                let (a, b) = if a.bound + b.bound > 128 { (a.fit(2), b.fit(2)) } else { (a, b) };
                made(a.value.add(&b.value), binary(blst::blst_fp2_add, &a.model, &b.model), a.bound + b.bound)
            }
            2 => {
                let (a, b) = (a.fit(120), b.fit(7));
                made(a.value.sub(&b.value), binary(blst::blst_fp2_sub, &a.model, &b.model), a.bound + 8)
            }
            3 => {
                let (a, b) = (a.fit(96), b.fit(31));
                made(a.value.sub_wide(&b.value), binary(blst::blst_fp2_sub, &a.model, &b.model), a.bound + 32)
            }
            4 | 5 => {
                let (a, b) = if a.bound * b.bound > 1024 { (a.fit(2), b.fit(2)) } else { (a, b) };
                made(a.value.mul(&b.value), binary(blst::blst_fp2_mul, &a.model, &b.model), 3)
            }
            6 => {
                let a = a.fit(32);
                made(a.value.sqr(), unary(blst::blst_fp2_sqr, &a.model), 3)
            }
            7 => made(a.value.tight(), a.model, 2),
            8 => {
                let a = a.fit(7);
                made(a.value.neg(), binary(blst::blst_fp2_sub, &zero, &a.model), 9)
            }
            9 => {
                let a = a.fit(64);
                made(a.value.double(), binary(blst::blst_fp2_add, &a.model, &a.model), 2 * a.bound)
            }
            kind @ (10 | 11) => {
                let wide = kind == 10;
                let a = a.fit(if wide { 31 } else { 7 });
                let one = blst_fp { l: constants::power_of_two(384) };
                let nonresidue = vec![blst_fp2 { fp: [one, one] }; F::LANES];
                let model = binary(blst::blst_fp2_mul, &a.model, &nonresidue);
                let value = if wide { a.value.mul_by_nonresidue_wide() } else { a.value.mul_by_nonresidue() };
                made(value, model, (a.bound + if wide { 32 } else { 8 }).max(2 * a.bound))
            }
            12 => {
                let (a, b) = if a.bound * b.bound > 1024 { (a.fit(2), b.fit(2)) } else { (a, b) };
                let model = binary(blst::blst_fp2_mul, &a.model, &firsts(&b.model));
                made(a.value.scale(&b.value.c0), model, 3)
            }
            13 => {
                let a = a.fit(32);
                let model = binary(blst::blst_fp2_mul, &a.model, &conjugates(&a.model));
                made(Fp2 { c0: a.value.norm(), c1: F::zero() }, model, 6)
            }
            14 => {
                let mask = self.byte() & F::ALL;
                let model = (0..F::LANES).map(|i| if mask >> i & 1 == 1 { a.model[i] } else { b.model[i] }).collect();
                made(Fp2::select(mask, &a.value, &b.value), model, a.bound.max(b.bound))
            }
            _ if self.byte() < 128 => {
                let mut packed = vec![<Fp2<F> as Ring>::Packed::default(); F::LANES];
                a.value.pack(&mut packed);
                made(Fp2::unpack(|lane| &packed[lane]), a.model, 3)
            }
            _ => {
                let a = a.fit(21);
                made(a.value.invert(), unary(blst::blst_fp2_eucl_inverse, &a.model), 9)
            }
        }
    }
}

pub(super) fn conjugates(lanes: &[blst_fp2]) -> Vec<blst_fp2> {
    let opposite = |value: &blst_fp| binary(blst::blst_fp_sub, &[blst_fp::default()], &[*value])[0];
    lanes.iter().map(|lane| blst_fp2 { fp: [lane.fp[0], opposite(&lane.fp[1])] }).collect()
}

/// The first coordinates alone.
fn firsts(lanes: &[blst_fp2]) -> Vec<blst_fp2> {
    lanes.iter().map(|lane| blst_fp2 { fp: [lane.fp[0], blst_fp::default()] }).collect()
}
