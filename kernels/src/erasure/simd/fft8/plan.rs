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
    /// `to = factor * from` for `count` rows in turn, each with a factor of its own, from here on in [`Plan::factors`].
    Scale {
        to: u16,
        from: u16,
        factors: u16,
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
    /// Of [`Step::Scale`].
    pub factors: Vec<u8>,
    /// Rows of the buffer.
    pub work: u16,
}

/// The steps of a transform of a block of which no value is known to be 0 or unwanted, made once and taken for any rows.
#[derive(Debug)]
pub(super) struct Whole {
    block: usize,
    steps: Vec<Butterflies>,
}

impl Whole {
    /// From coefficients to the values on the block from `first` on, or back.
    pub(super) fn new(basis: Option<&'static Field>, direction: Direction, first: usize, block: usize) -> Self {
        let mut plan = Plan { basis, ..Plan::default() };
        let from = plan.rows(std::iter::repeat_n(Place::Zero, 3 * block));
        let (at, to, all) = (from + block, from + 2 * block, vec![true; block]);
        match direction {
            Direction::Forward => plan.forward(from, at, to, first, &all),
            _ => _ = plan.inverse(from, to, first, &all),
        }
        let steps = plan.steps.into_iter().filter_map(|step| match step {
            Step::Butterflies(step) => Some(step),
            _ => None,
        });
        Self { block, steps: steps.collect() }
    }
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
            Step::Scale { count, .. } => usize::from(*count),
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

    /// Ends the plan: tells each step that reads or writes rows outside the buffer which such rows come next.
    pub(super) fn finish(&mut self) {
        self.look_ahead(|step| step.from, |place| matches!(place, Place::Input(_)));
        self.look_ahead(|step| step.to, |place| matches!(place, Place::Output(_)));
    }

    fn look_ahead(&mut self, row: impl Fn(&Butterflies) -> u16, outside: impl Fn(Place) -> bool) {
        let places = &self.places;
        let row_outside = |step: &Step| match step {
            Step::Butterflies(step) => Some(row(step)).filter(|row| outside(places[usize::from(*row)])),
            _ => None,
        };
        // After the last ones come the first ones of the next column.
        let Some(first) = self.steps.iter().find_map(row_outside) else { return };
        let mut next = (first, true);
        for step in self.steps.iter_mut().rev() {
            if let (Some(row), Step::Butterflies(step)) = (row_outside(step), step) {
                step.ahead = Some(next);
                next = (row, false);
            }
        }
    }

    /// A whole transform that reads, works and writes from these rows on; an inverse one works where it writes.
    pub(super) fn whole(&mut self, whole: &Whole, runs: [usize; 3]) {
        let (bits, mask) = (whole.block.trailing_zeros(), whole.block - 1);
        let place = |row: u16| (runs[usize::from(row) >> bits] + (usize::from(row) & mask)) as u16;
        let step = |step: &Butterflies| Butterflies { from: place(step.from), to: place(step.to), ..*step };
        self.steps.extend(whole.steps.iter().map(step).map(Step::Butterflies));
    }

    fn butterflies(&mut self, direction: Direction, from: usize, to: usize, first: usize, size: usize, radix: usize) {
        let stride = size / radix;
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

    /// `to = factor * from`, row by row.
    pub(super) fn scale(&mut self, to: usize, from: usize, factors: impl IntoIterator<Item = u8>) {
        let first = self.factors.len();
        self.factors.extend(factors);
        let count = (self.factors.len() - first) as u16;
        self.steps.push(Step::Scale { to: to as u16, from: from as u16, factors: first as u16, count });
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

    /// The first `known` of the values on the points from 0 on, as many as `wanted` and more than half of them, of a
    /// polynomial of degree below `known`: to those of the other values that are `wanted`, at `out`, and to all
    /// coefficients. Works at `at`; the row of the first coefficient.
    pub(super) fn complete(&mut self, from: usize, at: usize, out: usize, known: usize, wanted: &[bool]) -> usize {
        let half = wanted.len() / 2;
        let rest = known - half;
        let low = self.work(half);
        self.inverse(from, low, 0, &vec![true; half]);
        // On the points of the second half the polynomial is that of the first half and one of degree below `rest`. So
        // coefficients from `rest` on are the same there: copied where they will be worked on, else left where they are.
        let own = rest.next_power_of_two();
        let high = self.work(own);
        self.combine(high + rest, None, low + rest, 1, own - rest);
        self.rows_of(low + own, half - own);
        self.truncated([from + half, high, at + half, out + half], half, rest, &wanted[half..]);
        self.combine(high, Some(high), low, 1, rest);
        let coefficients = self.rows_of(low, half);
        self.rows_of(high, rest);
        self.rows((rest..half).map(|_| Place::Zero));
        coefficients
    }

    /// Rows at the places of others; the first of them.
    fn rows_of(&mut self, from: usize, count: usize) -> usize {
        let first = self.places.len();
        self.places.extend_from_within(from..from + count);
        first
    }

    /// On the block from `first` on, as many points as `wanted`: `known` values at `from`, then only coefficients, at `to`.
    /// To all coefficients, at `to`, and to those of the other values that are `wanted`, at `out`; works at `at`.
    fn truncated(&mut self, [from, to, at, out]: [usize; 4], first: usize, known: usize, wanted: &[bool]) {
        let (size, half) = (wanted.len(), wanted.len() / 2);
        if known == 0 {
            return self.forward(to, at, out, first, wanted);
        }
        if known == size {
            self.inverse(from, to, first, &vec![true; size]);
            return;
        }
        let twiddle = twiddle(self.basis, first, half);
        let (low, high) = wanted.split_at(half);
        let second = [from, to, at, out].map(|row| row + half);
        if known >= half {
            self.inverse(from, to, first, &vec![true; half]);
            let rest = known - half;
            self.combine(to + known, Some(to + known), to + rest, 1, half - rest);
            self.truncated(second, first + half, rest, high);
            self.combine(to + half, Some(to + half), to, 1, half);
        } else {
            self.combine(to + known, Some(to + known), to + half + known, twiddle, half - known);
            self.truncated([from, to, at, out], first, known, low);
            self.combine(at + half, Some(to), to + half, 1, half);
            self.forward(at + half, at + half, out + half, first + half, high);
        }
        self.combine(to, Some(to), to + half, twiddle, half);
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
