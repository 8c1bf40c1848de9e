//! Each rule alone, against one replica and messages made by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::block::{BeaconField, ChunkCommitment, Header};
use crate::fbft::api::{Action, Event, Note, ReplicaConfig, Tip};
use crate::fbft::bitmap::SignerBitmap;
use crate::fbft::certificate::{Certificate, Phase, QuorumCertificate};
use crate::fbft::committee::{Committee, Votes};
use crate::fbft::crypto::{Claim, Crypto, Kind, payload};
use crate::fbft::message::{Announce, Envelope, Message, NewView, ViewChange, Vote};
use crate::fbft::refusal::Refusal;
use crate::fbft::replica::Replica;
use crate::fbft::safety::{Cast, SafetyRecord};
use crate::fbft::simulated::HashCrypto;
use crate::fbft::verify::verify;
use crate::types::{BlockNum, ChainId, Hash, Millis, ShardId, Signature, Slot, ValidatorIndex, ViewId};

const GENESIS: Hash = Hash([9; 32]);
const TIMEOUT: Millis = 1000;

/// A committee and everybody's keys.
pub struct Bench {
    pub committee: Arc<Committee>,
    pub signers: Vec<Arc<HashCrypto>>,
}

fn v(index: u16) -> ValidatorIndex {
    ValidatorIndex(index)
}

impl Bench {
    pub fn new(slots: &[u16]) -> Self {
        let (signers, keys) = HashCrypto::committee(1, slots);
        let committee = Arc::new(Committee::new(ChainId(7), ShardId(0), keys).unwrap());
        Self { committee, signers: signers.into_iter().map(Arc::new).collect() }
    }

    fn config(&self, me: u16) -> ReplicaConfig {
        ReplicaConfig {
            committee: self.committee.clone(),
            me: v(me),
            votes: Votes::PerValidator,
            rotation_blocks: 0,
            block_time_ms: 100,
            view_timeout_ms: TIMEOUT,
            planted: None,
        }
    }

    fn restarted(&self, me: u16, tip: Tip, record: Option<SafetyRecord>) -> (Replica, Vec<Action>) {
        let mut out = vec![];
        let replica = Replica::new(self.config(me), self.signers[usize::from(me)].clone(), 0, tip, record, &mut out);
        (replica, out)
    }

    fn replica(&self, me: u16) -> Replica {
        self.restarted(me, genesis(), None).0
    }

    /// A block at height 1 that `proposer` makes for `view`; `salt` tells blocks apart.
    pub fn header(&self, view: u64, salt: u8) -> Header {
        Header {
            chain: ChainId(7),
            shard: ShardId(0),
            block_num: BlockNum(1),
            view_id: ViewId(view),
            proposer: self.committee.leader(v(0), ViewId(view)),
            parent: GENESIS,
            parent_seal: None,
            chunks: ChunkCommitment {
                code: 1,
                data_chunks: 1,
                parity_chunks: 1,
                body_bytes: 1,
                chunk_root: Hash([salt; 32]),
            },
            transactions: 0,
            state_root: Hash::default(),
            receipts_root: Hash::default(),
            beacon: BeaconField { vrf_proof: Signature([0; 96]), vrf_output: Hash::default(), vdf: None },
        }
    }

    fn next(&self, parent: &Header, seal: Certificate) -> Header {
        let mut header = self.header(0, 50);
        header.block_num = BlockNum(parent.block_num.0 + 1);
        header.parent = parent.hash();
        header.parent_seal = Some(seal);
        header
    }

    fn slots(&self, of: u16) -> Vec<Slot> {
        self.committee.slots_of(v(of)).map(Slot).collect()
    }

    fn sign(&self, by: u16, slots: &[Slot], kind: Kind, num: u64, view: u64, hash: &Hash) -> Signature {
        let message = payload(ChainId(7), ShardId(0), kind, BlockNum(num), ViewId(view), hash);
        self.signers[usize::from(by)].sign(slots, &message)
    }

    pub fn wrap(&self, message: Message) -> Envelope {
        Envelope { chain: ChainId(7), shard: ShardId(0), message }
    }

    pub fn announce(&self, by: u16, view: u64, header: &Header) -> Envelope {
        let slots = self.slots(by);
        let signature = self.sign(by, &slots[..1], Kind::Announce, header.block_num.0, view, &header.hash());
        self.wrap(Message::Announce(Announce { view_id: ViewId(view), header: header.clone(), signature }))
    }

    fn vote_of(&self, by: u16, slots: &[Slot], phase: Phase, num: u64, view: u64, hash: Hash) -> Envelope {
        let vote = Vote {
            block_num: BlockNum(num),
            view_id: ViewId(view),
            block_hash: hash,
            signers: SignerBitmap::of(self.committee.slots(), slots.iter().copied()).as_bytes().to_vec(),
            signature: self.sign(by, slots, phase.kind(), num, view, &hash),
        };
        self.wrap(match phase {
            Phase::Prepare => Message::Prepare(vote),
            Phase::Commit => Message::Commit(vote),
        })
    }

    pub fn vote(&self, by: u16, phase: Phase, view: u64, hash: Hash) -> Envelope {
        self.vote_of(by, &self.slots(by), phase, 1, view, hash)
    }

    pub fn certificate(&self, by: &[u16], phase: Phase, view: u64, header: &Header) -> Certificate {
        let hash = header.hash();
        let slots = by.iter().flat_map(|&by| self.slots(by));
        let signers = SignerBitmap::of(self.committee.slots(), slots).as_bytes().to_vec();
        let num = header.block_num.0;
        let signatures: Vec<_> =
            by.iter().map(|&by| self.sign(by, &self.slots(by), phase.kind(), num, view, &hash)).collect();
        let signature = self.signers[0].aggregate(&signatures).unwrap();
        Certificate { phase, block_num: header.block_num, view_id: ViewId(view), block_hash: hash, signers, signature }
    }

