//! Transforms written out as a list of steps over rows, made once for a shape or for an erasure pattern.
//!
//! The transforms are those of `cpu/fft.rs`, with three differences: several layers of butterflies are one step, so that
//! rows stay in registers between layers; what is known to be zero is not computed with; and what nobody asks for is not
//! computed. Steps follow the recursion depth first, so the rows of one subtree stay in the first cache.

use crate::erasure::field::Field;

/// How the rows of a step's butterflies meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Values to coefficients.
    Inverse,
    /// Coefficients to values.
    Forward,
    /// Values on one block to coefficients to values on the block of the first points, in one step.
    Across,
}

/// Butterflies of `log2(radix)` layers on each of `count` groups of `radix` rows; group `r` has the rows `r + stride * i`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Butterflies {
    pub direction: Direction,
    /// 2, 4 or 8.
    pub radix: u8,
    pub count: u16,
    pub stride: u16,
    pub from: u16,
    pub to: u16,
    /// Where rows outside the buffer will be met next, and whether only in the next column.
    pub ahead: Option<(u16, bool)>,
    /// As a binary heap: the layer of one twiddle at 1, that of two at 2 and so on. Going across, they are the inverse's.
    pub twiddles: [u8; 8],
}

/// One step. Rows are positions in [`Plan::places`].
#[derive(Clone, Debug)]
pub(super) enum Step {
    Butterflies(Butterflies),
    /// `to = add + factor * from` for `count` rows in turn; without `add`, `to = factor * from`.
    Combine {
        to: u16,
        add: Option<u16>,
        from: u16,
        factor: u8,
        count: u16,
    },
    Mix(Mix),
}

/// Row `j` of `block` becomes the sum of row `j` of each input times its factor, and of row `j` of a derivative: the sum of
/// the rows whose number has one bit more than `j`.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    pub block: u16,
    pub to: u16,
    pub derivative: Option<u16>,
    pub inputs: Vec<(u16, u8)>,
}

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the buffer.
    Work(u16),
    /// A row to read.
    Input(u16),
    /// A row to write.
    Output(u16),
    /// Reads as 0.
    Zero,
    /// Written and forgotten.
    Unwanted,
}

/// Steps and the rows that they mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// Whose points the rows stand for, unless those of a Cantor basis.
    pub basis: Option<&'static Field>,
    pub steps: Vec<Step>,
    pub places: Vec<Place>,
    /// Rows of the buffer.
    pub work: u16,
    /// Steps that read inputs, and steps that write outputs.
    outside: [Ends; 2],
}

/// Of the steps of one kind, the row of the first one and the number of the last one so far.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    first: Option<u16>,
    last: Option<u16>,
}

impl Plan {
    /// With room for so many steps and places.
    pub(super) fn with_capacity(steps: usize, places: usize) -> Self {
        Self { steps: Vec::with_capacity(steps), places: Vec::with_capacity(places), ..Self::default() }
    }

    /// Products of a row and a factor.
    pub(super) fn products(&self) -> usize {
        let products = |step: &Step| match step {
            Step::Butterflies(step) => {
                let transform = usize::from(step.count) * usize::from(step.radix / 2) * step.radix.ilog2() as usize;
                if step.direction == Direction::Across { 2 * transform } else { transform }
            }
            Step::Combine { factor, count, .. } => usize::from(*factor > 1) * usize::from(*count),
            Step::Mix(mix) => mix.inputs.len() * usize::from(mix.block),
        };
        self.steps.iter().map(products).sum()
    }

    /// `count` rows of the buffer; the first of them.
    pub(super) fn work(&mut self, count: usize) -> usize {
        let first = self.work;
        self.work += count as u16;
        self.rows((first..self.work).map(Place::Work))
    }

    /// Rows at the places given; the first of them.
    pub(super) fn rows(&mut self, places: impl IntoIterator<Item = Place>) -> usize {
        let first = self.places.len();
        self.places.extend(places);
        first
    }

    /// Ends the plan: after the last rows outside the buffer come the first ones of the next column.
    pub(super) fn finish(&mut self) {
        for [first, last] in self.outside.map(|ends| [ends.first, ends.last]) {
            if let (Some(first), Some(last)) = (first, last) {
                self.look_ahead(last, first, true);
            }
        }
    }

    /// Tells a step where rows outside the buffer will be met next.
    fn look_ahead(&mut self, step: u16, row: u16, next_column: bool) {
        if let Some(Step::Butterflies(step)) = self.steps.get_mut(usize::from(step)) {
            step.ahead = Some((row, next_column));
        }
    }

