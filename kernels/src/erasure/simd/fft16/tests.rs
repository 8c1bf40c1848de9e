//! Against the plain code, for every instruction set of this CPU and the models of the others'.

use super::super::vectors::{BitMatrixModel, ByteMap, Kernel, NibbleModel};
use super::columns::{Place, places};
use super::*;
use crate::erasure::cpu::fft::Fft;
use crate::erasure::field::GF16;
use crate::erasure::{Code, Shape};

/// Plain code 16 bytes wide, as NEON is: half of what fills the low half of a run.
#[derive(Clone, Copy)]
struct Narrow;

impl Vectors for Narrow {
    const NAME: &'static str = "16 bytes in plain code";
    const WIDTH: usize = 16;
    const REGISTERS: usize = 32;
    type Vector = [u8; 16];
    type Multiplier = [[u8; 16]; 2];
    type Factor = [[u8; 16]; 2];
    type Operand = [u8; 16];

    fn detect() -> Option<Self> {
        Some(Self)
    }
    fn run<K: Kernel<Self>>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
    fn multiplier(map: &ByteMap) -> [[u8; 16]; 2] {
        [0, 4].map(|shift| std::array::from_fn(|x| map.apply((x as u8) << shift)))
    }
    fn factor(self, multiplier: &[[u8; 16]; 2]) -> [[u8; 16]; 2] {
        *multiplier
    }
    unsafe fn load(self, from: *const u8) -> [u8; 16] {
        // SAFETY: so many bytes can be read, and bytes need no alignment.
        unsafe { from.cast::<[u8; 16]>().read() }
    }
    unsafe fn store(self, to: *mut u8, vector: [u8; 16]) {
        // SAFETY: so many bytes can be written, and bytes need no alignment.
        unsafe { to.cast::<[u8; 16]>().write(vector) }
    }
    fn zero(self) -> [u8; 16] {
        [0; 16]
    }
    fn xor(self, a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
        std::array::from_fn(|i| a[i] ^ b[i])
    }
    fn operand(self, vector: [u8; 16]) -> [u8; 16] {
        vector
    }
    fn product(self, [low, high]: [[u8; 16]; 2], operand: [u8; 16]) -> [u8; 16] {
        operand.map(|byte| low[usize::from(byte & 15)] ^ high[usize::from(byte >> 4)])
    }
    fn prefetch(self, _address: *const u8) {}
}

/// Calls a generic test on every set that this CPU has, models included.
macro_rules! on_every_set {
    ($test:ident($($argument:expr),*)) => {
        $test::<NibbleModel>($($argument),*);
        $test::<BitMatrixModel>($($argument),*);
        $test::<Narrow>($($argument),*);
        on_the_cpu!($test($($argument),*));
    };
}

/// Without models, for what is slow in plain code.
macro_rules! on_the_cpu {
    ($test:ident($($argument:expr),*)) => {
        #[cfg(target_arch = "x86_64")]
        {
            $test::<super::super::vectors::Avx2>($($argument),*);
            $test::<super::super::vectors::Gfni256>($($argument),*);
        }
        #[cfg(target_arch = "aarch64")]
        $test::<super::super::vectors::Neon>($($argument),*);
    };
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// `some` of `0..all`, ascending.
    fn choose(&mut self, some: usize, all: usize) -> Vec<usize> {
        let mut left = some;
        let taken = (0..all).filter(|i| {
            let take = self.next() % ((all - i) as u64) < left as u64;
            left -= usize::from(take);
            take
        });
        taken.collect()
    }
}

/// Rows in one piece of memory, some bytes apart and not aligned, every eighth of extreme bytes.
struct Rows {
    bytes: Vec<u8>,
    stride: usize,
    len: usize,
}

impl Rows {
    fn new(random: &mut Random, count: usize, len: usize, stride: usize) -> Self {
        let mut bytes: Vec<u8> = (0..1 + count * stride).map(|_| random.next().to_le_bytes()[3]).collect();
        for (i, row) in bytes[1..].chunks_exact_mut(stride).enumerate().filter(|(i, _)| i % 8 == 7) {
            row.fill(if i % 16 == 7 { 0 } else { 0xff });
        }
        Self { bytes, stride, len }
    }

