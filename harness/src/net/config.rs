//! Transport settings: part of a run's identity, because they move results more than a kernel does.
//!
//! Sizes are bytes, durations milliseconds; the configuration layer reads "2MiB" and "250ms" into them.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig, NewRenoConfig};
use quinn::{MtuDiscoveryConfig, VarInt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Lane, LinkConfig, queue};

/// Congestion controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Congestion {
    /// RFC 9438, quinn's default: slow on lossy links.
    #[default]
    Cubic,
    /// RFC 9002.
    NewReno,
    /// Bandwidth and RTT model: keeps its rate under random loss. Experimental in quinn.
    Bbr,
}

/// Everything about the transport that a configuration may set.
///
/// A lane that its receiver does not read may hold one `stream_receive_window` unread, so both connection windows
/// must hold one for each of the four lanes, or a stuck bulk lane would block votes: [`TransportConfig::check`]
/// insists on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransportConfig {
    /// Congestion controller. Default: `cubic`.
    pub congestion: Congestion,
    /// Congestion window of a new connection, bytes. Default: 14,720, the most that RFC 9002 allows.
    pub initial_window: u64,
    /// Bytes a connection may have sent without an acknowledgement. Default: 32 MiB.
    pub send_window: u64,
    /// Bytes a connection may have received and not read, all lanes. Default: 32 MiB.
    pub receive_window: u64,
    /// Bytes a lane may have received and not read. Default: 8 MiB, which fills 640 Mbit/s at 100 ms.
    pub stream_receive_window: u64,
    /// UDP payload a new connection starts with, bytes. Default: 1200, which every path carries.
    pub initial_mtu: u16,
    /// Whether larger payloads are probed for, up to `max_mtu`. Default: true.
    pub mtu_discovery: bool,
    /// Largest UDP payload that discovery tries, bytes. Default: 1452 (Ethernet and IPv6).
    pub max_mtu: u16,
    /// Generic segmentation offload: many datagrams a system call, where the kernel has it. Default: true.
    pub gso: bool,
    /// Kernel send buffer asked for, bytes; 0 leaves the system's default. Default: 4 MiB. See [`super::Stats`] for what the
    /// kernel granted.
    pub udp_send_buffer: u64,
    /// Kernel receive buffer asked for, bytes; 0 leaves the system's default. Default: 4 MiB.
    pub udp_receive_buffer: u64,
    /// Silence after which a connection counts as lost, ms. Default: 10,000.
    pub idle_timeout: u64,
    /// Pause after which an idle connection sends a ping, ms; below `idle_timeout`. Default: 2,000.
    pub keep_alive: u64,
    /// Bytes queued for each peer and lane before frames are dropped, and received from each peer and lane before its
    /// stream is no longer read. Default: 16 MiB.
    pub queue_bytes: u64,
    /// Longest frame of each lane, bytes.
    pub max_frame_bytes: FrameLimits,
    /// A network in the way. Default: none, and then the socket is quinn's own.
    #[serde(skip)]
    pub link: LinkConfig,
}

/// Longest frame of each lane, bytes. A peer that announces a longer one loses its connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FrameLimits {
    /// Default: 1 MiB.
    pub consensus: u64,
    /// Default: 8 MiB: a whole block, for the broadcast baseline.
    pub chunks: u64,
    /// Default: 8 MiB: a block with its certificate.
    pub fetch: u64,
    /// Default: 1 MiB.
    pub transactions: u64,
}

const MIB: u64 = 1 << 20;

impl Default for FrameLimits {
    fn default() -> Self {
        Self { consensus: MIB, chunks: 8 * MIB, fetch: 8 * MIB, transactions: MIB }
    }
}

impl FrameLimits {
    /// The limit of `lane`.
    pub fn get(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Consensus => self.consensus,
            Lane::Chunks => self.chunks,
            Lane::Fetch => self.fetch,
            Lane::Transactions => self.transactions,
        }
    }
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            congestion: Congestion::default(),
            initial_window: 14_720,
            send_window: 32 * MIB,
            receive_window: 32 * MIB,
            stream_receive_window: 8 * MIB,
            initial_mtu: MIN_MTU,
            mtu_discovery: true,
            max_mtu: 1452,
            gso: true,
            udp_send_buffer: 4 * MIB,
            udp_receive_buffer: 4 * MIB,
            idle_timeout: 10_000,
            keep_alive: 2_000,
            queue_bytes: 16 * MIB,
            max_frame_bytes: FrameLimits::default(),
            link: LinkConfig::default(),
        }
    }
}

/// QUIC's smallest datagram (RFC 9000 section 14).
const MIN_MTU: u16 = 1200;
/// Largest UDP payload that QUIC knows (RFC 9000 section 18.2).
const MAX_MTU: u16 = 65527;
/// Keeps every product of sizes far from overflow, and frames inside their u32 length.
const MAX_BYTES: u64 = 1 << 30;
/// Ten days.
const MAX_MS: u64 = 864_000_000;

