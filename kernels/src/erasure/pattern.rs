//! What an erasure pattern asks for in an additive-FFT code, solved afresh for each call in closed form.
//!
//! Let `c` be the polynomial whose values the chunks are (per byte column), `domain` a union of blocks of points that holds
//! all points of interest, `E` the points in it whose values are unknown, and `L(x)` the product of `x - e` over `E`. Then
//! `p = c L` is known on the whole domain (0 on `E`), its degree is below the size of the domain, and at `e` in `E`
//! `p'(e) = c(e) L'(e)`. Two ways lead from `p` to `p'(e)`:
//!
//! - **by transforms.** On each block `i` an inverse transform of size `block` gives coefficients `A_i`. The vanishing
//!   polynomial `s` of block 0 has a constant derivative (1 in a Cantor basis) and maps the points of block `i` to one
//!   number `y_i`, so the derivative on block `j` is the forward transform of `D(A_j) + sum over i of M_ji A_i`, with `D`
//!   the derivative of one block and `M` that of the interpolation through the `y_i`, times the slope of `s`. Only blocks
//!   with data pay an inverse transform, and only those with something missing a forward one.
//! - **by a matrix.** `c(e) = sum over received r of c(r) L(r) Z'(e) / (L'(e) (e - r) Z'(r))`, with `Z` the vanishing
//!   polynomial of the domain: cheaper while few are missing.
//!
//! `L` and `L'` at all points at once are a convolution of logarithms over exclusive-or, done by a Walsh-Hadamard transform.
//!
//! Sources: S.-J. Lin, W.-H. Chung, Y. S. Han, "Novel polynomial basis and its application to Reed-Solomon erasure codes"
//! (FOCS 2014) for the derivative in the basis of the transform; F. Didier, "Efficient erasure decoding of Reed-Solomon
//! codes" (2009) for the convolution. Restricting both to the blocks that matter follows from the product rule alone.

use super::field::Field;
use super::points::{Class, Points};

/// Most blocks of a domain: beyond, blocks are taken twice as large.
pub(crate) const MOST_BLOCKS: usize = 8;

/// A factor for a received or missing row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its place in the block.
    pub at: usize,
    /// Which of the used chunks, or of the missing ones.
    pub chunk: usize,
    /// What the row is multiplied by: on its way in by `L`, on its way out by `1 / L'`.
    pub factor: u16,
}

/// A block with received chunks.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Its first point.
    pub first: usize,
    /// Ascending by place.
    pub rows: Vec<Row>,
}

/// A block with missing data chunks.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Its first point.
    pub first: usize,
    /// The input block at the same points, if there is one: its derivative is a part of the sum.
    pub derivative: Option<usize>,
    /// A factor for each input block, 0 where it does not matter.
    pub mix: Vec<u16>,
    /// Ascending by place.
    pub rows: Vec<Row>,
}

/// The way by transforms.
#[derive(Clone, Debug)]
pub(crate) struct Transforms {
    /// Rows of a block, a power of two.
    pub block: usize,
    /// Where the received chunks go.
    pub inputs: Vec<Input>,
    /// Where the missing ones come from.
    pub outputs: Vec<Output>,
}

/// One pattern, solved as far as both ways share.
pub(crate) struct Pattern {
    field: &'static Field,
    block: usize,
    /// First points of the domain's blocks, ascending.
    domain: Vec<usize>,
    /// Logarithm of `Z'` on each of them.
    vanishing: Vec<u32>,
    /// Point and log L of each used chunk.
    used: Vec<(usize, u32)>,
    /// Point and log L' of each missing chunk.
    missing: Vec<(usize, u32)>,
}

