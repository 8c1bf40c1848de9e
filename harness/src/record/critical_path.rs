//! A block's critical path: who everyone waited for, step by step, and what that node was doing.
//!
//! The path runs from the first proposal at a height to finality at validators with more than 2/3 of the power. It is a
//! chain of marks, each at the node whose mark completed a quorum, so the phases between them add up to the whole.
//! Where a mark is missing (a node was killed, a view changed in between), the stretch around it is `unattributed`.
//! All nodes of a run share a host's clock; a stretch that runs backwards counts as zero.

use std::collections::BTreeMap;

use super::event::Mark;
use crate::types::ViewId;

/// The phases in the order of the path. A phase ends at its mark.
pub const PHASES: [&str; 14] = [
    "view change",
    "build",
    "announce to chunks",
    "decode",
    "check",
    "prepare vote",
    "collect prepares",
    "prepared certificate",
    "prepared to validator",
    "commit vote",
    "collect commits",
    "commit certificate",
    "final at quorum",
    UNATTRIBUTED,
];

/// What no recorded step explains.
pub const UNATTRIBUTED: &str = "unattributed";

/// Marks of one height: for each view and mark, when each node wrote it first.
#[derive(Clone, Debug, Default)]
pub struct Height {
    marks: BTreeMap<(ViewId, Mark), BTreeMap<usize, u64>>,
}

/// One stretch of a block's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Name, of [`PHASES`].
    pub phase: &'static str,
    /// Start.
    pub from_ns: u64,
    /// End; not before the start.
    pub to_ns: u64,
    /// The node that everyone waits for; unknown for `unattributed`.
    pub node: Option<usize>,
}

/// Voting power by node.
#[derive(Clone, Debug)]
pub struct Power {
    /// Power of each node.
    pub of: Vec<u64>,
    /// Of the whole committee.
    pub total: u64,
}

impl Height {
    /// Adds a mark; a node's first one counts.
    pub fn add(&mut self, node: usize, view: ViewId, mark: Mark, t_ns: u64) {
        let at = self.marks.entry((view, mark)).or_default().entry(node).or_insert(t_ns);
        *at = (*at).min(t_ns);
    }

    /// The first proposal in any view.
    pub fn proposed_ns(&self) -> Option<u64> {
        let proposals = self.marks.iter().filter(|((_, mark), _)| *mark == Mark::Propose);
        proposals.flat_map(|(_, at)| at.values()).min().copied()
    }

    /// When the proposal of a view left its leader.
    pub fn announced_ns(&self, view: ViewId) -> Option<u64> {
        self.first(view, Mark::AnnounceSent).map(|(_, t)| t)
    }

    /// The node whose mark gave validators with more than 2/3 of the power that mark, and when.
    pub fn quorum(&self, view: ViewId, mark: Mark, power: &Power) -> Option<(usize, u64)> {
        let mut at: Vec<(u64, usize)> = self.marks.get(&(view, mark))?.iter().map(|(&node, &t)| (t, node)).collect();
        at.sort_unstable();
        let mut sum = 0u64;
        for (t, node) in at {
            sum = sum.saturating_add(power.of.get(node).copied().unwrap_or(0));
            if 3 * u128::from(sum) > 2 * u128::from(power.total) {
                return Some((node, t));
            }
        }
        None
    }

    /// Whether somebody wrote this mark in some view.
    pub fn has(&self, mark: Mark) -> bool {
        self.marks.keys().any(|(_, other)| *other == mark)
    }

    /// The last view, at most `view`, in which a node wrote this mark, and when.
    pub fn last(&self, mark: Mark, node: usize, view: ViewId) -> Option<(ViewId, u64)> {
        let at = |(&(in_view, other), at): (&(ViewId, Mark), &BTreeMap<usize, u64>)| {
            (other == mark && in_view <= view).then(|| Some((in_view, *at.get(&node)?))).flatten()
        };
        self.marks.iter().rev().find_map(at)
    }

    /// When a node wrote this mark in a view.
    pub fn at(&self, view: ViewId, mark: Mark, node: usize) -> Option<u64> {
        self.marks.get(&(view, mark))?.get(&node).copied()
    }

    fn first(&self, view: ViewId, mark: Mark) -> Option<(usize, u64)> {
        self.marks.get(&(view, mark))?.iter().map(|(&node, &t)| (t, node)).min().map(|(t, node)| (node, t))
    }