    fn get(&self) -> Vec<&[u8]> {
        self.bytes[1..].chunks_exact(self.stride).map(|row| &row[..self.len]).collect()
    }

    fn get_mut(&mut self) -> Vec<&mut [u8]> {
        self.bytes[1..].chunks_exact_mut(self.stride).map(|row| &mut row[..self.len]).collect()
    }

    /// What lies outside of the rows.
    fn between(&self) -> Vec<&[u8]> {
        let gaps = self.bytes[1..].chunks_exact(self.stride).map(|row| &row[self.len..]);
        gaps.chain([&self.bytes[..1]]).collect()
    }
}

fn points(k: u16, m: u16) -> Points {
    Points::new(&Shape::new(Code::RsFft16, k, m).unwrap()).unwrap()
}

/// Parity, and rows restored from rows that are no code word, are those of the plain code; nothing else is touched.
fn equals_plain<V: Vectors>(shapes: &[(u16, u16)], lengths: &[usize], losses: &[usize]) {
    let Some(v) = V::detect() else { return };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for &(k, m) in shapes {
        let (ours, plain) = (Fft16::new(v, points(k, m)), Fft::new(points(k, m)));
        let (k, m) = (usize::from(k), usize::from(m));
        for &len in lengths {
            let stride = if len % 64 == 2 { len } else { (len + 3).next_power_of_two() };
            let data = Rows::new(&mut random, k, len, stride);
            let [mut got, mut want] = [0, 1].map(|_| Rows::new(&mut Random(5), m, len, stride));
            plain.encode(&data.get(), &mut want.get_mut()).unwrap();
            ours.encode(&data.get(), &mut got.get_mut()).unwrap();
            assert!(got.get() == want.get(), "{}: parity of ({k}, {m}), {len} bytes", V::NAME);
            assert!(got.between() == want.between(), "{}: around parity of ({k}, {m}), {len} bytes", V::NAME);
            for &loss in losses {
                let loss = loss.min(k).min(m);
                let missing = random.choose(loss, k);
                let data_left = (0..k).filter(|i| !missing.contains(i));
                let used: Vec<usize> = data_left.chain(random.choose(loss, m).into_iter().map(|i| k + i)).collect();
                let rows = Rows::new(&mut random, k, len, stride);
                let [mut got, mut want] = [0, 1].map(|_| Rows::new(&mut Random(6), loss, len, stride));
                let erasures = Erasures { used, missing };
                plain.solve(&erasures).unwrap().restore(&rows.get(), &mut want.get_mut()).unwrap();
                ours.solve(&erasures).unwrap().restore(&rows.get(), &mut got.get_mut()).unwrap();
                assert!(got.get() == want.get(), "{}: {loss} missing of ({k}, {m}), {len} bytes", V::NAME);
                assert!(got.between() == want.between(), "{}: around {loss} of ({k}, {m}), {len} bytes", V::NAME);
            }
        }
    }
}

#[test]
fn small_shapes_of_every_class_equal_plain_code_at_every_length() {
    let lengths: Vec<usize> = (2..=200).step_by(2).collect();
    on_every_set!(equals_plain(&[(1, 1), (3, 4), (4, 3), (5, 1), (10, 4), (4, 10)], &lengths, &[1, 2, 4]));
}

#[test]
fn columns_of_many_widths_equal_plain_code() {
    let lengths = [254, 256, 258, 510, 512, 514, 576, 640, 1022, 1024, 1090, 2048];
    on_every_set!(equals_plain(&[(3, 5), (20, 7)], &lengths, &[3, 7]));
}

#[test]
fn middle_shapes_equal_plain_code() {
    let shapes = [(17, 70), (32, 32), (85, 171), (100, 30), (300, 5), (5, 300), (130, 2)];
    on_every_set!(equals_plain(&shapes, &[2, 66, 198], &[1, 20, 85]));
}

#[test]
fn large_shapes_equal_plain_code() {
    on_the_cpu!(equals_plain(&[(342, 681), (667, 1333), (1000, 10)], &[2, 70, 192], &[5, 100, 667]));
}

#[test]
fn shapes_that_fill_the_field_equal_plain_code() {
    on_the_cpu!(equals_plain(&[(21_845, 43_690), (40_000, 300)], &[2], &[40_000]));
}

