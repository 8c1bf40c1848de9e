//! Bytes of a peer: whatever they are, they decode to one message with one encoding, or are refused.

use proptest::prelude::*;

use super::bench::Bench;
use crate::fbft::certificate::Phase;
use crate::fbft::message::{Envelope, MAX_ENVELOPE_BYTES, Message};
use crate::fbft::refusal::Refusal;
use crate::fbft::verify::verify;
use crate::types::ValidatorIndex;

/// One message of each kind.
fn samples() -> Vec<Vec<u8>> {
    let bench = Bench::new(&[2; 4]);
    let header = bench.header(0, 1);
    let hash = header.hash();
    let changes: Vec<_> = (0..3).map(|by| bench.view_change(by, 1, Some((0, &header)))).collect();
    [
        bench.announce(0, 0, &header),
        bench.vote(1, Phase::Prepare, 0, hash),
        bench.vote(1, Phase::Commit, 0, hash),
        bench.wrap(Message::Prepared(bench.certificate(&[0, 1, 2], Phase::Prepare, 0, &header))),
        bench.wrap(Message::Committed(bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header))),
        bench.wrap(Message::ViewChange(changes[0].clone())),
        bench.new_view(1, changes),
    ]
    .iter()
    .map(Envelope::encode)
    .collect()
}

/// Decodes, and shows that nothing that decodes has a second encoding or breaks what comes after.
fn survive(bytes: &[u8]) -> Option<Envelope> {
    let envelope = Envelope::decode(bytes).ok()?;
    assert_eq!(envelope.encode(), bytes, "a second encoding");
    let bench = Bench::new(&[2; 4]);
    for from in [0, 1, 4] {
        let _ = verify(&[(ValidatorIndex(from), envelope.clone())], &bench.committee, &*bench.signers[0]);
    }
    Some(envelope)
}

#[test]
fn every_kind_of_message_has_one_encoding() {
    for bytes in samples() {
        assert!(survive(&bytes).is_some());
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Envelope::decode(&longer), Err(Refusal::Malformed));
        for end in 0..bytes.len() {
            assert_eq!(Envelope::decode(&bytes[..end]), Err(Refusal::Malformed), "truncated to {end}");
        }
    }
}

#[test]
fn over_long_bytes_are_refused_before_they_are_decoded() {
    assert_eq!(Envelope::decode(&vec![0; MAX_ENVELOPE_BYTES + 1]), Err(Refusal::TooLong));
}

#[test]
fn a_length_that_promises_more_than_there_is_costs_nothing() {
    for bytes in samples() {
        for at in 0..bytes.len() - 4 {
            let mut bytes = bytes.clone();
            bytes[at..at + 4].fill(0xff);
            survive(&bytes);
        }
    }
}

#[test]
fn a_flipped_bit_never_survives_verification() {
    let bench = Bench::new(&[2; 4]);
    let from = [0, 1, 1, 0, 0, 0, 1];
    for (bytes, from) in samples().into_iter().zip(from) {
        let verdict = |bytes: &[u8]| {
            let envelope = Envelope::decode(bytes)?;
            verify(&[(ValidatorIndex(from), envelope)], &bench.committee, &*bench.signers[0]).remove(0)
        };
        assert!(verdict(&bytes).is_ok());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verdict(&flipped).is_err(), "bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        survive(&bytes);
    }

    #[test]
    fn mangled_messages_never_panic(
        kind in 0usize..7,
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<proptest::sample::Index>(),
        tail in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = samples().swap_remove(kind);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        survive(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        bytes.extend(tail);
        survive(&bytes);
    }
}