    fn prepared(&self, view: u64, header: &Header) -> Envelope {
        self.wrap(Message::Prepared(self.certificate(&[0, 1, 2], Phase::Prepare, view, header)))
    }

    fn committed(&self, view: u64, header: &Header) -> Envelope {
        self.wrap(Message::Committed(self.certificate(&[0, 1, 2], Phase::Commit, view, header)))
    }

    /// A ViewChange to `view` with the certificate of `lock` = (view, block).
    pub fn view_change(&self, by: u16, view: u64, lock: Option<(u64, &Header)>) -> ViewChange {
        let prepared =
            lock.map(|(view, header)| (self.certificate(&[0, 1, 2], Phase::Prepare, view, header), header.clone()));
        let digest = Certificate::digest(prepared.as_ref().map(|(certificate, _)| certificate));
        let signature = self.sign(by, &self.slots(by), Kind::ViewChange, 1, view, &digest);
        ViewChange { block_num: BlockNum(1), view_id: ViewId(view), sender: v(by), prepared, signature }
    }

    pub fn new_view(&self, view: u64, view_changes: Vec<ViewChange>) -> Envelope {
        self.wrap(Message::NewView(NewView { block_num: BlockNum(1), view_id: ViewId(view), view_changes }))
    }

    fn verdict(&self, from: u16, envelope: &Envelope) -> Result<(), Refusal> {
        verify(&[(v(from), envelope.clone())], &self.committee, &*self.signers[0]).remove(0).map(|_| ())
    }

    /// Feeds a message as the node does: filter, signatures, replica.
    fn feed(&self, replica: &mut Replica, now: Millis, from: u16, envelope: Envelope) -> Vec<Action> {
        let mut out = vec![];
        let verdict = replica
            .wants(v(from), &envelope)
            .and_then(|()| verify(&[(v(from), envelope.clone())], &self.committee, &*self.signers[0]).remove(0));
        match verdict {
            Ok(message) => replica.handle(now, Event::Message { from: v(from), message }, &mut out),
            Err(reason) => replica.refuse(now, v(from), &envelope, reason, &mut out),
        }
        out
    }
}

fn genesis() -> Tip {
    Tip { block_num: BlockNum(0), hash: GENESIS, proposer: v(0), seal: None }
}

fn handle(replica: &mut Replica, now: Millis, event: Event) -> Vec<Action> {
    let mut out = vec![];
    replica.handle(now, event, &mut out);
    out
}

fn available(replica: &mut Replica, header: &Header) -> Vec<Action> {
    handle(replica, 1, Event::Available { block_hash: header.hash() })
}

fn refused(actions: &[Action]) -> Vec<Refusal> {
    let reason = |action: &Action| match action {
        Action::Note(Note::Refused { reason, .. }) => Some(*reason),
        _ => None,
    };
    actions.iter().filter_map(reason).collect()
}

fn message(action: &Action) -> Option<&Message> {
    match action {
        Action::Send { message, .. } | Action::Broadcast(message) => Some(&message.message),
        _ => None,
    }
}

fn sent(actions: &[Action]) -> Vec<&Message> {
    actions.iter().filter_map(message).collect()
}

fn record(actions: &[Action]) -> Option<SafetyRecord> {
    actions.iter().rev().find_map(|action| match action {
        Action::Persist(record) => Some(record.clone()),
        _ => None,
    })
}

fn position(actions: &[Action], fits: impl Fn(&Action) -> bool) -> usize {
    actions.iter().position(fits).expect("the action is among them")
}

/// The leader of view 0 after its own proposal.
fn leading(bench: &Bench) -> (Replica, Header, Vec<Action>) {
    let (mut replica, out) = bench.restarted(0, genesis(), None);
    assert!(out.contains(&Action::Build { block_num: BlockNum(1), view_id: ViewId(0) }));
    let header = bench.header(0, 1);
    let built = Event::Built { block_num: BlockNum(1), view_id: ViewId(0), header: header.clone() };
    let out = handle(&mut replica, 0, built);
    (replica, header, out)
}

/// Validator `me` in view 0 with an available proposal, after its Prepare.
fn prepared_once(bench: &Bench, me: u16) -> (Replica, Header, Vec<Action>) {
    let (mut replica, header) = (bench.replica(me), bench.header(0, 1));
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    let out = available(&mut replica, &header);
    (replica, header, out)
}

#[test]
fn commit_before_prepared_is_rejected() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    let early = bench.vote(1, Phase::Commit, 0, header.hash());
    assert_eq!(refused(&bench.feed(&mut leader, 0, 1, early)), [Refusal::FutureView]);
    let (mut validator, header, _) = prepared_once(&bench, 3);
    let out = bench.feed(&mut validator, 0, 0, bench.prepared(0, &header));
    assert!(matches!(sent(&out)[..], [Message::Commit(_)]), "only the certificate brings a Commit: {out:?}");
}

#[test]
fn no_vote_leaves_before_the_body_is_available() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    let out = bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    assert!(sent(&out).is_empty());
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0)] }));
    let out = bench.feed(&mut replica, 0, 0, bench.prepared(0, &header));
    assert!(sent(&out).is_empty());
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0), v(1), v(2)] }));
    let out = available(&mut replica, &header);
    assert!(matches!(sent(&out)[..], [Message::Prepare(_), Message::Commit(_)]), "{out:?}");
}

