//! Messages of the next height that came early, kept within bounds per sender until the height in progress is final.

use std::collections::BTreeMap;

use crate::fbft::message::Envelope;
use crate::fbft::refusal::Refusal;
use crate::fbft::verify::Verified;
use crate::types::ValidatorIndex;

/// Bytes kept of one sender.
const MAX_BYTES: usize = 1 << 20;
/// Messages kept of one sender, beyond two votes for each of its keys.
const MAX_MESSAGES: usize = 8;

/// The buffer, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Early {
    messages: Vec<Verified>,
    used: BTreeMap<ValidatorIndex, Used>,
}

/// What one sender holds of the buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    messages: usize,
    bytes: usize,
}

fn bytes_of(envelope: &Envelope) -> usize {
    borsh::object_length(envelope).unwrap_or(usize::MAX)
}

impl Early {
    /// Whether a message of a sender with `keys` slots still fits and is new.
    pub(super) fn admits(&self, from: ValidatorIndex, keys: usize, envelope: &Envelope) -> Result<(), Refusal> {
        let used = self.used.get(&from).copied().unwrap_or_default();
        let bytes = used.bytes.saturating_add(bytes_of(envelope));
        if used.messages >= MAX_MESSAGES + 2 * keys || bytes > MAX_BYTES {
            return Err(Refusal::BufferFull);
        }
        let seen = self.messages.iter().any(|kept| kept.from() == from && kept.envelope() == envelope);
        if seen { Err(Refusal::Replay) } else { Ok(()) }
    }

    /// Keeps a message that [`Early::admits`] let in.
    pub(super) fn keep(&mut self, message: Verified) {
        let used = self.used.entry(message.from()).or_default();
        used.messages += 1;
        used.bytes = used.bytes.saturating_add(bytes_of(message.envelope()));
        self.messages.push(message);
    }

    /// Empties the buffer.
    pub(super) fn take(&mut self) -> Vec<Verified> {
        self.used.clear();
        std::mem::take(&mut self.messages)
    }
}
