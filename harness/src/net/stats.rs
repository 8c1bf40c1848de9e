//! What the transport counts. Live counters inside, [`Stats`] as their snapshot for the report.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PerLane;
use crate::types::ValidatorIndex;

/// A monotonic counter.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Default)]
pub(super) struct LaneCounters {
    pub frames_sent: Counter,
    pub bytes_sent: Counter,
    pub frames_received: Counter,
    pub bytes_received: Counter,
    pub frames_dropped: Counter,
    pub bytes_dropped: Counter,
}

impl LaneCounters {
    pub fn snapshot(&self) -> LaneStats {
        LaneStats {
            frames_sent: self.frames_sent.get(),
            bytes_sent: self.bytes_sent.get(),
            frames_received: self.frames_received.get(),
            bytes_received: self.bytes_received.get(),
            frames_dropped: self.frames_dropped.get(),
            bytes_dropped: self.bytes_dropped.get(),
        }
    }
}

#[derive(Default)]
pub(super) struct PeerCounters {
    pub lanes: PerLane<LaneCounters>,
    pub connections: Counter,
    pub failed_dials: Counter,
    pub malformed_frames: Counter,
    pub punished: Counter,
}

#[derive(Default)]
pub(super) struct EndpointCounters {
    pub refused_handshakes: Counter,
    pub failed_handshakes: Counter,
}

/// A validator's whole transport, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Whose counts these are.
    pub validator: ValidatorIndex,
    /// Where it listens.
    pub address: SocketAddr,
    /// Kernel send buffer as the kernel reports it, bytes. Linux reports twice what it grants for payload.
    pub udp_send_buffer: u64,
    /// Kernel receive buffer as the kernel reports it, bytes. Linux reports twice what it grants for payload.
    pub udp_receive_buffer: u64,
    /// Strangers: incoming handshakes refused for their certificate (or the lack of one), their protocol, or a pinned
    /// certificate that has no business dialling here.
    pub refused_handshakes: u64,
    /// Incoming handshakes that came to nothing otherwise: given up by the other side, timed out, or too many at once.
    pub failed_handshakes: u64,
    /// What passed the configured link; null without one.
    pub impaired: Option<Impaired>,
    /// Every other validator of the roster, by index.
    pub peers: Vec<PeerStats>,
}

/// Datagrams of this validator that passed a link with loss, delay or a rate. They count as sent, lost or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Impaired {
    /// All, since the link began to stand in the way.
    pub datagrams: u64,
    /// Of these, lost.
    pub lost: u64,
}

/// Traffic with one peer since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerStats {
    /// The peer.
    pub peer: ValidatorIndex,
    /// Whether it is connected now.
    pub connected: bool,
    /// Connections so far: above 1, it was lost and came back.
    pub connections: u64,
    /// Dials that failed, among them those that found somebody else's certificate.
    pub failed_dials: u64,
    /// Over-long or truncated frames, bad lane headers, lanes it refused to read. Each cost the peer its connection.
    pub malformed_frames: u64,
    /// Times that the node had the peer disconnected.
    pub punished: u64,
    /// Frames, by lane.
    pub lanes: PerLane<LaneStats>,
    /// QUIC and UDP, over all connections.
    pub link: LinkStats,
}

/// Frames and their payload bytes on one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneStats {
    /// Frames that QUIC accepted for sending. Those under way when a connection is lost may not have arrived.
    pub frames_sent: u64,
    /// Their payload.
    pub bytes_sent: u64,
    /// Frames that arrived whole.
    pub frames_received: u64,
    /// Their payload.
    pub bytes_received: u64,
    /// Frames not queued: the queue was full, or the frame too long.
    pub frames_dropped: u64,
    /// Their payload.
    pub bytes_dropped: u64,
}

/// What quinn counts about the path to a peer. Handshakes that failed are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkStats {
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
    /// UDP payload bytes sent.
    pub udp_bytes_sent: u64,
    /// System calls that sent them: fewer than datagrams where segmentation offload works.
    pub send_calls: u64,
    /// UDP datagrams received.
    pub datagrams_received: u64,
    /// UDP payload bytes received.
    pub udp_bytes_received: u64,
    /// QUIC packets sent.
    pub packets_sent: u64,
    /// QUIC packets sent and lost.
    pub packets_lost: u64,
    /// Bytes in them.
    pub bytes_lost: u64,
    /// Times that the congestion controller slowed down.
    pub congestion_events: u64,
    /// Smoothed round trip of the latest connection, ns; null before the first.
    pub rtt_ns: Option<u64>,
    /// Congestion window of the latest connection, bytes; null before the first.
    pub congestion_window: Option<u64>,
    /// UDP payload size of the latest connection, bytes; null before the first.
    pub mtu: Option<u16>,
}

impl LinkStats {
    /// Adds a later connection.
    pub(super) fn add(&mut self, connection: &quinn::ConnectionStats) {
        let (tx, rx, path) = (&connection.udp_tx, &connection.udp_rx, &connection.path);
        self.datagrams_sent += tx.datagrams;
        self.udp_bytes_sent += tx.bytes;
        self.send_calls += tx.ios;
        self.datagrams_received += rx.datagrams;
        self.udp_bytes_received += rx.bytes;
        self.packets_sent += path.sent_packets;
        self.packets_lost += path.lost_packets;
        self.bytes_lost += path.lost_bytes;
        self.congestion_events += path.congestion_events;
        self.rtt_ns = Some(path.rtt.as_nanos().try_into().unwrap_or(u64::MAX));
        self.congestion_window = Some(path.cwnd);
        self.mtu = Some(path.current_mtu);
    }
}