#[test]
fn an_invalid_body_gets_no_vote_and_ends_the_view() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    let out = handle(&mut replica, 1, Event::Invalid { block_hash: header.hash() });
    assert!(matches!(sent(&out)[..], [Message::ViewChange(_)]), "{out:?}");
    assert_eq!(replica.view_id(), ViewId(1));
}

#[test]
fn votes_are_durable_before_they_leave_and_a_commit_with_its_certificate() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, out) = prepared_once(&bench, 3);
    let cast = Some(Cast { view_id: ViewId(0), block_hash: header.hash() });
    let persist = position(&out, |a| matches!(a, Action::Persist(record) if record.prepare == cast));
    assert!(persist < position(&out, |a| matches!(a, Action::Send { .. })));
    let prepared = bench.prepared(0, &header);
    let out = bench.feed(&mut replica, 0, 0, prepared.clone());
    let Message::Prepared(certificate) = prepared.message else { unreachable!() };
    let lock = Some((certificate, header));
    let persist = position(&out, |a| matches!(a, Action::Persist(r) if r.commit == cast && r.lock == lock));
    assert!(persist < position(&out, |a| matches!(a, Action::Send { .. })));
}

#[test]
fn a_leader_persists_its_proposal_before_it_announces_and_distributes_afterwards() {
    let bench = Bench::new(&[1; 4]);
    let (_, header, out) = leading(&bench);
    let cast = Some(Cast { view_id: ViewId(0), block_hash: header.hash() });
    let persist = position(&out, |a| matches!(a, Action::Persist(r) if r.announce == cast && r.prepare == cast));
    let announce = position(&out, |a| matches!(a, Action::Broadcast(_)));
    assert!(persist < announce && announce < position(&out, |a| matches!(a, Action::Distribute { .. })));
}

#[test]
fn a_second_proposal_in_a_view_is_an_equivocation() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    let other = bench.header(0, 2);
    let out = bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &other));
    assert_eq!(refused(&out), [Refusal::Equivocation]);
    assert!(out.iter().any(
        |a| matches!(a, Action::Note(Note::Equivocation { by, first, .. }) if *by == v(0) && *first == header.hash())
    ));
    assert!(sent(&available(&mut replica, &other)).is_empty());
}

#[test]
fn a_validator_does_not_commit_to_another_block_than_it_prepared_in_the_view() {
    let bench = Bench::new(&[1; 4]);
    let (known, other) = (bench.header(0, 1), bench.header(1, 2));
    for (prepared, commits) in [(known.hash(), 1), (other.hash(), 0)] {
        let mut saved = SafetyRecord::new(BlockNum(1));
        saved.view_id = ViewId(1);
        saved.prepare = Some(Cast { view_id: ViewId(1), block_hash: prepared });
        saved.lock = Some((bench.certificate(&[0, 1, 2], Phase::Prepare, 0, &known), known.clone()));
        let (mut replica, _) = bench.restarted(3, genesis(), Some(saved));
        bench.feed(&mut replica, 0, 1, bench.prepared(1, &known));
        let out = available(&mut replica, &known);
        let sent = sent(&out);
        assert_eq!(sent.iter().filter(|message| matches!(message, Message::Commit(_))).count(), commits, "{out:?}");
    }
}

#[test]
fn a_restarted_validator_repeats_its_vote_and_never_contradicts_it() {
    let bench = Bench::new(&[1; 4]);
    let (_, header, out) = prepared_once(&bench, 3);
    let (saved, vote) = (record(&out), sent(&out)[0].clone());
    let (mut replica, _) = bench.restarted(3, genesis(), saved.clone());
    let other = bench.header(0, 2);
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &other));
    assert!(sent(&available(&mut replica, &other)).is_empty());
    let (mut replica, _) = bench.restarted(3, genesis(), saved);
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    assert_eq!(sent(&available(&mut replica, &header)), [&vote]);
}

#[test]
fn a_restarted_leader_does_not_propose_twice_in_a_view() {
    let bench = Bench::new(&[1; 4]);
    let (_, _, out) = leading(&bench);
    let (_, out) = bench.restarted(0, genesis(), record(&out));
    assert!(!out.iter().any(|action| matches!(action, Action::Build { .. })));
}

#[test]
fn a_restarted_validator_keeps_its_view_and_reports_its_lock() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    bench.feed(&mut replica, 0, 0, bench.prepared(0, &header));
    let out = handle(&mut replica, 5 * TIMEOUT, Event::Tick);
    let persist = position(&out, |a| matches!(a, Action::Persist(record) if record.view_id == ViewId(1)));
    assert!(persist < position(&out, |a| matches!(a, Action::Broadcast(_))));
    let said = sent(&out)[0].clone();
    assert!(matches!(&said, Message::ViewChange(view_change) if view_change.prepared.is_some()));
    let (replica, out) = bench.restarted(3, genesis(), record(&out));
    assert_eq!(replica.view_id(), ViewId(1));
    assert_eq!(sent(&out), [&said]);
}

#[test]
fn a_record_of_a_later_height_silences_a_replica_until_it_has_caught_up() {
    let bench = Bench::new(&[1; 4]);
    let later = SafetyRecord::new(BlockNum(2));
    let (mut replica, out) = bench.restarted(3, genesis(), Some(later));
    assert!(out.iter().any(|action| matches!(action, Action::Note(Note::Muted(_)))));
    let header = bench.header(0, 1);
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    let out = available(&mut replica, &header);
    assert!(sent(&out).is_empty() && record(&out).is_none());
    bench.feed(&mut replica, 0, 0, bench.committed(0, &header));
    assert_eq!(replica.block_num(), BlockNum(2));
    let seal = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header);
    let next = bench.next(&header, seal);
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &next));
    assert!(matches!(sent(&available(&mut replica, &next))[..], [Message::Prepare(_)]));
}