    /// The path of the block that became final in `view`. `None` unless a quorum finalized it and someone proposed.
    pub fn path(&self, view: ViewId, power: &Power) -> Option<Vec<Stretch>> {
        let start = self.proposed_ns()?;
        let (last, end) = self.quorum(view, Mark::Final, power)?;
        let preparer = self.quorum(view, Mark::PrepareSent, power).map(|(node, _)| node);
        let committer = self.quorum(view, Mark::CommitSent, power).map(|(node, _)| node);
        let at = |node: Option<usize>, mark| node.and_then(|node| Some((node, self.at(view, mark, node)?)));
        let steps: [(&'static str, Option<(usize, u64)>); 13] = [
            ("view change", self.first(view, Mark::Propose)),
            ("build", self.first(view, Mark::AnnounceSent)),
            ("announce to chunks", at(preparer, Mark::KthChunk)),
            ("decode", at(preparer, Mark::Decoded)),
            ("check", at(preparer, Mark::Checked)),
            ("prepare vote", at(preparer, Mark::PrepareSent)),
            ("collect prepares", self.first(view, Mark::PrepareQuorum)),
            ("prepared certificate", self.first(view, Mark::PreparedSent)),
            ("prepared to validator", at(committer, Mark::PreparedReceived)),
            ("commit vote", at(committer, Mark::CommitSent)),
            ("collect commits", self.first(view, Mark::CommitQuorum)),
            ("commit certificate", self.first(view, Mark::CommittedSent)),
            ("final at quorum", Some((last, end))),
        ];
        let mut stretches = Vec::new();
        let (mut from_ns, mut gap) = (start, false);
        for (phase, mark) in steps {
            let Some((node, t)) = mark else {
                gap = true;
                continue;
            };
            let to_ns = t.clamp(from_ns, end.max(from_ns));
            let (phase, node) = if gap { (UNATTRIBUTED, None) } else { (phase, Some(node)) };
            if to_ns > from_ns || phase != "view change" {
                stretches.push(Stretch { phase, from_ns, to_ns, node });
            }
            (from_ns, gap) = (to_ns, false);
        }
        Some(stretches)
    }
}

/// Kernel calls of one node: `(from, to)` by kernel.
#[derive(Clone, Debug, Default)]
pub struct Busy {
    calls: BTreeMap<String, Vec<(u64, u64)>>,
}

impl Busy {
    /// Adds a call.
    pub fn add(&mut self, kernel: &str, from_ns: u64, to_ns: u64) {
        match self.calls.get_mut(kernel) {
            Some(calls) => calls.push((from_ns, to_ns)),
            None => drop(self.calls.insert(kernel.to_owned(), vec![(from_ns, to_ns)])),
        }
    }

    /// Joins overlapping calls of one kernel; call it once, before [`Busy::within`].
    pub fn merge(&mut self) {
        for calls in self.calls.values_mut() {
            calls.sort_unstable();
            let mut merged: Vec<(u64, u64)> = Vec::with_capacity(calls.len());
            for &(from, to) in calls.iter() {
                match merged.last_mut() {
                    Some(last) if from <= last.1 => last.1 = last.1.max(to),
                    _ => merged.push((from, to)),
                }
            }
            *calls = merged;
        }
    }

