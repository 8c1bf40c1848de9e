//! The search for bad sets after a batch's equation failed.
//!
//! The value of a range (the equation's left side, after the final exponentiation) is the product of the values of its
//! halves. So the left half is evaluated and the right half's value follows by one division; a half whose value is one
//! holds only good sets. Messages are split first, reusing the batch's Miller loops, then the sets of one message.
//!
//! No new weights are drawn. The ranges that can be visited form one tree, fixed by the number of sets before the weights
//! were drawn: at most `2n - 1` ranges, each of which hides a bad set with a chance of at most `1 / (2^64 - 1)`. A range
//! of one set is decided exactly: its weight is invertible modulo the group order. And a good set is never blamed: a
//! range of good sets has the value one whatever the weights.

use std::ops::Range;

use blst::blst_fp12;

use super::points::inverse_gt;
use crate::backend::{Control, Error};
use crate::pool::Pool;

/// The equation of a batch of sets, ordered by message so that the sets of one message are neighbours, evaluated over any
/// range. Weights are fixed.
pub(super) trait Equation: Sync {
    /// The sets of each message.
    fn groups(&self) -> &[Range<usize>];
    /// Groups whose Miller loops are kept together: a cut between two such chunks costs none anew.
    fn chunk(&self) -> usize;
    /// A set's position in the input.
    fn index(&self, set: usize) -> usize;
    /// The left side over whole messages, after the final exponentiation: one if all of their sets hold.
    fn over_groups(&self, groups: Range<usize>) -> blst_fp12;
    /// The left side over some of the sets of one message.
    fn within_group(&self, group: usize, sets: Range<usize>) -> blst_fp12;
    /// The threads to search with.
    fn pool(&self) -> &Pool;
}

/// The ranges of neighbours with one message.
pub(super) fn groups<T>(sets: &[T], message: impl Fn(&T) -> usize) -> Vec<Range<usize>> {
    let groups = sets.chunk_by(|a, b| message(a) == message(b));
    let ranges = groups.scan(0, |start, group| {
        let range = *start..*start + group.len();
        *start = range.end;
        Some(range)
    });
    ranges.collect()
}

/// One search.
pub(super) struct Bisection<'a, E> {
    equation: &'a E,
    control: &'a Control,
}

/// A range whose value is not one: it holds a bad set.
enum Suspect {
    /// Whole messages.
    Groups(Range<usize>),
    /// Some sets of one message.
    Sets { group: usize, sets: Range<usize> },
}

impl<'a, E: Equation> Bisection<'a, E> {
    pub(super) fn new(equation: &'a E, control: &'a Control) -> Self {
        Self { equation, control }
    }

    /// The input positions of all bad sets, in no particular order; none if the equation of the batch holds.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`].
    pub(super) fn bad_sets(&self) -> Result<Vec<usize>, Error> {
        let mut bad = Vec::new();
        let batch = Suspect::Groups(0..self.equation.groups().len());
        let value = self.value(&batch)?;
        if !is_one(&value) {
            self.search(batch, value, &mut bad)?;
        }
        Ok(bad)
    }

    fn value(&self, range: &Suspect) -> Result<blst_fp12, Error> {
        self.control.check()?;
        Ok(match range {
            Suspect::Groups(groups) => self.equation.over_groups(groups.clone()),
            Suspect::Sets { group, sets } => self.equation.within_group(*group, sets.clone()),
        })
    }

    fn search(&self, suspect: Suspect, value: blst_fp12, bad: &mut Vec<usize>) -> Result<(), Error> {
        let Some((left, right)) = self.halves(&suspect) else {
            bad.push(self.only_set(&suspect));
            return Ok(());
        };
        let left_value = self.value(&left)?;
        let right_value = value * inverse_gt(left_value);
        let side = |half, value| {
            let mut bad = Vec::new();
            if !is_one(&value) {
                self.search(half, value, &mut bad)?;
            }
            Ok(bad)
        };
        let (left, right) = self.equation.pool().join(|| side(left, left_value), || side(right, right_value));
        bad.extend(left?);
        bad.extend(right?);
        Ok(())
    }

    /// None if the suspect is a single set.
    fn halves(&self, suspect: &Suspect) -> Option<(Suspect, Suspect)> {
        match suspect {
            Suspect::Groups(groups) if groups.len() > 1 => {
                let middle = groups.start + groups.len() / 2;
                // A cut between chunks reuses their Miller loops.
                let aligned = middle.next_multiple_of(self.equation.chunk());
                let middle = if aligned < groups.end { aligned } else { middle };
                Some((Suspect::Groups(groups.start..middle), Suspect::Groups(middle..groups.end)))
            }
            Suspect::Groups(groups) => {
                let group = groups.start;
                self.halves(&Suspect::Sets { group, sets: self.equation.groups()[group].clone() })
            }
            Suspect::Sets { group, sets } => {
                let (group, middle) = (*group, sets.start + sets.len() / 2);
                let half = |sets| Suspect::Sets { group, sets };
                (sets.len() > 1).then(|| (half(sets.start..middle), half(middle..sets.end)))
            }
        }
    }

    fn only_set(&self, suspect: &Suspect) -> usize {
        self.equation.index(match suspect {
            Suspect::Groups(groups) => self.equation.groups()[groups.start].start,
            Suspect::Sets { sets, .. } => sets.start,
        })
    }
}

fn is_one(value: &blst_fp12) -> bool {
    *value == blst_fp12::default()
}