#[test]
fn a_record_whose_certificate_does_not_verify_silences_a_replica() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    let mut saved = record(&bench.feed(&mut replica, 0, 0, bench.prepared(0, &header))).unwrap();
    saved.lock.as_mut().unwrap().0.signature.0[5] ^= 1;
    let (mut replica, out) = bench.restarted(3, genesis(), Some(saved));
    assert!(out.iter().any(|action| matches!(action, Action::Note(Note::Muted(_)))));
    assert!(sent(&handle(&mut replica, 5 * TIMEOUT, Event::Tick)).is_empty());
}

#[test]
fn headers_that_do_not_fit_their_place_are_refused() {
    let bench = Bench::new(&[1; 4]);
    let seal = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &bench.header(0, 1));
    let cases: [(&dyn Fn(&mut Header), Refusal); 8] = [
        (&|header| header.parent = Hash([1; 32]), Refusal::WrongParent),
        (&|header| header.proposer = v(2), Refusal::WrongLeader),
        (&|header| header.proposer = v(4), Refusal::BadHeader),
        (&|header| header.view_id = ViewId(1), Refusal::BadHeader),
        (&|header| header.chain = ChainId(8), Refusal::StrangerChain),
        (&|header| header.shard = ShardId(1), Refusal::StrangerShard),
        (&|header| header.parent_seal = Some(seal.clone()), Refusal::BadParentSeal),
        (
            &|header| {
                let output_and_proof = vec![0; 1 << 20];
                header.beacon.vdf = Some(crate::block::VdfField { window: 0, output_and_proof });
            },
            Refusal::TooLong,
        ),
    ];
    for (index, (change, reason)) in cases.into_iter().enumerate() {
        let mut header = bench.header(0, 1);
        change(&mut header);
        let out = bench.feed(&mut bench.replica(3), 0, 0, bench.announce(0, 0, &header));
        assert_eq!(refused(&out), [reason], "case {index}");
    }
}

#[test]
fn a_parent_seal_must_be_a_commit_quorum_for_the_parent() {
    let bench = Bench::new(&[1; 4]);
    let parent = bench.header(0, 1);
    let good = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &parent);
    let verdict = |seal: Option<Certificate>| {
        let mut header = bench.next(&parent, good.clone());
        header.parent_seal = seal;
        bench.verdict(0, &bench.announce(0, 0, &header))
    };
    assert_eq!(verdict(Some(good.clone())), Ok(()));
    assert_eq!(verdict(None), Err(Refusal::BadParentSeal));
    let other = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &bench.header(0, 2));
    assert_eq!(verdict(Some(other)), Err(Refusal::BadParentSeal));
    assert_eq!(verdict(Some(bench.certificate(&[0, 1, 2], Phase::Prepare, 0, &parent))), Err(Refusal::WrongPhase));
    assert_eq!(verdict(Some(bench.certificate(&[0, 1], Phase::Commit, 0, &parent))), Err(Refusal::NoQuorum));
    assert_eq!(verdict(Some(Certificate { view_id: ViewId(1), ..good.clone() })), Err(Refusal::BadSignature));
}

#[test]
fn only_the_leader_of_a_view_may_announce_in_it() {
    let bench = Bench::new(&[1; 4]);
    let mut header = bench.header(0, 1);
    header.proposer = v(1);
    let out = bench.feed(&mut bench.replica(3), 0, 1, bench.announce(1, 0, &header));
    assert_eq!(refused(&out), [Refusal::WrongLeader]);
    // Relayed by somebody else, the leader's own announce proves nothing about who leads.
    let header = bench.header(0, 1);
    assert_eq!(bench.verdict(1, &bench.announce(0, 0, &header)), Err(Refusal::BadSignature));
}

#[test]
fn strangers_are_refused() {
    let bench = Bench::new(&[1; 4]);
    let replica = bench.replica(3);
    let good = bench.announce(0, 0, &bench.header(0, 1));
    let chain = Envelope { chain: ChainId(8), ..good.clone() };
    let shard = Envelope { shard: ShardId(9), ..good.clone() };
    for (from, envelope, reason) in [
        (0, &chain, Refusal::StrangerChain),
        (0, &shard, Refusal::StrangerShard),
        (4, &good, Refusal::UnknownValidator),
        (u16::MAX, &good, Refusal::UnknownValidator),
    ] {
        assert_eq!(replica.wants(v(from), envelope), Err(reason));
        assert_eq!(bench.verdict(from, envelope), Err(reason));
    }
    assert_eq!(replica.wants(v(3), &good), Err(Refusal::UnknownValidator), "its own messages do not come back");
}

#[test]
fn a_vote_is_by_one_or_by_all_slots_of_its_sender() {
    let bench = Bench::new(&[3, 3, 3, 3]);
    let hash = bench.header(0, 1).hash();
    let vote = |by, slots: &[u16]| {
        let slots: Vec<Slot> = slots.iter().map(|&slot| Slot(slot)).collect();
        bench.vote_of(by, &slots, Phase::Prepare, 1, 0, hash)
    };
    assert_eq!(bench.verdict(1, &vote(1, &[4])), Ok(()));
    assert_eq!(bench.verdict(1, &vote(1, &[3, 4, 5])), Ok(()));
    assert_eq!(bench.verdict(1, &vote(1, &[3, 4])), Err(Refusal::BitmapSlots));
    assert_eq!(bench.verdict(1, &vote(1, &[])), Err(Refusal::BitmapSlots));
    assert_eq!(bench.verdict(2, &vote(1, &[3])), Err(Refusal::WrongSender));
    let bitmap = |bytes: &[u8]| {
        let mut envelope = vote(1, &[4]);
        let Message::Prepare(vote) = &mut envelope.message else { unreachable!() };
        vote.signers = bytes.to_vec();
        bench.verdict(1, &envelope)
    };
    assert_eq!(bitmap(&[16]), Err(Refusal::BitmapLength));
    assert_eq!(bitmap(&[16, 0, 0]), Err(Refusal::BitmapLength));
    assert_eq!(bitmap(&[16, 16]), Err(Refusal::BitmapSpareBits));
}

