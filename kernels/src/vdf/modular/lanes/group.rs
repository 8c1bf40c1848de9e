//! One group of lanes of some size: numbers into vectors and back, and Fermat's test.

use super::columns::{Kind, State, Steps};
use super::integer;
use super::vector::Vector;

/// As many moduli as lanes, and a value for each, of whatever vectors and size.
pub(super) trait Group: Send {
    /// A copy: trait objects have no `Clone`.
    fn boxed(&self) -> Box<dyn Group>;
    /// Sets the values; the last goes to all lanes that remain.
    fn set(&mut self, values: &[&[u64]]);
    /// Squares every value `count` times.
    fn square_times(&mut self, count: u64);
    /// The values of all lanes, below their moduli.
    fn values(&self) -> Vec<Vec<u64>>;
    /// Whether `2^(n-1) = 1` modulo each `n`. Spoils the values.
    fn fermat(&mut self) -> Vec<bool>;
}

impl Clone for Box<dyn Group> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}

struct Sized<V, const L: usize, const W: u32> {
    moduli: Vec<Vec<u64>>,
    state: Box<State<V, L, W>>,
}

/// Makes the group of moduli, odd and of at most `L W - 8` bits with no zero limb on top; the last goes to all lanes that
/// remain.
pub(super) fn group<V: Vector, const L: usize, const W: u32>(moduli: &[Vec<u64>]) -> Box<dyn Group> {
    let moduli: Vec<Vec<u64>> = (0..V::LANES).map(|lane| moduli[lane.min(moduli.len() - 1)].clone()).collect();
    assert!(moduli.iter().all(|modulus| integer::bit_length(modulus) + 8 <= L * W as usize), "modulus too long");
    let digits = |numbers: Vec<Vec<u64>>| -> Vec<Vec<i64>> {
        numbers.iter().map(|number| integer::digits(number, W, L, V::SIGNED)).collect()
    };
    let inverses = moduli.iter().map(|modulus| integer::negative_inverse(modulus, L * W as usize)).collect();
    let (n, inverse) = (digits(moduli.clone()), digits(inverses));
    let state = State::new(|lane, i| n[lane][i], |lane, i| inverse[lane][i]);
    Box::new(Sized::<V, L, W> { moduli, state })
}

impl<V: Vector, const L: usize, const W: u32> Sized<V, L, W> {
    fn set_digits(&mut self, values: &[Vec<u64>]) {
        let digits: Vec<_> = values.iter().map(|value| integer::digits(value, W, L, V::SIGNED)).collect();
        self.state.x = std::array::from_fn(|i| V::from_lanes(|lane| digits[lane.min(digits.len() - 1)][i]));
    }
}

impl<V: Vector, const L: usize, const W: u32> Group for Sized<V, L, W> {
    fn boxed(&self) -> Box<dyn Group> {
        Box::new(Self { moduli: self.moduli.clone(), state: self.state.clone() })
    }

    fn set(&mut self, values: &[&[u64]]) {
        let values: Vec<_> = (0..V::LANES)
            .map(|lane| integer::shift_modulo(values[lane.min(values.len() - 1)], L * W as usize, &self.moduli[lane]))
            .collect();
        self.set_digits(&values);
    }

    fn square_times(&mut self, count: u64) {
        V::run(Steps { state: &mut self.state, count, kind: Kind::Square });
    }

    fn values(&self) -> Vec<Vec<u64>> {
        let mut state = self.state.clone();
        V::run(Steps { state: &mut state, count: 1, kind: Kind::Leave });
        let value = |(lane, modulus): (usize, &Vec<u64>)| {
            // One limb more for a sign.
            let mut n = modulus.clone();
            n.push(0);
            let mut value = integer::from_digits(state.x.iter().map(|x| x.lane(lane)), W, n.len());
            if value.last().is_some_and(|top| top >> 63 == 1) {
                integer::add(&mut value, &n);
            }
            while !integer::less(&value, &n) {
                integer::subtract(&mut value, &n);
            }
            value.pop();
            value
        };
        self.moduli.iter().enumerate().map(value).collect()
    }

    /// With `R` a power of 2, a plain power of 2 is a power of 2 in Montgomery's form as well, of a negative exponent. So
    /// `2^(1-n)` is computed: it starts at no cost where 11 or so squarings would have led, and is 1 whenever `2^(n-1)` is.
    fn fermat(&mut self) -> Vec<bool> {
        let bits = L * W as usize;
        let longest = self.moduli.iter().map(|modulus| integer::bit_length(modulus)).max().unwrap_or(0);
        // 1 - n = start * 2^steps + what the steps add; -start is at most 2^(longest - steps), so at most `bits`.
        let steps = longest - bits.ilog2() as usize;
        let exponents: Vec<_> = self
            .moduli
            .iter()
            .map(|modulus| {
                let mut exponent = modulus.clone();
                exponent[0] -= 1;
                integer::negate(&mut exponent);
                exponent
            })
            .collect();
        let starts: Vec<_> = exponents
            .iter()
            .zip(&self.moduli)
            .map(|(exponent, modulus)| {
                let start = (steps..longest + 1).fold(0, |sum, i| {
                    let set = i >= 64 * exponent.len() || integer::bit(exponent, i);
                    sum + usize::from(!set) * (1 << (i - steps))
                });
                integer::shift_modulo(&[1], bits - (start + 1), modulus)
            })
            .collect();
        self.set_digits(&starts);
        let bit = |i: usize, lane: usize| i >= 64 * exponents[lane].len() || integer::bit(&exponents[lane], i);
        let bits: Vec<_> = (0..steps).rev().map(|i| V::from_lanes(|lane| bit(i, lane).into())).collect();
        V::run(Steps { state: &mut self.state, count: steps as u64, kind: Kind::SquareAndDouble(&bits) });
        let is_one = |value: Vec<u64>| value[0] == 1 && value[1..].iter().all(|limb| *limb == 0);
        self.values().into_iter().map(is_one).collect()
    }
}