impl Pattern {
    /// `used`: the `k` chunks to compute from; `missing`: data chunks not among them. Both ascending.
    pub(crate) fn solve(points: &Points, used: &[usize], missing: &[usize]) -> Self {
        let used: Vec<usize> = used.iter().map(|chunk| points.of(*chunk)).collect();
        let missing: Vec<usize> = missing.iter().map(|chunk| points.of(*chunk)).collect();
        let (block, domain) = domain(points, &used, &missing);
        // Points that hold 0 in every code word count as received.
        let zeros = points.zeros();
        let zeros = zeros.start..zeros.end.min(domain.len() * block);
        let end = domain.last().map_or(0, |first| first + block).next_power_of_two();
        let mut erased = vec![0i32; end];
        for first in &domain {
            erased[*first..first + block].fill(1);
        }
        for point in used.iter().copied().chain(zeros) {
            erased[point] = 0;
        }
        let field = points.field;
        let locator = log_products(field, erased);
        let with_log = |point: usize| (point, locator[point] as u32);
        let vanishing = domain
            .iter()
            .map(|i| {
                let others = domain.iter().filter(|l| *l != i);
                others.map(|l| field.log(y(field, i ^ l, block))).fold(0, |sum, log| (sum + log) % field.modulus())
            })
            .collect();
        let (used, missing) = (used.into_iter().map(with_log).collect(), missing.into_iter().map(with_log).collect());
        Self { field, block, domain, vanishing, used, missing }
    }

    /// The position in the domain of the block that holds a point.
    fn block_of(&self, point: usize) -> usize {
        // Every point asked for is in the domain.
        self.domain.partition_point(|first| *first <= point).saturating_sub(1)
    }

    /// Rows of coefficients, one for each missing chunk, one coefficient for each used one.
    pub(crate) fn matrix(&self) -> Vec<Vec<u16>> {
        let (field, modulus) = (self.field, self.field.modulus());
        let weight = |point: usize| self.vanishing[self.block_of(point)];
        let reduce = |log: u32| if log >= modulus { log - modulus } else { log };
        let used: Vec<(usize, u32)> =
            self.used.iter().map(|&(point, log)| (point, reduce(log + modulus - weight(point)))).collect();
        let row = |&(e, log): &(usize, u32)| {
            let out = reduce(weight(e) + modulus - log);
            let product = |&(r, log)| field.exp(reduce(log + out) + modulus - field.log((e ^ r) as u16));
            used.iter().map(product).collect()
        };
        self.missing.iter().map(row).collect()
    }

    /// The plan of transforms.
    pub(crate) fn transforms(&self) -> Transforms {
        let (field, modulus, block) = (self.field, self.field.modulus(), self.block);
        // Blocks lie at multiples of their size, and neighbours are mostly in one.
        let mut inputs: Vec<Input> = Vec::with_capacity(self.domain.len());
        let mut current = 0;
        for (chunk, &(point, log)) in self.used.iter().enumerate() {
            let first = point & !(block - 1);
            if inputs.get(current).is_none_or(|input| input.first != first) {
                current = inputs.iter().position(|input| input.first == first).unwrap_or(inputs.len());
            }
            if current == inputs.len() {
                inputs.push(Input { first, rows: Vec::with_capacity(block.min(self.used.len())) });
            }
            inputs[current].rows.push(Row { at: point - first, chunk, factor: field.exp(log) });
        }
        for input in &mut inputs {
            input.rows.sort_by_key(|row| row.at);
        }
        let mut outputs: Vec<Output> = Vec::new();
        for (chunk, &(point, log)) in self.missing.iter().enumerate() {
            let first = point & !(block - 1);
            let row = Row { at: point - first, chunk, factor: field.exp(modulus - log) };
            if let Some(output) = outputs.iter_mut().rfind(|output| output.first == first) {
                output.rows.push(row);
                continue;
            }
            let j = self.block_of(point);
            let slope = field.slope(block.trailing_zeros());
            let mix = inputs.iter().map(|input| {
                let i = self.block_of(input.first);
                let factor = if i == j {
                    // The sum of 1 / (y_j - y_l).
                    let others = self.domain.iter().filter(|l| **l != first);
                    others.map(|l| field.invert(y(field, first ^ l, block))).fold(0, |sum, term| sum ^ term)
                } else {
                    let distance = field.log(y(field, first ^ input.first, block));
                    field.exp(self.vanishing[j] + 2 * modulus - self.vanishing[i] - distance)
                };
                field.multiply(slope, factor)
            });
            let mix = mix.collect();
            let derivative = inputs.iter().position(|input| input.first == first);
            let mut rows = Vec::with_capacity(block.min(self.missing.len()));
            rows.push(row);
            outputs.push(Output { first, derivative, mix, rows });
        }
        Transforms { block, inputs, outputs }
    }