#[test]
fn no_slot_counts_twice_and_no_vote_is_taken_twice() {
    let bench = Bench::new(&[3, 3, 3, 3]);
    let (mut leader, header, _) = leading(&bench);
    let hash = header.hash();
    let one = bench.vote_of(1, &[Slot(3)], Phase::Prepare, 1, 0, hash);
    assert!(refused(&bench.feed(&mut leader, 0, 1, one.clone())).is_empty());
    assert_eq!(refused(&bench.feed(&mut leader, 0, 1, one)), [Refusal::Replay]);
    let all = bench.vote(1, Phase::Prepare, 0, hash);
    assert_eq!(refused(&bench.feed(&mut leader, 0, 1, all)), [Refusal::Replay]);
    // 3 + 1 + 3 slots of 12 are no quorum; 3 + 3 + 3 is, strictly above 8.
    assert!(sent(&bench.feed(&mut leader, 0, 2, bench.vote(2, Phase::Prepare, 0, hash))).is_empty());
    let four = bench.vote_of(1, &[Slot(4)], Phase::Prepare, 1, 0, hash);
    assert!(sent(&bench.feed(&mut leader, 0, 1, four)).is_empty());
    let five = bench.vote_of(1, &[Slot(5)], Phase::Prepare, 1, 0, hash);
    let out = bench.feed(&mut leader, 0, 1, five);
    let [Message::Prepared(certificate)] = sent(&out)[..] else { panic!("{out:?}") };
    assert!(QuorumCertificate::try_new(certificate.clone(), &bench.committee, &*bench.signers[3]).is_ok());
}

#[test]
fn votes_for_another_height_view_or_block_are_refused() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    let hash = header.hash();
    let at = |num, view, hash| bench.vote_of(1, &[Slot(1)], Phase::Prepare, num, view, hash);
    for (vote, reason) in [
        (at(0, 0, hash), Refusal::StaleHeight),
        (at(3, 0, hash), Refusal::FutureHeight),
        (at(u64::MAX, u64::MAX, hash), Refusal::FutureHeight),
        (at(1, 1, hash), Refusal::FutureView),
        (at(1, 0, Hash([5; 32])), Refusal::WrongBlock),
    ] {
        assert_eq!(refused(&bench.feed(&mut leader, 0, 1, vote)), [reason]);
    }
    let vote = bench.vote(2, Phase::Prepare, 0, hash);
    assert_eq!(refused(&bench.feed(&mut bench.replica(3), 0, 2, vote)), [Refusal::WrongLeader]);
}

#[test]
fn certificates_need_a_quorum_the_right_phase_and_their_own_signatures() {
    let bench = Bench::new(&[1; 4]);
    let header = bench.header(0, 1);
    let prepared = |certificate| bench.verdict(0, &bench.wrap(Message::Prepared(certificate)));
    let good = bench.certificate(&[0, 1, 2], Phase::Prepare, 0, &header);
    assert_eq!(prepared(good.clone()), Ok(()));
    assert_eq!(prepared(bench.certificate(&[0, 1], Phase::Prepare, 0, &header)), Err(Refusal::NoQuorum));
    assert_eq!(prepared(bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header)), Err(Refusal::WrongPhase));
    assert_eq!(prepared(Certificate { signers: vec![15], ..good.clone() }), Err(Refusal::BadSignature));
    assert_eq!(prepared(Certificate { signers: vec![0x87], ..good.clone() }), Err(Refusal::BitmapSpareBits));
    assert_eq!(prepared(Certificate { view_id: ViewId(1), ..good.clone() }), Err(Refusal::BadSignature));
    // Prepares passed off as Commits.
    let committed = bench.wrap(Message::Committed(Certificate { phase: Phase::Commit, ..good }));
    assert_eq!(bench.verdict(0, &committed), Err(Refusal::BadSignature));
}

/// Counts calls, so that a batch can be told from many.
struct Counting(Arc<HashCrypto>, AtomicUsize);

impl Crypto for Counting {
    fn sign(&self, slots: &[Slot], message: &[u8]) -> Signature {
        self.0.sign(slots, message)
    }
    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        self.0.aggregate(signatures)
    }
    fn verify(&self, claims: &[Claim]) -> Vec<bool> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verify(claims)
    }
}

#[test]
fn a_slice_is_verified_in_one_call_and_nothing_taints_its_neighbours() {
    let bench = Bench::new(&[1; 4]);
    let header = bench.header(0, 1);
    let mut bad = bench.vote(2, Phase::Prepare, 0, header.hash());
    let Message::Prepare(vote) = &mut bad.message else { unreachable!() };
    vote.signature.0[0] ^= 1;
    let lock = Some((0, &header));
    let new_view = bench.new_view(1, (0..3).map(|by| bench.view_change(by, 1, lock)).collect());
    let items = [
        (v(1), bench.vote(1, Phase::Prepare, 0, header.hash())),
        (v(2), bad),
        (v(9), bench.prepared(0, &header)),
        (v(1), new_view),
        (v(0), bench.announce(0, 0, &header)),
    ];
    let crypto = Counting(bench.signers[0].clone(), AtomicUsize::new(0));
    let verdicts: Vec<_> =
        verify(&items, &bench.committee, &crypto).into_iter().map(|verdict| verdict.map(|_| ())).collect();
    let expected = [Ok(()), Err(Refusal::BadSignature), Err(Refusal::UnknownValidator), Ok(()), Ok(())];
    assert_eq!(verdicts, expected);
    assert_eq!(crypto.1.load(Ordering::Relaxed), 1);
}

