//! One validator on the bench: a core whose frames a test makes by hand. Jobs run at once, disk and outputs are at hand.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::actor::encode;
use super::disk::Disk;
use super::scenario::Scenario;
use super::world::World;
use crate::fbft::Note;
use crate::fbft::message::{Envelope, Message};
use crate::net::Lane;
use crate::node::core::{Core, Input, Mark, Output};
use crate::node::frame::{Fetch, Urgent};
use crate::types::{BlockNum, Hash, Millis, ValidatorIndex, ViewId};

/// What came out of an input, and of the jobs that it started.
#[derive(Debug, Default)]
pub struct Came {
    pub sent: Vec<(Option<ValidatorIndex>, Lane, Bytes)>,
    pub persisted: usize,
    /// Why something was refused, and of whom.
    pub refused: Vec<(ValidatorIndex, String)>,
    pub punished: Vec<(ValidatorIndex, &'static str)>,
}

impl Came {
    pub fn refused(&self, reason: &str) -> bool {
        self.refused.iter().any(|(_, known)| known == reason)
    }

    pub fn fetches(&self) -> Vec<(Option<ValidatorIndex>, Fetch)> {
        let fetches = self.sent.iter().filter(|(_, lane, _)| *lane == Lane::Fetch);
        fetches.map(|(to, _, bytes)| (*to, borsh::from_slice(bytes).unwrap())).collect()
    }

    pub fn envelopes(&self) -> Vec<Envelope> {
        let urgent = self.sent.iter().filter(|(_, lane, _)| *lane == Lane::Consensus);
        urgent
            .filter_map(|(_, _, bytes)| match borsh::from_slice(bytes).unwrap() {
                Urgent::Fbft(envelope) => Some(envelope),
                Urgent::Vdf(_) => None,
            })
            .collect()
    }
}

/// See the module.
pub struct Lab {
    pub world: World,
    pub core: Core,
    pub me: usize,
    pub disk: Arc<Mutex<Disk>>,
    pub now: Millis,
}

impl Lab {
    /// Takes validator `me` out of a world onto the bench, where it starts on what `disk` holds.
    pub fn new(mut world: World, me: usize, disk: Disk) -> (Self, Came) {
        world.nodes[me].core = None;
        world.nodes[me].disk = Arc::new(Mutex::new(disk));
        let mut out = Vec::new();
        let core = world.core(me, &mut out).unwrap();
        let (disk, now) = (world.nodes[me].disk.clone(), world.now());
        let mut lab = Self { world, core, me, disk, now };
        let came = lab.take(out);
        (lab, came)
    }

    /// A validator of a committee that has not begun.
    pub fn fresh(validators: usize, me: usize) -> (Self, Came) {
        Self::new(World::new(Scenario::calm(5, validators)), me, Disk::default())
    }

    fn take(&mut self, out: Vec<Output>) -> Came {
        let mut came = Came::default();
        let mut line: std::collections::VecDeque<Output> = out.into();
        while let Some(output) = line.pop_front() {
            match output {
                Output::Send { to, lane, bytes } => came.sent.push((to, lane, bytes)),
                Output::Persist(records) => {
                    came.persisted += records.len();
                    self.disk.lock().unwrap().append(records);
                }
                Output::Job(job) => {
                    let done = job.run(self.world.context(self.me));
                    let mut more = Vec::new();
                    self.core.handle(self.now, Input::Done(Box::new(done)), &mut more);
                    line.extend(more);
                }
                Output::Punish { peer, reason } => came.punished.push((peer, reason)),
                Output::Mark(Mark::Fbft(Note::Refused { from, reason })) => {
                    came.refused.push((from, format!("{reason:?}")));
                }
                Output::Mark(Mark::Refused { from, reason }) => came.refused.push((from, reason.to_owned())),
                Output::Mark(_) | Output::WakeAt(_) => {}
                Output::Fail(reason) => panic!("the validator gave up: {reason}"),
            }
        }
        came
    }

    pub fn handle(&mut self, input: Input) -> Came {
        let mut out = Vec::new();
        self.core.handle(self.now, input, &mut out);
        self.take(out)
    }

    /// Lets time pass.
    pub fn wait(&mut self, millis: Millis) -> Came {
        self.now += millis;
        self.handle(Input::Tick)
    }

    pub fn frame(&mut self, from: u16, lane: Lane, bytes: impl Into<Bytes>) -> Came {
        self.handle(Input::Frame { from: ValidatorIndex(from), lane, bytes: bytes.into() })
    }

    pub fn message(&mut self, from: u16, envelope: &Envelope) -> Came {
        self.frame(from, Lane::Consensus, encode(&Urgent::Fbft(envelope.clone())))
    }

    pub fn fetch(&mut self, from: u16, fetch: &Fetch) -> Came {
        self.frame(from, Lane::Fetch, encode(fetch))
    }

    pub fn wrap(&self, message: Message) -> Envelope {
        Envelope { chain: self.world.committee.chain(), shard: self.world.committee.shard(), message }
    }

    /// Where the validator is: tip, view, state and durable records.
    pub fn standing(&self) -> (BlockNum, Hash, ViewId, Hash, usize) {
        let (replica, ledger) = (self.core.replica(), self.core.ledger());
        let tip = replica.tip();
        (tip.block_num, tip.hash, replica.view_id(), ledger.state_root(), self.disk.lock().unwrap().records.len())
    }
}
