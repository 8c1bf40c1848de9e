//! Backend `cpu`: scalar code over blst, threads by rayon.
//!
//! | module | what |
//! |---|---|
//! | `committee` | resident keys and masked sums |
//! | `aggregate` | both aggregation kernels |
//! | `verify` | verify-batch: one equation for the whole batch |

mod aggregate;
mod committee;
mod verify;

pub(super) use aggregate::executed;
pub(super) use committee::committee_keys;

use crate::backend::{Description, Options, Unavailable};
use crate::pool::Pool;

/// The backend of all three kernels.
pub(super) struct Cpu {
    pool: Pool,
}

impl Cpu {
    /// # Errors
    ///
    /// [`Unavailable::Options`] for impossible threads, or for an instruction set or a device: this backend has none to
    /// choose.
    pub(super) fn open(options: &Options) -> Result<Self, Unavailable> {
        Ok(Self { pool: Pool::open(options)? })
    }

    /// On threads that are there already.
    pub(super) fn over(pool: Pool) -> Self {
        Self { pool }
    }

    pub(super) fn describe(&self) -> Description {
        self.pool.describe(format!("blst {}", env!("SHARDMARK_BLST")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_blst_and_its_build() {
        let description = Cpu::open(&Options::default()).unwrap().describe();
        assert!(description.build.starts_with("blst 0."), "{}", description.build);
    }
}