#[test]
fn view_changes_that_contradict_themselves_are_refused() {
    let bench = Bench::new(&[1; 4]);
    let (header, other) = (bench.header(0, 1), bench.header(0, 2));
    let verdict = |from, view_change| bench.verdict(from, &bench.wrap(Message::ViewChange(view_change)));
    assert_eq!(verdict(1, bench.view_change(1, 1, Some((0, &header)))), Ok(()));
    assert_eq!(verdict(2, bench.view_change(1, 1, None)), Err(Refusal::WrongSender));
    assert_eq!(verdict(1, bench.view_change(1, 0, None)), Err(Refusal::BadViewChange));
    assert_eq!(verdict(1, bench.view_change(1, 1, Some((1, &header)))), Err(Refusal::BadViewChange));
    let mut swapped = bench.view_change(1, 1, Some((0, &header)));
    swapped.prepared.as_mut().unwrap().1 = other;
    assert_eq!(verdict(1, swapped), Err(Refusal::BadViewChange));
    // The certificate is part of what is signed: it can neither be dropped nor added.
    let mut dropped = bench.view_change(1, 1, Some((0, &header)));
    let prepared = dropped.prepared.take();
    assert_eq!(verdict(1, dropped), Err(Refusal::BadSignature));
    let mut added = bench.view_change(1, 1, None);
    added.prepared = prepared;
    assert_eq!(verdict(1, added), Err(Refusal::BadSignature));
}

#[test]
fn a_new_view_needs_a_quorum_of_distinct_senders_for_its_view() {
    let bench = Bench::new(&[1; 4]);
    let to = |by, view| bench.view_change(by, view, None);
    let verdict = |view_changes| bench.verdict(1, &bench.new_view(1, view_changes));
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), to(2, 1)]), Ok(()));
    assert_eq!(verdict(vec![to(0, 1), to(1, 1)]), Err(Refusal::NoQuorum));
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), to(1, 1)]), Err(Refusal::BadViewChange));
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), to(2, 2)]), Err(Refusal::BadViewChange));
    let stranger = ViewChange { sender: v(4), ..to(2, 1) };
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), stranger]), Err(Refusal::UnknownValidator));
    let forged = ViewChange { sender: v(3), ..to(2, 1) };
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), forged]), Err(Refusal::BadSignature));
    let good = bench.new_view(1, vec![to(0, 1), to(1, 1), to(2, 1)]);
    assert_eq!(refused(&bench.feed(&mut bench.replica(3), 0, 2, good)), [Refusal::WrongLeader]);
}

#[test]
fn a_new_view_must_propose_the_block_of_its_highest_certificate() {
    let bench = Bench::new(&[1; 4]);
    let (low, high, fresh) = (bench.header(0, 1), bench.header(1, 2), bench.header(2, 3));
    let locks = [Some((0, &low)), Some((1, &high)), None];
    let new_view = bench.new_view(2, (0..3).map(|by| bench.view_change(by, 2, locks[usize::from(by)])).collect());
    for (header, expected) in
        [(&low, vec![Refusal::WrongChoice]), (&fresh, vec![Refusal::WrongChoice]), (&high, vec![])]
    {
        let mut replica = bench.replica(3);
        bench.feed(&mut replica, 0, 2, new_view.clone());
        assert_eq!(replica.view_id(), ViewId(2));
        let out = bench.feed(&mut replica, 0, 2, bench.announce(2, 2, header));
        assert_eq!(refused(&out), expected);
    }
}

#[test]
fn a_new_view_without_certificates_must_propose_a_block_made_for_it() {
    let bench = Bench::new(&[1; 4]);
    let new_view = bench.new_view(1, (0..3).map(|by| bench.view_change(by, 1, None)).collect());
    for (header, expected) in [(bench.header(0, 1), vec![Refusal::WrongChoice]), (bench.header(1, 1), vec![])] {
        let mut replica = bench.replica(3);
        bench.feed(&mut replica, 0, 1, new_view.clone());
        assert_eq!(refused(&bench.feed(&mut replica, 0, 1, bench.announce(1, 1, &header))), expected);
    }
}

#[test]
fn a_proposal_of_a_later_view_waits_for_its_new_view() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(1, 1));
    let out = bench.feed(&mut replica, 0, 1, bench.announce(1, 1, &header));
    assert!(refused(&out).is_empty() && replica.view_id() == ViewId(0));
    assert!(sent(&available(&mut replica, &header)).is_empty());
    let new_view = bench.new_view(1, (0..3).map(|by| bench.view_change(by, 1, None)).collect());
    let out = bench.feed(&mut replica, 0, 1, new_view);
    assert!(matches!(sent(&out)[..], [Message::Prepare(vote)] if vote.block_hash == header.hash()), "{out:?}");
}

