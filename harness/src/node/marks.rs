//! What the core and the transport report, as events of the record.

use crate::fbft::{At, Note, Refusal};
use crate::net::{Impaired, Stats};
use crate::node::core::Mark;
use crate::record::{ImpairedSample, Mark as Step, NetSample, Payload, Recorder};

/// Writes a mark down. Returns whether it says that a view change began.
pub fn record(recorder: &Recorder, now_ns: u64, mark: Mark) -> bool {
    let step = |at: At, step: Step| {
        recorder.record_at(now_ns, Payload::Phase { block_num: at.block_num, view_id: at.view_id, mark: step });
    };
    let chunk = |block_num, view_id, mark| recorder.record_at(now_ns, Payload::Phase { block_num, view_id, mark });
    match mark {
        Mark::FirstChunk(num, view) => chunk(num, view, Step::FirstChunk),
        Mark::KthChunk(num, view) => chunk(num, view, Step::KthChunk),
        Mark::Checked(num, view) => chunk(num, view, Step::Checked),
        Mark::Fbft(note) => match note {
            Note::ProposeStart(at) => step(at, Step::Propose),
            Note::AnnounceSent(at) => step(at, Step::AnnounceSent),
            Note::AnnounceReceived(at) => step(at, Step::AnnounceReceived),
            Note::PrepareSent(at) => step(at, Step::PrepareSent),
            Note::PrepareQuorum(at) => step(at, Step::PrepareQuorum),
            Note::PreparedSent(at) => step(at, Step::PreparedSent),
            Note::PreparedReceived(at) => step(at, Step::PreparedReceived),
            Note::CommitSent(at) => step(at, Step::CommitSent),
            Note::CommitQuorum(at) => step(at, Step::CommitQuorum),
            Note::CommitAll(at) => step(at, Step::CommitAll),
            Note::CommittedSent(at) => step(at, Step::CommittedSent),
            Note::Final(at) => step(at, Step::Final),
            Note::ViewChangeStarted(at) => {
                recorder.record_at(now_ns, Payload::ViewChange { block_num: at.block_num, view_id: at.view_id });
                return true;
            }
            Note::NewViewEntered(at) => {
                recorder.record_at(now_ns, Payload::NewView { block_num: at.block_num, view_id: at.view_id });
            }
            Note::Refused { from, reason } => recorder.refused(Some(from), name(reason)),
            Note::Equivocation { by, .. } => recorder.refused(Some(by), "equivocation"),
            Note::Muted(_) => recorder.refused(None, "own-record-of-a-later-height"),
        },
        // These the runtime counts itself.
        Mark::Admission(_)
        | Mark::Expired(_)
        | Mark::Final { .. }
        | Mark::Refused { .. }
        | Mark::InvalidBlock(..)
        | Mark::Vdf { .. } => {}
    }
    false
}

/// The transport's totals over all peers.
pub fn net_sample(stats: &Stats) -> Payload {
    let sum = |f: fn(&crate::net::PeerStats) -> u64| stats.peers.iter().map(f).sum::<u64>();
    Payload::Net(NetSample {
        sent_bytes: sum(|peer| peer.link.udp_bytes_sent),
        received_bytes: sum(|peer| peer.link.udp_bytes_received),
        sent_datagrams: sum(|peer| peer.link.datagrams_sent),
        received_datagrams: sum(|peer| peer.link.datagrams_received),
        lost_packets: sum(|peer| peer.link.packets_lost),
        dropped_frames: stats
            .peers
            .iter()
            .flat_map(|peer| crate::net::Lane::ALL.map(|lane| peer.lanes[lane].frames_dropped))
            .sum(),
        sent_chunk_bytes: Some(sum(|peer| peer.lanes[crate::net::Lane::Chunks].bytes_sent)),
        impaired: stats.impaired.map(|Impaired { datagrams, lost }| ImpairedSample { datagrams, lost }),
        lost_connections: sum(|peer| peer.connections.saturating_sub(1)),
        rtt_ns_max: stats.peers.iter().filter_map(|peer| peer.link.rtt_ns).max(),
        udp_send_buffer: Some(stats.udp_send_buffer),
        udp_receive_buffer: Some(stats.udp_receive_buffer),
    })
}

/// What the transport refused since `before`, as events. Before the run, peers knock at doors that are not open yet.
pub fn record_refused(recorder: &Recorder, before: &Stats, stats: &Stats) {
    let count = |from, reason: &'static str, count: u64| {
        if count > 0 {
            recorder.record(Payload::Refused { from, reason: reason.into(), count });
        }
    };
    count(None, "stranger", stats.refused_handshakes.saturating_sub(before.refused_handshakes));
    count(None, "failed-handshake", stats.failed_handshakes.saturating_sub(before.failed_handshakes));
    for peer in &stats.peers {
        count(Some(peer.peer), "malformed-frame", peer.malformed_frames);
    }
}

/// The word that reports count a refusal by: its name in kebab case, as serde writes it.
fn name(reason: Refusal) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(name)) => name,
        _ => reason.to_string(),
    }
}
