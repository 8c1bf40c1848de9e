//! What a replica must remember across a restart so that it never contradicts itself, and the rules of voting.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::block::Header;
use crate::fbft::certificate::Certificate;
use crate::types::{BlockNum, Hash, ViewId};

/// One statement a replica made at a height: in this view, about this block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Cast {
    /// The view.
    pub view_id: ViewId,
    /// The block.
    pub block_hash: Hash,
}

/// All that binds a replica at the height in progress. Of each kind only the latest statement is kept, because views below
/// `view_id` are closed for good.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SafetyRecord {
    /// The height in progress.
    pub block_num: BlockNum,
    /// The view it is in; nothing is said in lower ones any more.
    pub view_id: ViewId,
    /// Own proposal as a leader.
    pub announce: Option<Cast>,
    /// Own Prepare vote.
    pub prepare: Option<Cast>,
    /// Own Commit vote.
    pub commit: Option<Cast>,
    /// The highest prepared certificate and its block's header.
    pub lock: Option<(Certificate, Header)>,
}

/// Whether `cast` leaves room for a statement about `block_hash` in `view_id`.
fn allows(cast: Option<Cast>, view_id: ViewId, block_hash: &Hash) -> bool {
    cast.is_none_or(|cast| cast.view_id < view_id || (cast.view_id == view_id && cast.block_hash == *block_hash))
}

impl SafetyRecord {
    /// A height at which nothing was said yet.
    pub fn new(block_num: BlockNum) -> Self {
        Self { block_num, view_id: ViewId(0), announce: None, prepare: None, commit: None, lock: None }
    }

    /// A leader proposes one block in a view, also across restarts.
    pub fn allows_announce(&self, view_id: ViewId, block_hash: &Hash) -> bool {
        view_id == self.view_id && allows(self.announce, view_id, block_hash)
    }

    /// At most one Prepare in a view, in the current view only.
    pub fn allows_prepare(&self, view_id: ViewId, block_hash: &Hash) -> bool {
        view_id == self.view_id && allows(self.prepare, view_id, block_hash)
    }

    /// At most one Commit in a view, in the current view only, and for no other block than the one prepared in that view.
    pub fn allows_commit(&self, view_id: ViewId, block_hash: &Hash) -> bool {
        view_id == self.view_id && allows(self.commit, view_id, block_hash) && allows(self.prepare, view_id, block_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_vote_in_a_view_is_only_the_same_vote_again() {
        let (x, y) = (Hash([1; 32]), Hash([2; 32]));
        let mut record = SafetyRecord::new(BlockNum(1));
        assert!(record.allows_prepare(ViewId(0), &x) && !record.allows_prepare(ViewId(1), &x));
        record.prepare = Some(Cast { view_id: ViewId(0), block_hash: x });
        assert!(record.allows_prepare(ViewId(0), &x) && !record.allows_prepare(ViewId(0), &y));
        assert!(record.allows_commit(ViewId(0), &x) && !record.allows_commit(ViewId(0), &y));
        record.view_id = ViewId(1);
        assert!(record.allows_prepare(ViewId(1), &y) && !record.allows_prepare(ViewId(0), &x));
        record.commit = Some(Cast { view_id: ViewId(1), block_hash: y });
        assert!(record.allows_commit(ViewId(1), &y) && !record.allows_commit(ViewId(1), &x));
    }
}