    /// Time inside each kernel between two moments.
    pub fn within(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = (&str, u64)> {
        self.calls.iter().filter_map(move |(kernel, calls)| {
            let first = calls.partition_point(|call| call.1 <= from_ns);
            let inside = calls[first..].iter().take_while(|call| call.0 < to_ns);
            let time: u64 = inside.map(|call| call.1.min(to_ns) - call.0.max(from_ns)).sum();
            (time > 0).then_some((kernel.as_str(), time))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: [(Mark, u64); 6] = [
        (Mark::Propose, 100),
        (Mark::AnnounceSent, 150),
        (Mark::PrepareQuorum, 400),
        (Mark::PreparedSent, 410),
        (Mark::CommitQuorum, 600),
        (Mark::CommittedSent, 610),
    ];

    /// Four equal nodes; node 0 leads; node `v` is `10 v` later than the leader at each of its own marks.
    fn height(view: ViewId) -> Height {
        let mut height = Height::default();
        for (mark, t) in LEADER {
            height.add(0, view, mark, t);
        }
        let own = [
            (Mark::KthChunk, 200),
            (Mark::Decoded, 220),
            (Mark::Checked, 300),
            (Mark::PrepareSent, 310),
            (Mark::PreparedReceived, 450),
            (Mark::CommitSent, 500),
            (Mark::Final, 650),
        ];
        for node in 0..4 {
            for (mark, t) in own {
                height.add(node, view, mark, t + 10 * node as u64);
            }
        }
        height
    }

    fn power() -> Power {
        Power { of: vec![1; 4], total: 4 }
    }

    fn lengths(path: &[Stretch]) -> Vec<(&str, u64)> {
        path.iter().map(|s| (s.phase, s.to_ns - s.from_ns)).collect()
    }

    #[test]
    fn phases_are_those_of_the_third_of_four_and_add_up() {
        let path = height(ViewId(0)).path(ViewId(0), &power()).unwrap();
        assert_eq!(
            lengths(&path),
            [
                ("build", 50),
                ("announce to chunks", 70),
                ("decode", 20),
                ("check", 80),
                ("prepare vote", 10),
                ("collect prepares", 70),
                ("prepared certificate", 10),
                ("prepared to validator", 60),
                ("commit vote", 50),
                ("collect commits", 80),
                ("commit certificate", 10),
                ("final at quorum", 60),
            ]
        );
        assert_eq!(path[4].node, Some(2), "three of four are a quorum: the third one is waited for");
        assert!(path.windows(2).all(|pair| pair[0].to_ns == pair[1].from_ns));
        assert_eq!((path[0].from_ns, path[path.len() - 1].to_ns), (100, 670));
    }

    #[test]
    fn a_missing_mark_makes_its_stretch_unattributed() {
        let mut height = height(ViewId(0));
        height.marks.remove(&(ViewId(0), Mark::Decoded));
        height.marks.remove(&(ViewId(0), Mark::CommitQuorum));
        height.marks.remove(&(ViewId(0), Mark::CommittedSent));
        let path = height.path(ViewId(0), &power()).unwrap();
        let unattributed: Vec<u64> =
            lengths(&path).iter().filter(|(phase, _)| *phase == UNATTRIBUTED).map(|(_, ns)| *ns).collect();
        assert_eq!(unattributed, [100, 150]);
        assert_eq!(lengths(&path).iter().map(|(_, ns)| ns).sum::<u64>(), 570);
    }

    #[test]
    fn time_lost_to_earlier_views_is_a_phase_of_its_own() {
        let mut height = height(ViewId(2));
        height.add(3, ViewId(0), Mark::Propose, 20);
        let path = height.path(ViewId(2), &power()).unwrap();
        assert_eq!(lengths(&path)[0], ("view change", 80));
        assert!(height.path(ViewId(0), &power()).is_none(), "no quorum finalized view 0");
    }

    #[test]
    fn marks_that_run_backwards_take_no_time_and_break_no_sum() {
        let mut height = height(ViewId(0));
        height.marks.insert((ViewId(0), Mark::AnnounceSent), BTreeMap::from([(0, 10)]));
        height.marks.insert((ViewId(0), Mark::PreparedSent), BTreeMap::from([(0, 10_000)]));
        let path = height.path(ViewId(0), &power()).unwrap();
        assert_eq!(lengths(&path).iter().map(|(_, ns)| ns).sum::<u64>(), 570);
    }

    #[test]
    fn power_counts_and_not_heads() {
        let height = height(ViewId(0));
        let heavy = Power { of: vec![10, 1, 1, 1], total: 13 };
        assert_eq!(height.quorum(ViewId(0), Mark::Final, &heavy), Some((0, 650)));
        let absent = Power { of: vec![1, 1, 1, 1], total: 7 };
        assert_eq!(height.quorum(ViewId(0), Mark::Final, &absent), None);
    }

    #[test]
    fn overlapping_calls_count_once() {
        let mut busy = Busy::default();
        for (from, to) in [(10, 20), (15, 30), (40, 50), (12, 13)] {
            busy.add("a", from, to);
        }
        busy.add("b", 0, 100);
        busy.merge();
        assert_eq!(busy.within(0, 100).collect::<Vec<_>>(), [("a", 30), ("b", 100)]);
        assert_eq!(busy.within(25, 45).collect::<Vec<_>>(), [("a", 10), ("b", 20)]);
        assert_eq!(busy.within(30, 40).collect::<Vec<_>>(), [("b", 10)]);
    }
}
