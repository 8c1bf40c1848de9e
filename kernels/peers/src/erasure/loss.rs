//! Which chunks arrive: drawn anew before every call, outside of what is timed.

use std::fmt;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use shardmark_kernels::backend::generator;

/// How many of the data chunks are lost. Exactly `k` chunks arrive, in random order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// As many as parity can replace: `min(k, m)`.
    Most,
    /// So many, replaced by as many parity chunks.
    Few(usize),
    /// Any `k` of the `k + m` chunks arrive.
    Random,
}

impl Loss {
    /// The value of `missing` in a case's name.
    pub fn name(self, k: usize, m: usize) -> String {
        self.count(k, m).map_or_else(|| self.to_string(), |count| count.to_string())
    }

    fn count(self, k: usize, m: usize) -> Option<usize> {
        match self {
            Self::Most => Some(k.min(m)),
            Self::Few(count) => Some(count.min(k).min(m)),
            Self::Random => None,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Most => f.write_str("all"),
            Self::Few(count) => write!(f, "{count}"),
            Self::Random => f.write_str("random"),
        }
    }
}

/// An endless sequence of patterns, the same wherever it starts again.
#[derive(Clone)]
pub struct Draw {
    loss: Loss,
    k: usize,
    m: usize,
    rng: ChaCha20Rng,
    indices: Vec<usize>,
}

impl Draw {
    /// Of `k` data and `m` parity chunks.
    pub fn new(loss: Loss, k: usize, m: usize) -> Self {
        let rng = generator("versus/erasure/loss", (k * 65_536 + m) as u64, 0);
        Self { loss, k, m, rng, indices: (0..k + m).collect() }
    }

    /// The `k` indices that arrive next.
    pub fn next(&mut self) -> &[usize] {
        let Self { k, m, .. } = *self;
        if let Some(missing) = self.loss.count(k, m) {
            // Data before parity again, each in an order of its own.
            self.indices.sort_unstable();
            self.indices[..k].shuffle(&mut self.rng);
            self.indices[k..].shuffle(&mut self.rng);
            // The first `missing` data chunks give their places to parity.
            let (data, parity) = self.indices.split_at_mut(k);
            data[..missing].swap_with_slice(&mut parity[..missing]);
            data.shuffle(&mut self.rng);
        } else {
            self.indices.shuffle(&mut self.rng);
        }
        &self.indices[..k]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn as_many_data_chunks_are_lost_as_the_name_says() {
        for (k, m) in [(1, 1), (10, 4), (4, 10), (32, 32), (85, 171)] {
            for loss in [Loss::Most, Loss::Few(1), Loss::Few(4), Loss::Random] {
                let mut draw = Draw::new(loss, k, m);
                for _ in 0..20 {
                    let arrived = draw.next();
                    let distinct: BTreeSet<usize> = arrived.iter().copied().collect();
                    assert_eq!((arrived.len(), distinct.len()), (k, k));
                    assert!(distinct.iter().all(|index| *index < k + m));
                    let missing = (0..k).filter(|j| !distinct.contains(j)).count();
                    let name = loss.name(k, m);
                    assert!(name == missing.to_string() || name == "random", "({k}, {m}) {loss}: {missing}");
                }
            }
        }
    }

    #[test]
    fn patterns_do_not_repeat_and_start_alike() {
        let mut draw = Draw::new(Loss::Random, 32, 32);
        let first: Vec<Vec<usize>> = (0..64).map(|_| draw.next().to_vec()).collect();
        let sorted = |pattern: &Vec<usize>| pattern.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(first.iter().map(sorted).collect::<BTreeSet<_>>().len(), 64);
        let mut again = Draw::new(Loss::Random, 32, 32);
        assert!(first.iter().all(|pattern| again.next() == pattern));
    }
}
