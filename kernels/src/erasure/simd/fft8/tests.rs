//! Against the oracle, for every instruction set of this CPU and both models of the others'.

use super::*;
use crate::erasure::simd::vectors::{BitMatrixModel, NibbleModel};
use crate::erasure::{Code, Shape, naive};

/// Columns repeat after so many, so the oracle computes few of them.
const PERIOD: usize = 37;

/// High rate: one to four rows of parity, whole and cut blocks, one block and several. Low rate. Full, both ways.
const SHAPES: [(u16, u16); 42] = [
    (1, 1),
    (2, 2),
    (5, 1),
    (3, 2),
    (3, 3),
    (4, 3),
    (5, 4),
    (6, 3),
    (7, 4),
    (8, 4),
    (9, 4),
    (10, 4),
    (11, 3),
    (12, 4),
    (13, 4),
    (14, 3),
    (16, 4),
    (17, 4),
    (8, 8),
    (17, 8),
    (24, 8),
    (16, 16),
    (20, 17),
    (30, 27),
    (32, 32),
    (33, 32),
    (48, 5),
    (64, 64),
    (100, 30),
    (128, 128),
    (1, 5),
    (2, 3),
    (4, 10),
    (5, 48),
    (64, 192),
    (100, 120),
    (85, 171),
    (171, 85),
    (129, 127),
    (130, 100),
    (161, 95),
    (255, 1),
];

fn shape(k: u16, m: u16) -> Shape {
    Shape::new(Code::RsFft8, k, m).unwrap()
}

fn coder<V: Vectors>(v: V, shape: &Shape) -> Fft8<V> {
    Fft8::new(v, Points::new(shape).unwrap())
}

/// One column in [`PERIOD`] is 0 and one 0xff.
fn rows(count: usize, len: usize) -> Vec<Vec<u8>> {
    let byte = |row: usize, at: usize| match at % PERIOD {
        0 => 0,
        1 => 0xff,
        at => (row * 89 + at * 57 + row * at * at).to_le_bytes()[0],
    };
    (0..count).map(|row| (0..len).map(|at| byte(row, at)).collect()).collect()
}

fn slices(rows: &[Vec<u8>]) -> Vec<&[u8]> {
    rows.iter().map(Vec::as_slice).collect()
}

fn outputs(rows: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
    rows.iter_mut().map(Vec::as_mut_slice).collect()
}

/// What the oracle makes of the columns of one period.
fn oracle(shape: &Shape, known: &[usize], wanted: &[usize]) -> Vec<Vec<u8>> {
    let rows = rows(known.len(), PERIOD);
    let known: Vec<(usize, &[u8])> = known.iter().copied().zip(slices(&rows)).collect();
    naive::extend(shape, &known, wanted)
}

fn repeats(rows: &[Vec<u8>], period: &[Vec<u8>]) -> bool {
    let same = |(row, period): (&Vec<u8>, &Vec<u8>)| row.iter().zip(period.iter().cycle()).all(|(a, b)| a == b);
    rows.len() == period.len() && rows.iter().zip(period).all(same)
}

fn lengths<V: Vectors>(shape: &Shape) -> Vec<usize> {
    if shape.total() <= 14 {
        return (1..200).chain([256, 511, 512, 513, 1023, 1024, 1025, 2500]).collect();
    }
    let unit = 2 * V::WIDTH;
    vec![1, unit - 1, unit, unit + 1, 3 * unit + 5, 1100]
}

fn encodes_as_the_oracle<V: Vectors>() {
    let Some(v) = V::detect() else { return };
    for (k, m) in SHAPES {
        let shape = shape(k, m);
        let coder = coder(v, &shape);
        let (data, parity): (Vec<usize>, Vec<usize>) = (0..shape.total()).partition(|chunk| *chunk < shape.k());
        let want = oracle(&shape, &data, &parity);
        for len in lengths::<V>(&shape) {
            let mut parity = vec![vec![0xee; len]; shape.m()];
            coder.encode(&slices(&rows(shape.k(), len)), &mut outputs(&mut parity)).unwrap();
            assert!(repeats(&parity, &want), "{} ({k}, {m}) of {len} bytes", V::NAME);
        }
    }
}