    /// Row products of the way by a matrix.
    pub(crate) fn matrix_products(&self) -> usize {
        self.used.len() * self.missing.len()
    }
}

impl Transforms {
    /// Row products of this way, not counting what sparse blocks save.
    pub(crate) fn products(&self) -> usize {
        let transform = self.block / 2 * self.block.trailing_zeros() as usize;
        let inputs = self.inputs.iter().map(|input| transform + input.rows.len());
        let mixed = |output: &Output| output.mix.iter().filter(|factor| **factor > 1).count() * self.block;
        let outputs = self.outputs.iter().map(|output| transform + output.rows.len() + mixed(output));
        inputs.chain(outputs).sum()
    }
}

/// The number to which the vanishing polynomial of block 0 maps a point (or, being linear, a difference of points).
fn y(field: &Field, point: usize, block: usize) -> u16 {
    field.vanishing(block.trailing_zeros(), point)
}

/// About the row products of the way by transforms, before anything is solved.
pub(crate) fn transform_products(points: &Points, used: &[usize], missing: &[usize]) -> usize {
    let end = points.data().end.max(points.parity().end);
    let block = points.block.max(end.div_ceil(MOST_BLOCKS).next_power_of_two());
    // Chunks ascend, and so do their points but for one step back.
    let blocks = |chunks: &[usize]| {
        let mut last = usize::MAX;
        chunks.iter().fold(0, |count, chunk| {
            let first = points.of(*chunk) & !(block - 1);
            count + usize::from(std::mem::replace(&mut last, first) != first)
        })
    };
    let (inputs, outputs) = (blocks(used), blocks(missing));
    let transform = block / 2 * block.trailing_zeros() as usize;
    let mixed = if inputs > 1 { inputs * block } else { 0 };
    inputs * transform + used.len() + outputs * (transform + mixed) + missing.len()
}

/// Block size and first points of the blocks that hold all that matters.
fn domain(points: &Points, used: &[usize], missing: &[usize]) -> (usize, Vec<usize>) {
    let mut block = points.block;
    loop {
        let mut domain: Vec<usize> = match points.class {
            // The degree is bounded relative to a power of two of points only.
            Class::HighRate => (0..points.data().end.next_power_of_two()).step_by(block).collect(),
            Class::LowRate | Class::Full => {
                let mut domain = Vec::with_capacity(2 * MOST_BLOCKS);
                for first in used.iter().chain(missing).map(|point| point & !(block - 1)) {
                    if domain.last() != Some(&first) {
                        domain.push(first);
                    }
                }
                domain
            }
        };
        // Chunks ascend, so few are left to sort.
        domain.sort_unstable();
        domain.dedup();
        if domain.len() <= MOST_BLOCKS {
            return (block, domain);
        }
        block *= 2;
    }
}

/// For each point `x` the logarithm of the product of `x - e` over all `e` marked by 1 but `x` itself.
fn log_products(field: &Field, mut marked: Vec<i32>) -> Vec<i32> {
    let (bits, size) = (field.bits(), marked.len());
    walsh_hadamard(bits, &mut marked);
    let modulus = field.modulus();
    for (value, log) in marked.iter_mut().zip(field.log_spectrum(size)) {
        // Both are at most the modulus.
        let product = (*value as u32).wrapping_mul(*log as u32);
        let once = (product >> bits) + (product & modulus);
        *value = ((once >> bits) + (once & modulus)) as i32;
    }
    walsh_hadamard(bits, &mut marked);
    // 2^bits is 1: dividing by the size is multiplying by its cofactor.
    let shift = bits - size.trailing_zeros();
    for value in &mut marked {
        let log = (*value as u32) << shift;
        let log = (log >> bits) + (log & modulus);
        *value = (if log >= modulus { log - modulus } else { log }) as i32;
    }
    marked
}

