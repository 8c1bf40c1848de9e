//! The beacon's share: which delay function to run here, and what peers' proofs are worth.

use std::sync::Arc;

use shardmark_kernels::backend::Control;

use super::{Core, Mark, Output, encode, punish};
use crate::beacon::{BeaconAction, BeaconError, VdfMessage, Verification};
use crate::net::Lane;
use crate::node::frame::Urgent;
use crate::node::job::Job;
use crate::types::{Millis, ValidatorIndex};

impl Core {
    pub(super) fn on_vdf(&mut self, from: ValidatorIndex, message: VdfMessage, out: &mut Vec<Output>) {
        let Some(beacon) = &mut self.beacon else {
            return punish(from, "delay proof in a run without a beacon", out);
        };
        match beacon.on_message(from, message) {
            Ok(verification) => out.push(Output::Job(Job::VdfVerify { verification, from })),
            Err(BeaconError::Domain | BeaconError::Sender { .. } | BeaconError::Length { .. }) => {
                punish(from, "malformed delay proof", out);
            }
            Err(_) => out.push(Output::Mark(Mark::Refused { from, reason: "delay-proof-not-needed" })),
        }
    }

    pub(super) fn on_vdf_evaluated(&mut self, window: u64, output_and_proof: Vec<u8>, ns: u64, out: &mut Vec<Output>) {
        let Some(beacon) = &mut self.beacon else { return };
        // A cancelled one that ended all the same must not take away the handle of the one after it.
        self.evaluation.take_if(|(evaluating, _)| *evaluating == window);
        out.push(Output::Mark(Mark::Vdf { window, evaluate_ns: Some(ns), verify_ns: None }));
        if let Some(message) = beacon.on_evaluated(window, output_and_proof) {
            out.push(Output::Send { to: None, lane: Lane::Consensus, bytes: encode(&Urgent::Vdf(message)) });
        }
    }

    pub(super) fn on_vdf_verified(
        &mut self,
        verification: Verification,
        from: ValidatorIndex,
        valid: bool,
        ns: u64,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Mark(Mark::Vdf { window: verification.window, evaluate_ns: None, verify_ns: Some(ns) }));
        if !valid {
            punish(from, "delay proof does not verify", out);
        }
        if let Some(beacon) = &mut self.beacon {
            beacon.on_proof(verification, valid);
        }
    }

    pub(super) fn settle_beacon(&mut self, now: Millis, out: &mut Vec<Output>) {
        let Some(beacon) = &mut self.beacon else { return };
        for action in beacon.poll(now) {
            match action {
                BeaconAction::Evaluate { window, seed } => {
                    let control = Arc::new(Control::default());
                    self.evaluation = Some((window, Arc::clone(&control)));
                    out.push(Output::Job(Job::VdfEvaluate { window, seed, control }));
                }
                BeaconAction::Cancel { window } => {
                    if let Some((_, control)) = self.evaluation.take_if(|(evaluating, _)| *evaluating == window) {
                        control.cancel();
                    }
                }
            }
        }
    }

    pub(super) fn beacon_wake(&self) -> Option<Millis> {
        self.beacon.as_ref()?.next_deadline()
    }

    /// Stops what runs beside consensus, before the end.
    pub fn cancel(&mut self) {
        if let Some((_, control)) = self.evaluation.take() {
            control.cancel();
        }
    }
}