/// Any `k` rows are values of some polynomial of the code, so they need not come from an encoder.
fn restores_as_the_oracle<V: Vectors>() {
    let Some(v) = V::detect() else { return };
    for (k, m) in SHAPES {
        let shape = shape(k, m);
        let coder = coder(v, &shape);
        let (k, m) = (shape.k(), shape.m());
        let mut losses = vec![1, 2, k.min(m) / 2, k.min(m)];
        losses.retain(|lost| (1..=k.min(m)).contains(lost));
        losses.dedup();
        for lost in losses {
            // Spread out, and in a row.
            for missing in [(0..lost).map(|i| i * k / lost).collect(), (k - lost..k).collect::<Vec<usize>>()] {
                // Parity with gaps, where there is enough.
                let parity = (k..k + m).filter(|chunk| m < 2 * lost || chunk % 2 == 1).take(lost);
                let used: Vec<usize> = (0..k).filter(|chunk| !missing.contains(chunk)).chain(parity).collect();
                let erasures = Erasures { used, missing };
                let solved = coder.solve(&erasures).unwrap();
                let want = oracle(&shape, &erasures.used, &erasures.missing);
                for len in [1, 2 * V::WIDTH, 400] {
                    let mut restored = vec![vec![0xee; len]; lost];
                    solved.restore(&slices(&rows(k, len)), &mut outputs(&mut restored)).unwrap();
                    assert!(repeats(&restored, &want), "{} ({k}, {m}) without {:?}", V::NAME, erasures.missing);
                }
            }
        }
    }
}

#[test]
fn parity_is_the_oracles_at_every_length() {
    encodes_as_the_oracle::<NibbleModel>();
    encodes_as_the_oracle::<BitMatrixModel>();
    #[cfg(target_arch = "x86_64")]
    {
        use crate::erasure::simd::vectors::{Avx2, Gfni256, Gfni512};
        encodes_as_the_oracle::<Avx2>();
        encodes_as_the_oracle::<Gfni256>();
        encodes_as_the_oracle::<Gfni512>();
    }
    #[cfg(target_arch = "aarch64")]
    encodes_as_the_oracle::<crate::erasure::simd::vectors::Neon>();
}

#[test]
fn any_received_rows_give_the_missing_rows_that_the_oracle_gives() {
    restores_as_the_oracle::<NibbleModel>();
    restores_as_the_oracle::<BitMatrixModel>();
    #[cfg(target_arch = "x86_64")]
    {
        use crate::erasure::simd::vectors::{Avx2, Gfni256, Gfni512};
        restores_as_the_oracle::<Avx2>();
        restores_as_the_oracle::<Gfni256>();
        restores_as_the_oracle::<Gfni512>();
    }
    #[cfg(target_arch = "aarch64")]
    restores_as_the_oracle::<crate::erasure::simd::vectors::Neon>();
}

#[cfg(target_arch = "x86_64")]
#[test]
fn rows_at_any_alignment_and_stride_are_written_to_their_ends_and_no_further() {
    let Some(v) = crate::erasure::simd::vectors::Avx2::detect() else { return };
    for (k, m) in [(10, 4), (12, 3), (32, 32), (4, 10), (85, 171)] {
        let shape = shape(k, m);
        let coder = coder(v, &shape);
        let (data, parity): (Vec<usize>, Vec<usize>) = (0..shape.total()).partition(|chunk| *chunk < shape.k());
        let want = oracle(&shape, &data, &parity);
        for (stride, offset, len) in [(4096, 1, 1000), (2048, 31, 777), (1024, 16, 64), (521, 3, 500)] {
            let mut memory = vec![0xee; stride * shape.m()];
            let input: Vec<Vec<u8>> =
                rows(shape.k(), len).into_iter().map(|row| [&[0; 7][..], &row].concat()).collect();
            let input: Vec<&[u8]> = input.iter().map(|row| &row[7..]).collect();
            let mut output: Vec<&mut [u8]> =
                memory.chunks_mut(stride).map(|row| &mut row[offset..offset + len]).collect();
            coder.encode(&input, &mut output).unwrap();
            let got: Vec<Vec<u8>> = output.iter().map(|row| row.to_vec()).collect();
            assert!(repeats(&got, &want), "({k}, {m}) {stride} {offset} {len}");
            for row in memory.chunks(stride) {
                assert!(row[..offset].iter().chain(&row[offset + len..]).all(|byte| *byte == 0xee));
            }
        }
    }
}