/// To a representative in `0..2^bits` modulo `2^bits - 1`. Magnitudes up to `2^(2 bits)`.
#[inline(always)]
fn fold(bits: u32, value: i32) -> i32 {
    let modulus = (1 << bits) - 1;
    let once = (value >> bits) + (value & modulus);
    let twice = (once >> bits) + (once & modulus);
    twice + (modulus & twice >> 31)
}

/// Values that are transformed side by side.
const LANES: usize = 8;

/// The unnormalised transform, its own inverse but for a division by the size. Results are in `0..2^bits`.
/// At most `2^bits` values, a power of two, of magnitudes up to that.
pub(super) fn walsh_hadamard(bits: u32, values: &mut [i32]) {
    let fold_all = |values: &mut [i32]| values.iter_mut().for_each(|value| *value = fold(bits, *value));
    let (groups, rest) = values.as_chunks_mut::<LANES>();
    let mut distance = 1;
    while distance < rest.len() {
        for pair in rest.chunks_exact_mut(2 * distance) {
            let (a, b) = pair.split_at_mut(distance);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        distance *= 2;
    }
    for group in groups.iter_mut() {
        let [a, b, c, d, e, f, g, h] = *group;
        let [a, b, c, d, e, f, g, h] = [a + b, a - b, c + d, c - d, e + f, e - f, g + h, g - h];
        let [a, b, c, d, e, f, g, h] = [a + c, b + d, a - c, b - d, e + g, f + h, e - g, f - h];
        *group = [a + e, b + f, c + g, d + h, a - e, b - f, c - g, d - h];
    }
    // Magnitudes double with each layer, and 30 bits are enough for 14 of the wide field.
    let (mut distance, mut layers) = (LANES, 3);
    while distance < values.len() {
        if layers > 12 {
            fold_all(values);
            layers = 0;
        }
        if values.len() / distance == 2 {
            let (a, b) = values.split_at_mut(distance);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        } else {
            for part in values.chunks_exact_mut(4 * distance) {
                let (low, high) = part.split_at_mut(2 * distance);
                let ((a, b), (c, d)) = (low.split_at_mut(distance), high.split_at_mut(distance));
                for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                    let (sum, difference, sum2, difference2) = (*a + *b, *a - *b, *c + *d, *c - *d);
                    (*a, *b, *c, *d) = (sum + sum2, difference + difference2, sum - sum2, difference - difference2);
                }
            }
        }
        distance *= 4;
        layers += 2;
    }
    fold_all(values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_the_sum_with_signs_at_every_size() {
        for (bits, sizes) in [(8, 0..=8), (16, 0..=16)] {
            let modulus = (1i64 << bits) - 1;
            for size in sizes.map(|log| 1usize << log) {
                let random = |i: usize| (i.wrapping_mul(0x9e37_79b9) >> 7) as i32 & modulus as i32;
                let inputs: [&dyn Fn(usize) -> i32; 3] = [&random, &|_| 1 << bits, &|i| (1 << bits) >> (i & 1)];
                for input in inputs {
                    let mut values: Vec<i32> = (0..size).map(input).collect();
                    walsh_hadamard(bits, &mut values);
                    for at in [0, 1, 2, 5, 8, 63, 64, 1000, size / 2, size - 1].into_iter().filter(|at| *at < size) {
                        let sign = |i: usize| 1 - 2 * i64::from((i & at).count_ones() & 1);
                        let sum: i64 = (0..size).map(|i| sign(i) * i64::from(input(i))).sum();
                        assert!((0..=modulus).contains(&i64::from(values[at])), "{bits} {size} {at}");
                        assert_eq!(i64::from(values[at]) % modulus, sum.rem_euclid(modulus), "{bits} {size} {at}");
                    }
                }
            }
        }
    }
}