/// Converts, multiplies and adds, and converts back.
struct MultiplyAdd<'a, V: Vectors> {
    tower: &'a Tower<V>,
    factor: u16,
    rows: [Vec<u8>; 2],
}

impl<V: Vectors> Kernel<V> for MultiplyAdd<'_, V> {
    /// `x + f y`, then `f y`, as low bytes and then high bytes.
    type Output = [Vec<u8>; 2];

    #[inline(always)]
    fn run(self, v: V) -> [Vec<u8>; 2] {
        use super::tower::*;
        // SAFETY: rows are two vectors long.
        let [x, y] = self.rows.each_ref().map(|row| self.tower.convert(v, unsafe { load(v, row.as_ptr()) }));
        let factor = self.tower.constant(self.factor);
        let sum = match self.factor {
            0 => multiply_add::<V, ZERO>(v, x, factor, y),
            1 => multiply_add::<V, ONE>(v, x, factor, y),
            2..256 => multiply_add::<V, BYTE>(v, x, factor, y),
            _ => multiply_add::<V, WIDE>(v, x, factor, y),
        };
        let both = multiply_add_both(v, [x, y], factor, [y, x]);
        let mut rows = [sum, multiply(v, factor, y), multiply_add::<V, WIDE>(v, x, factor, y), both[0]].map(|pair| {
            let mut row = vec![0; 2 * V::WIDTH];
            // SAFETY: the row is two vectors long.
            unsafe { store(v, row.as_mut_ptr(), self.tower.convert_back(v, pair)) };
            row
        });
        assert!(rows[0] == rows[2] && rows[0] == rows[3]);
        [std::mem::take(&mut rows[0]), std::mem::take(&mut rows[1])]
    }
}

fn multiplies<V: Vectors>() {
    let Some(v) = V::detect() else { return };
    let (tower, mut random) = (Tower::<V>::new(&GF16), Random(77));
    let factors = [0, 1, 2, 3, 127, 128, 255, 256, 257, 0x8000, 0xff00, 0xffff];
    let more: Vec<u16> = (0..200).map(|_| random.next() as u16).collect();
    for factor in factors.into_iter().chain(more) {
        let rows = [0, 1].map(|_| (0..2 * V::WIDTH).map(|_| random.next().to_le_bytes()[2]).collect::<Vec<u8>>());
        let element = |row: &[u8], i: usize| u16::from_le_bytes([row[i], row[V::WIDTH + i]]);
        let products = v.run(MultiplyAdd { tower: &tower, factor, rows: rows.clone() });
        for i in 0..V::WIDTH {
            let product = GF16.multiply(factor, element(&rows[1], i));
            assert_eq!(element(&products[0], i), element(&rows[0], i) ^ product, "{} {factor}", V::NAME);
            assert_eq!(element(&products[1], i), product, "{} {factor}", V::NAME);
        }
    }
}

#[test]
fn the_tower_multiplies_as_the_field() {
    on_every_set!(multiplies());
}

#[test]
fn places_lie_in_the_row_and_what_is_written_last_is_right() {
    for width in [16, 32] {
        for len in (64..400).step_by(2) {
            // For each byte of the row, which element it belongs to and whether it is the low byte.
            let mut want = vec![(0, false); len];
            for start in (0..len).step_by(64) {
                let half = 64.min(len - start) / 2;
                for i in 0..half {
                    want[start + i] = (start / 2 + i, true);
                    want[start + half + i] = (start / 2 + i, false);
                }
            }
            let mut got = vec![None; len];
            for Place { low, high } in places(len, width) {
                for lane in 0..width {
                    got[high + lane] = Some((high, low, lane, false));
                }
                for lane in 0..width {
                    got[low + lane] = Some((high, low, lane, true));
                }
            }
            for (at, got) in got.iter().enumerate() {
                let (high, low, lane, is_low) = got.unwrap();
                let element = want[at].0;
                assert_eq!(is_low, want[at].1, "{width} {len} {at}");
                assert_eq!((want[low + lane], want[high + lane]), ((element, true), (element, false)), "{len} {at}");
            }
        }
    }
}
