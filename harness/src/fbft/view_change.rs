//! How replicas leave a view that stalls and agree on where the next one starts.

#[cfg(test)]
use crate::fbft::api::Planted;
use crate::fbft::api::{Action, Note};
use crate::fbft::certificate::Certificate;
use crate::fbft::crypto::{Kind, payload};
use crate::fbft::message::{Message, NewView, ViewChange};
use crate::fbft::replica::{Basis, Replica, View};
use crate::types::{Millis, ViewId};

impl Replica {
    /// Moves to the next view because this one takes too long or its leader is proven faulty.
    pub(super) fn give_up_view(&mut self, now: Millis, out: &mut Vec<Action>) {
        if let Some(next) = self.view_id().0.checked_add(1) {
            self.enter_view(now, ViewId(next), true, out);
        }
    }

    /// Leaves all views below `view_id` for good. With `say`, tells everybody by a ViewChange, once the new view is durable.
    pub(super) fn enter_view(&mut self, now: Millis, view_id: ViewId, say: bool, out: &mut Vec<Action>) {
        self.record.view_id = view_id;
        self.view = View::new(self.config.committee.slots());
        self.deadline = None;
        self.repeat_at = now.saturating_add(self.config.repeat_view_change_ms());
        self.height.announces.retain(|_, announce| announce.view_id >= view_id);
        self.prune_headers();
        self.persist(out);
        out.push(Action::Note(Note::ViewChangeStarted(self.at(None))));
        if say {
            self.say_view_change(out);
        }
    }

    /// Broadcasts a ViewChange to the view in progress, with the highest prepared certificate.
    pub(super) fn say_view_change(&mut self, out: &mut Vec<Action>) {
        if self.mute {
            return;
        }
        #[cfg_attr(not(test), expect(unused_mut, reason = "only a planted fault changes it"))]
        let mut prepared = self.record.lock.clone();
        #[cfg(test)]
        if self.config.plants(Planted::LockIgnored) {
            prepared = None;
        }
        let committee = &self.config.committee;
        let digest = Certificate::digest(prepared.as_ref().map(|(certificate, _)| certificate));
        let (block_num, view_id, sender) = (self.height.num, self.view_id(), self.config.me);
        let message = payload(committee.chain(), committee.shard(), Kind::ViewChange, block_num, view_id, &digest);
        let signature = self.crypto.sign(&self.own_slots(), &message);
        let view_change = ViewChange { block_num, view_id, sender, prepared, signature };
        let envelope = self.envelope(Message::ViewChange(view_change.clone()));
        self.height.view_changes.insert(sender, view_change);
        self.view.view_change = Some(envelope.clone());
        out.push(Action::Broadcast(envelope));
    }

    /// Follows when enough voting power for at least one honest validator is in higher views: to the highest such view.
    pub(super) fn try_pull_up(&mut self, now: Millis, out: &mut Vec<Action>) {
        let current = self.view_id();
        let mut higher: Vec<_> = self
            .height
            .view_changes
            .iter()
            .filter(|(_, view_change)| view_change.view_id > current)
            .map(|(&sender, view_change)| (view_change.view_id, self.config.committee.slots_of(sender).len() as u64))
            .collect();
        higher.sort_unstable_by_key(|&(view_id, _)| std::cmp::Reverse(view_id));
        let mut power = 0;
        let pulled = higher.into_iter().find(|&(_, more)| {
            power += more;
            self.config.committee.has_honest(power)
        });
        if let Some((view_id, _)) = pulled {
            self.enter_view(now, view_id, true, out);
        }
    }

    /// A view's timer starts once a quorum is known to have reached it, so that views do not run away from a minority.
    pub(super) fn try_view_timer(&mut self, now: Millis) {
        let current = self.view_id();
        if self.deadline.is_none() && self.config.committee.is_quorum(self.power_at(|view_id| view_id >= current)) {
            self.open_timer(now);
        }
    }

    /// Starts the view's timer unless it runs.
    pub(super) fn open_timer(&mut self, now: Millis) {
        let timeout = self.config.timeout_ms(self.view_id());
        self.deadline.get_or_insert(now.saturating_add(timeout));
    }

    /// Voting power of the senders whose latest ViewChange is for such a view.
    fn power_at(&self, fits: impl Fn(ViewId) -> bool) -> u64 {
        let senders = self.height.view_changes.iter().filter(|(_, view_change)| fits(view_change.view_id));
        senders.map(|(&sender, _)| self.config.committee.slots_of(sender).len() as u64).sum()
    }

    /// The new leader opens its view at a quorum of ViewChanges, and proposes what they demand.
    pub(super) fn try_new_view(&mut self, now: Millis, out: &mut Vec<Action>) {
        let view_id = self.view_id();
        if view_id.0 == 0 || self.view.is_open() || self.view.spent || self.mute || !self.leads() {
            return;
        }
        if !self.config.committee.is_quorum(self.power_at(|other| other == view_id)) {
            return;
        }
        let view_changes =
            self.height.view_changes.values().filter(|other| other.view_id == view_id).cloned().collect();
        let new_view = NewView { block_num: self.height.num, view_id, view_changes };
        let message = self.envelope(Message::NewView(new_view.clone()));
        self.view.new_view = Some(message.clone());
        out.push(Action::Broadcast(message));
        self.open(now, &new_view, out);
        if let Some(Basis::Again(certificate)) = &self.view.basis
            && let Some(header) = self.height.headers.get(&certificate.block_hash).cloned()
        {
            self.announce(&header, out);
        }
    }

    /// A verified NewView by the leader of its view.
    pub(super) fn on_new_view(&mut self, now: Millis, new_view: &NewView, out: &mut Vec<Action>) {
        if new_view.view_id > self.view_id() {
            self.enter_view(now, new_view.view_id, false, out);
        }
        self.open(now, new_view, out);
    }

    /// The view begins: the block of the highest certificate among the quorum's must be proposed, or a fresh one if there is none.
    fn open(&mut self, now: Millis, new_view: &NewView, out: &mut Vec<Action>) {
        let certificates = new_view.view_changes.iter().filter_map(|view_change| view_change.prepared.as_ref());
        let highest = certificates.max_by_key(|(certificate, _)| (certificate.view_id, certificate.block_hash));
        self.view.basis = Some(match highest {
            None => Basis::Fresh,
            Some((certificate, header)) => {
                self.learn_header(certificate.block_hash, header);
                self.raise_lock(certificate, header);
                Basis::Again(certificate.clone())
            }
        });
        self.open_timer(now);
        self.repeat_at = now.saturating_add(self.config.repeat_ms());
        out.push(Action::Note(Note::NewViewEntered(self.at(None))));
    }
}