#[test]
fn a_locked_validator_prepares_another_block_only_where_a_new_view_justifies_it() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    bench.feed(&mut replica, 0, 0, bench.prepared(0, &header));
    let other = bench.header(1, 2);
    bench.feed(&mut replica, 0, 1, bench.announce(1, 1, &other));
    assert!(sent(&available(&mut replica, &other)).is_empty(), "an announce alone justifies nothing");
    // A quorum without any certificate proves that nobody committed in view 0: its members would report it.
    let new_view = bench.new_view(1, (0..3).map(|by| bench.view_change(by, 1, None)).collect());
    let out = bench.feed(&mut replica, 0, 1, new_view);
    assert!(matches!(sent(&out)[..], [Message::Prepare(vote)] if vote.block_hash == other.hash()), "{out:?}");
}

#[test]
fn a_new_leader_opens_its_view_at_a_quorum_and_proposes_the_highest_certificate_again() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header) = (bench.replica(1), bench.header(0, 1));
    let out = handle(&mut leader, 5 * TIMEOUT, Event::Tick);
    assert!(matches!(sent(&out)[..], [Message::ViewChange(_)]));
    let change = |by, lock| bench.wrap(Message::ViewChange(bench.view_change(by, 1, lock)));
    assert!(sent(&bench.feed(&mut leader, 5 * TIMEOUT, 0, change(0, None))).is_empty());
    let out = bench.feed(&mut leader, 5 * TIMEOUT, 2, change(2, Some((0, &header))));
    let [Message::NewView(new_view), Message::Announce(announce)] = sent(&out)[..] else { panic!("{out:?}") };
    assert_eq!((new_view.view_changes.len(), announce.view_id, &announce.header), (3, ViewId(1), &header));
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0), v(2)] }));
    assert!(!out.iter().any(|action| matches!(action, Action::Distribute { .. } | Action::Build { .. })));
    // A validator that shows that it missed the beginning gets it again.
    let out = bench.feed(&mut leader, 6 * TIMEOUT, 0, change(0, None));
    assert!(matches!(sent(&out)[..], [Message::NewView(_), Message::Announce(_)]), "{out:?}");
}

#[test]
fn a_new_leader_without_certificates_builds_afresh() {
    let bench = Bench::new(&[1; 4]);
    let mut leader = bench.replica(1);
    handle(&mut leader, 5 * TIMEOUT, Event::Tick);
    let mut out = vec![];
    for by in [0, 2] {
        let change = bench.wrap(Message::ViewChange(bench.view_change(by, 1, None)));
        out = bench.feed(&mut leader, 5 * TIMEOUT, by, change);
    }
    assert!(out.contains(&Action::Build { block_num: BlockNum(1), view_id: ViewId(1) }), "{out:?}");
}

#[test]
fn one_faulty_validator_cannot_pull_others_to_its_view_but_two_senders_can() {
    let bench = Bench::new(&[1; 4]);
    let mut replica = bench.replica(3);
    let change = |by, view| bench.wrap(Message::ViewChange(bench.view_change(by, view, None)));
    bench.feed(&mut replica, 0, 0, change(0, u64::MAX));
    assert_eq!(replica.view_id(), ViewId(0));
    let out = bench.feed(&mut replica, 0, 2, change(2, 5));
    assert_eq!(replica.view_id(), ViewId(5), "the second highest");
    assert!(matches!(sent(&out)[..], [Message::ViewChange(own)] if own.view_id == ViewId(5)));
}

#[test]
fn the_timer_of_a_view_waits_for_a_quorum_to_reach_it() {
    let bench = Bench::new(&[1; 4]);
    let mut replica = bench.replica(3);
    let mut now = 5 * TIMEOUT;
    handle(&mut replica, now, Event::Tick);
    for _ in 0..10 {
        now += TIMEOUT;
        let out = handle(&mut replica, now, Event::Tick);
        assert!(matches!(sent(&out)[..], [Message::ViewChange(own)] if own.view_id == ViewId(1)), "repeated: {out:?}");
    }
    for by in [0, 2] {
        bench.feed(&mut replica, now, by, bench.wrap(Message::ViewChange(bench.view_change(by, 1, None))));
    }
    handle(&mut replica, now + TIMEOUT / 2, Event::Tick);
    assert_eq!(replica.view_id(), ViewId(1));
    handle(&mut replica, now + 2 * TIMEOUT, Event::Tick);
    assert_eq!(replica.view_id(), ViewId(2));
}

#[test]
fn no_vote_is_cast_in_a_view_that_was_left() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    handle(&mut replica, 5 * TIMEOUT, Event::Tick);
    assert!(sent(&available(&mut replica, &header)).is_empty());
    let out = bench.feed(&mut replica, 5 * TIMEOUT, 0, bench.prepared(0, &header));
    assert_eq!((refused(&out), sent(&out).len()), (vec![Refusal::StaleView], 0));
}

#[test]
fn a_prepared_certificate_of_a_higher_view_brings_a_replica_there() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(2, 1));
    bench.feed(&mut replica, 0, 1, bench.prepared(2, &header));
    assert_eq!(replica.view_id(), ViewId(2));
    let out = bench.feed(&mut replica, 0, 2, bench.announce(2, 2, &header));
    assert!(refused(&out).is_empty(), "the certificate justifies its own block: {out:?}");
    assert!(matches!(sent(&available(&mut replica, &header))[..], [Message::Prepare(_), Message::Commit(_)]));
}

#[test]
fn a_certified_block_is_final_once_its_body_is_available() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    let out = bench.feed(&mut replica, 0, 0, bench.committed(0, &header));
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0), v(1), v(2)] }));
    let out = available(&mut replica, &header);
    assert!(out.iter().any(|action| matches!(action, Action::Finalize { header: h, .. } if *h == header)));
    assert_eq!((replica.tip().block_num, replica.tip().hash), (BlockNum(1), header.hash()));
}