    fn butterflies(&mut self, direction: Direction, from: usize, to: usize, first: usize, size: usize, radix: usize) {
        let stride = size / radix;
        for (at, row) in [from, to].into_iter().enumerate() {
            let outside = matches!((at, self.places[row]), (0, Place::Input(_)) | (1, Place::Output(_)));
            if outside {
                let (row, step) = (row as u16, self.steps.len() as u16);
                if let Some(last) = self.outside[at].last.replace(step) {
                    self.look_ahead(last, row, false);
                }
                self.outside[at].first.get_or_insert(row);
            }
        }
        self.steps.push(Step::Butterflies(Butterflies {
            direction,
            radix: radix as u8,
            count: stride as u16,
            stride: stride as u16,
            from: from as u16,
            to: to as u16,
            ahead: None,
            twiddles: twiddles(self.basis, first, stride, radix),
        }));
    }

    /// `to = add + factor * from`.
    pub(super) fn combine(&mut self, to: usize, add: Option<usize>, from: usize, factor: u8, count: usize) {
        let add = add.map(|row| row as u16);
        if factor != 0 || add != Some(to as u16) {
            self.steps.push(Step::Combine { to: to as u16, add, from: from as u16, factor, count: count as u16 });
        }
    }

    /// The values on the block from `first` on to coefficients at `to`; values not `live` are 0. False if all are.
    pub(super) fn inverse(&mut self, from: usize, to: usize, first: usize, live: &[bool]) -> bool {
        let size = live.len();
        if !live.contains(&true) {
            return false;
        }
        match size {
            1 => self.combine(to, None, from, 1, 1),
            2 | 4 => self.butterflies(Direction::Inverse, from, to, first, size, size),
            _ => {
                let parts = self.inverse_parts(from, to, first, live, radix(size));
                self.join(to, first, size, &parts);
            }
        }
        true
    }

    /// Each of so many parts of a block on its own; which of them are not 0.
    fn inverse_parts(&mut self, from: usize, to: usize, first: usize, live: &[bool], parts: usize) -> Vec<bool> {
        let size = live.len() / parts;
        let part = |(i, live)| self.inverse(from + i * size, to + i * size, first + i * size, live);
        live.chunks(size).enumerate().map(part).collect()
    }

    /// The coefficients of parts to those of the whole.
    fn join(&mut self, at: usize, first: usize, size: usize, parts: &[bool]) -> bool {
        let half = size / 2;
        let twiddle = twiddle(self.basis, first, half);
        match parts {
            [] | [_] => parts == [true],
            _ if !parts.contains(&false) => {
                self.butterflies(Direction::Inverse, at, at, first, size, parts.len());
                true
            }
            _ => {
                let (low, high) = parts.split_at(parts.len() / 2);
                let low = self.join(at, first, half, low);
                let high = self.join(at + half, first + half, half, high);
                match (low, high) {
                    (true, true) => self.butterflies(Direction::Inverse, at, at, first, size, 2),
                    (true, false) => {
                        self.combine(at + half, None, at, 1, half);
                        self.combine(at, None, at, twiddle ^ 1, half);
                    }
                    (false, true) => self.combine(at, None, at + half, twiddle, half),
                    (false, false) => (),
                }
                low || high
            }
        }
    }

    /// Coefficients to the values on the block from `first` on, into those rows from `out` on that are `wanted`.
    /// Works at `at`, which may be the coefficients' place.
    pub(super) fn forward(&mut self, from: usize, at: usize, out: usize, first: usize, wanted: &[bool]) {
        let size = wanted.len();
        if !wanted.contains(&true) {
            return;
        }
        match size {
            1 => self.combine(out, None, from, 1, 1),
            2 | 4 => self.butterflies(Direction::Forward, from, out, first, size, size),
            _ if wanted.chunks(size / radix(size)).all(|part| part.contains(&true)) => {
                self.butterflies(Direction::Forward, from, at, first, size, radix(size));
                self.forward_parts(at, out, first, wanted, radix(size));
            }
            _ => {
                let half = size / 2;
                let (low, high) = wanted.split_at(half);
                let twiddle = twiddle(self.basis, first, half);
                match (low.contains(&true), high.contains(&true)) {
                    (true, true) => {
                        self.butterflies(Direction::Forward, from, at, first, size, 2);
                        self.forward_parts(at, out, first, wanted, 2);
                    }
                    (true, false) if twiddle == 0 => self.forward(from, at, out, first, low),
                    (true, false) => {
                        self.combine(at, Some(from), from + half, twiddle, half);
                        self.forward(at, at, out, first, low);
                    }
                    (false, _) => {
                        self.combine(at + half, Some(from), from + half, twiddle ^ 1, half);
                        self.forward(at + half, at + half, out + half, first + half, high);
                    }
                }
            }
        }
    }