impl TransportConfig {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// The first setting out of its range, by name.
    pub fn check(&self) -> Result<(), Error> {
        let range = |name: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::Config(format!("{name} is {value}, expected {low} to {high}")))
        };
        range("initial_window", self.initial_window, 2 * u64::from(MIN_MTU), MAX_BYTES)?;
        range("stream_receive_window", self.stream_receive_window, 1 << 14, MAX_BYTES)?;
        let lanes = Lane::ALL.len() as u64 * self.stream_receive_window;
        range("send_window", self.send_window, lanes, 8 * MAX_BYTES)?;
        range("receive_window", self.receive_window, lanes, 8 * MAX_BYTES)?;
        range("initial_mtu", self.initial_mtu.into(), MIN_MTU.into(), MAX_MTU.into())?;
        range("max_mtu", self.max_mtu.into(), self.initial_mtu.into(), MAX_MTU.into())?;
        range("udp_send_buffer", self.udp_send_buffer, 0, MAX_BYTES)?;
        range("udp_receive_buffer", self.udp_receive_buffer, 0, MAX_BYTES)?;
        range("idle_timeout", self.idle_timeout, 2, MAX_MS)?;
        range("keep_alive", self.keep_alive, 1, self.idle_timeout - 1)?;
        for lane in Lane::ALL {
            range("max_frame_bytes", self.max_frame_bytes.get(lane), 1, MAX_BYTES)?;
            range(
                "queue_bytes",
                self.queue_bytes,
                self.max_frame_bytes.get(lane) + queue::FRAME_OVERHEAD as u64,
                8 * MAX_BYTES,
            )?;
        }
        Ok(())
    }

    /// The same settings in quinn's words.
    ///
    /// # Errors
    /// Those of [`TransportConfig::check`].
    pub(super) fn quinn(&self) -> Result<quinn::TransportConfig, Error> {
        self.check()?;
        let window = |bytes: u64| VarInt::from_u64(bytes).map_err(|error| Error::Config(error.to_string()));
        let idle = Duration::from_millis(self.idle_timeout);
        let mut transport = quinn::TransportConfig::default();
        transport
            .congestion_controller_factory(self.controller())
            .send_window(self.send_window)
            .receive_window(window(self.receive_window)?)
            .stream_receive_window(window(self.stream_receive_window)?)
            .initial_mtu(self.initial_mtu)
            .mtu_discovery_config(self.mtu_discovery.then(|| {
                let mut discovery = MtuDiscoveryConfig::default();
                discovery.upper_bound(self.max_mtu);
                discovery
            }))
            .enable_segmentation_offload(self.gso)
            .max_idle_timeout(Some(idle.try_into().map_err(|_| Error::Config("idle_timeout is too long".into()))?))
            .keep_alive_interval(Some(Duration::from_millis(self.keep_alive)))
            // One stream a lane, and nothing else that a peer could open or send.
            .max_concurrent_uni_streams((Lane::ALL.len() as u32).into())
            .max_concurrent_bidi_streams(0u32.into())
            .datagram_receive_buffer_size(None);
        Ok(transport)
    }

    fn controller(&self) -> Arc<dyn ControllerFactory + Send + Sync> {
        macro_rules! with_window {
            ($config:ty) => {{
                let mut config = <$config>::default();
                config.initial_window(self.initial_window);
                Arc::new(config)
            }};
        }
        match self.congestion {
            Congestion::Cubic => with_window!(CubicConfig),
            Congestion::NewReno => with_window!(NewRenoConfig),
            Congestion::Bbr => with_window!(BbrConfig),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_for_every_controller() {
        for congestion in [Congestion::Cubic, Congestion::NewReno, Congestion::Bbr] {
            TransportConfig { congestion, ..Default::default() }.quinn().unwrap();
        }
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(toml::from_str::<TransportConfig>("sendwindow = 1").is_err());
        assert!(toml::from_str::<TransportConfig>("[max_frame_bytes]\nvotes = 1").is_err());
        let config: TransportConfig =
            toml::from_str("congestion = \"newreno\"\nmtu_discovery = false\n[max_frame_bytes]\nchunks = 9").unwrap();
        assert_eq!(config.congestion, Congestion::NewReno);
        assert_eq!((config.max_frame_bytes.chunks, config.max_frame_bytes.consensus), (9, MIB));
    }

    #[test]
    fn settings_that_would_let_a_bulk_lane_block_votes_are_refused() {
        let narrow = TransportConfig { send_window: 31 * MIB, ..Default::default() };
        assert!(narrow.check().unwrap_err().to_string().contains("send_window"));
        let narrow = TransportConfig { receive_window: 31 * MIB, ..Default::default() };
        assert!(narrow.check().unwrap_err().to_string().contains("receive_window"));
    }

    #[test]
    fn impossible_sizes_are_refused_by_name() {
        let default = TransportConfig::default;
        for (name, config) in [
            ("initial_window", TransportConfig { initial_window: 0, ..default() }),
            ("stream_receive_window", TransportConfig { stream_receive_window: u64::MAX, ..default() }),
            ("initial_mtu", TransportConfig { initial_mtu: 100, ..default() }),
            ("max_mtu", TransportConfig { max_mtu: 1199, ..default() }),
            ("udp_receive_buffer", TransportConfig { udp_receive_buffer: u64::MAX, ..default() }),
            ("idle_timeout", TransportConfig { idle_timeout: 0, ..default() }),
            ("keep_alive", TransportConfig { keep_alive: 10_000, ..default() }),
            ("queue_bytes", TransportConfig { queue_bytes: 8 * MIB, ..default() }),
            (
                "max_frame_bytes",
                TransportConfig { max_frame_bytes: FrameLimits { fetch: u64::MAX, ..Default::default() }, ..default() },
            ),
        ] {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