#[test]
fn a_certificate_without_a_header_asks_for_it_and_a_synced_block_ends_the_search() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    let out = bench.feed(&mut replica, 0, 2, bench.committed(0, &header));
    assert!(out.contains(&Action::Behind { from: v(2), block_num: BlockNum(1) }));
    let seal = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header);
    let seal = QuorumCertificate::try_new(seal, &bench.committee, &*bench.signers[0]).unwrap();
    handle(&mut replica, 1, Event::Synced { header: bench.header(0, 2), seal: seal.clone() });
    assert!(available(&mut replica, &bench.header(0, 2)).iter().all(|a| !matches!(a, Action::Finalize { .. })));
    handle(&mut replica, 1, Event::Synced { header: header.clone(), seal });
    assert!(available(&mut replica, &header).iter().any(|a| matches!(a, Action::Finalize { .. })));
}

#[test]
fn the_next_proposal_brings_the_seal_that_was_lost_and_is_kept_meanwhile() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    let next = bench.next(&header, bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header));
    let out = bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &next));
    assert!(out.iter().any(|action| matches!(action, Action::Finalize { .. })));
    assert!(out.contains(&Action::Obtain { header: next, from: vec![v(0)] }), "{out:?}");
}

#[test]
fn early_messages_are_bounded_per_sender() {
    let bench = Bench::new(&[1; 4]);
    let mut replica = bench.replica(3);
    let early = |by, view| bench.vote_of(by, &[Slot(by)], Phase::Prepare, 2, view, Hash([1; 32]));
    let full =
        (0..100).position(|view| refused(&bench.feed(&mut replica, 0, 1, early(1, view))) == [Refusal::BufferFull]);
    assert_eq!(full, Some(10));
    assert_eq!(refused(&bench.feed(&mut replica, 0, 2, early(2, 0))), [], "one sender does not crowd out another");
    assert_eq!(refused(&bench.feed(&mut replica, 0, 2, early(2, 0))), [Refusal::Replay]);
}

#[test]
fn late_commits_make_the_parent_seal_fuller_until_the_next_block_is_built() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    let hash = header.hash();
    for (phase, by) in [Phase::Prepare, Phase::Commit].into_iter().flat_map(|phase| [(phase, 1), (phase, 2)]) {
        bench.feed(&mut leader, 0, by, bench.vote(by, phase, 0, hash));
    }
    assert_eq!(leader.tip().hash, hash);
    let signers = |leader: &Replica| leader.parent_seal().unwrap().signers;
    assert_eq!(signers(&leader), [0b0111]);
    let late = bench.vote(3, Phase::Commit, 0, hash);
    let out = bench.feed(&mut leader, 0, 3, late.clone());
    assert!(
        out.iter().any(|action| matches!(action, Action::Note(Note::CommitAll(at)) if at.block_num == BlockNum(1)))
    );
    assert_eq!(signers(&leader), [0b1111]);
    let seal = leader.parent_seal().unwrap();
    assert!(QuorumCertificate::try_new(seal, &bench.committee, &*bench.signers[1]).is_ok());
    assert_eq!(refused(&bench.feed(&mut leader, 0, 3, late)), [Refusal::Replay]);
}

#[test]
fn lagging_and_leading_peers_are_reported_at_a_limited_rate() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    bench.feed(&mut replica, 0, 0, bench.committed(0, &header));
    let old = bench.wrap(Message::ViewChange(bench.view_change(2, 1, None)));
    let behind = Action::PeerBehind { to: v(2), block_num: BlockNum(1) };
    let reports = [0, 1, 2, TIMEOUT].map(|now| bench.feed(&mut replica, now, 2, old.clone()).contains(&behind));
    assert_eq!(reports, [true, false, false, true]);
    let ahead = bench.vote_of(1, &[Slot(1)], Phase::Prepare, 9, 0, header.hash());
    let behind = Action::Behind { from: v(1), block_num: BlockNum(2) };
    let reports = [0, 1, TIMEOUT].map(|now| bench.feed(&mut replica, now, 1, ahead.clone()).contains(&behind));
    assert_eq!(reports, [true, false, true]);
}

#[test]
fn a_validator_repeats_its_vote_when_the_leader_repeats_itself() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, out) = prepared_once(&bench, 3);
    let vote = sent(&out)[0].clone();
    let again = bench.feed(&mut replica, TIMEOUT, 0, bench.announce(0, 0, &header));
    assert_eq!(sent(&again), [&vote]);
    assert!(sent(&bench.feed(&mut replica, TIMEOUT, 0, bench.announce(0, 0, &header))).is_empty(), "at a limited rate");
}

#[test]
fn a_leader_repeats_itself_to_those_whose_vote_is_missing() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    bench.feed(&mut leader, 0, 1, bench.vote(1, Phase::Prepare, 0, header.hash()));
    let out = handle(&mut leader, TIMEOUT / 4, Event::Tick);
    let to: Vec<_> = out
        .iter()
        .filter_map(|action| match action {
            Action::Send { to, message } if matches!(message.message, Message::Announce(_)) => Some(*to),
            _ => None,
        })
        .collect();
    assert_eq!(to, [v(2), v(3)]);
}

#[test]
fn a_message_is_only_taken_from_the_peer_that_it_was_verified_for() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    let vote = bench.vote(1, Phase::Prepare, 0, header.hash());
    let message = verify(&[(v(1), vote)], &bench.committee, &*bench.signers[0]).remove(0).unwrap();
    let out = handle(&mut leader, 0, Event::Message { from: v(2), message });
    assert_eq!(refused(&out), [Refusal::WrongSender]);
}