    /// Each of so many parts of a block on its own.
    fn forward_parts(&mut self, at: usize, out: usize, first: usize, wanted: &[bool], parts: usize) {
        let size = wanted.len() / parts;
        for (i, wanted) in wanted.chunks(size).enumerate() {
            let part = i * size;
            self.forward(at + part, at + part, out + part, first + part, wanted);
        }
    }

    /// Values on the block from `first` on to those on the first points. Works at `at`.
    pub(super) fn across(&mut self, from: usize, at: usize, out: usize, first: usize, live: &[bool], wanted: &[bool]) {
        let size = live.len();
        let middle = match size.trailing_zeros() {
            0 => return self.combine(out, None, from, 1, 1),
            1 => 2,
            3 | 5 | 7 => 8,
            _ => 4,
        };
        if middle == size {
            return self.butterflies(Direction::Across, from, out, first, size, size);
        }
        let parts = self.inverse_parts(from, at, first, live, middle);
        if parts.contains(&false) || wanted.chunks(size / middle).any(|part| !part.contains(&true)) {
            self.join(at, first, size, &parts);
            self.forward(at, at, out, 0, wanted);
        } else {
            self.butterflies(Direction::Across, at, at, first, size, middle);
            self.forward_parts(at, out, 0, wanted, middle);
        }
    }

    /// The first `known` of `size` rows are values on the block from `first` on, to be read at `from`; the others are
    /// coefficients, which are at `to` where `live` says that they are not 0. All coefficients come to `to`.
    pub(super) fn truncated(&mut self, from: usize, to: usize, first: usize, known: usize, live: &mut [bool]) {
        let (size, half) = (live.len(), live.len() / 2);
        if known == size {
            self.inverse(from, to, first, &vec![true; size]);
            live.fill(true);
            return;
        }
        if known == 0 {
            return;
        }
        let twiddle = twiddle(self.basis, first, half);
        let (low, high) = live.split_at_mut(half);
        if known >= half {
            self.truncated(from, to, first, half, low);
            let rest = known - half;
            self.add(to + half + rest, &mut high[rest..], to + rest, &low[rest..], 1);
            self.truncated(from + half, to + half, first + half, rest, high);
            self.add(to + half, high, to, low, 1);
            self.add(to, low, to + half, high, twiddle);
        } else {
            self.add(to + known, &mut low[known..], to + half + known, &high[known..], twiddle);
            self.truncated(from, to, first, known, low);
            self.add(to, low, to + half, high, twiddle);
        }
    }

    /// `to += factor * from`, row by row.
    fn add(&mut self, to: usize, sums: &mut [bool], from: usize, live: &[bool], factor: u8) {
        if factor == 0 {
            return;
        }
        let mut row = 0;
        while row < sums.len() {
            let kind = (sums[row], live[row]);
            let count = (row..sums.len()).take_while(|at| (sums[*at], live[*at]) == kind).count();
            if kind.1 {
                self.combine(to + row, kind.0.then_some(to + row), from + row, factor, count);
                sums[row..row + count].fill(true);
            }
            row += count;
        }
    }
}

/// Parts of a transform that are joined in one step.
fn radix(size: usize) -> usize {
    match size.trailing_zeros() {
        3 => 2,
        5 | 7 => 8,
        _ => 4,
    }
}

/// That of the layer that joins halves of this size.
fn twiddle(basis: Option<&Field>, first: usize, half: usize) -> u8 {
    let layer = half.trailing_zeros();
    // Points are below 256.
    basis.map_or((first >> layer) as u8, |basis| basis.vanishing(layer, first) as u8)
}

/// Those of the layers that join parts of `stride` rows to a block.
fn twiddles(basis: Option<&Field>, first: usize, stride: usize, radix: usize) -> [u8; 8] {
    let mut twiddles = [0; 8];
    let (mut nodes, mut half) = (radix / 2, stride);
    while nodes > 0 {
        for (node, to) in twiddles[nodes..2 * nodes].iter_mut().enumerate() {
            *to = twiddle(basis, first + 2 * half * node, half);
        }
        nodes /= 2;
        half *= 2;
    }
    twiddles
}
