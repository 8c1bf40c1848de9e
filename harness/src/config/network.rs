//! What a run does to itself on purpose: a network that is slow or loses datagrams, and relays that do not do their part.

use std::fmt;

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use shardmark_kernels::backend::generator;
use shardmark_kernels::erasure::Code;

use super::{Config, PropagationMode, Rate, Span};
use crate::net::LinkConfig;
use crate::propagation::Relay;
use crate::types::ValidatorIndex;

/// What each validator's datagrams pass on their way out, below QUIC. It begins with the run, when all connections stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Part of the datagrams that is lost, 0 to 0.5. Drawn for each alone, from the seed and the sender.
    pub loss: f64,
    /// Time that every datagram takes on top of the real one, in steps of about 1 ms. Order is kept.
    pub delay: Span,
    /// Bits a second that one validator can send, such as `"100Mbit"`; 50 ms of them may wait, more are lost. No limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl Network {
    /// Whether nothing stands in the way.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The same in the transport's own type, with the draws of validator `me`.
    pub fn link(&self, seed: u64, me: ValidatorIndex) -> LinkConfig {
        LinkConfig {
            loss: self.loss,
            delay: self.delay.duration(),
            bits_per_s: self.rate.map(Rate::bits_per_s),
            seed: generator("network/loss", seed, me.0.into()).next_u64(),
        }
    }
}

/// `5% of datagrams lost, 10ms delay, 100Mbit`; `plain` without any of it.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loss = (self.loss > 0.0).then(|| format!("{} of datagrams lost", percent(self.loss)));
        let delay = (!self.delay.is_zero()).then(|| format!("{} delay", self.delay));
        let rate = self.rate.map(|rate| rate.to_string());
        f.write_str(&join([loss, delay, rate], "plain"))
    }
}

/// A loss in words: `5%`.
pub fn percent(loss: f64) -> String {
    // Products such as 0.07 * 100 are not exact.
    format!("{}%", (loss * 1e8).round() / 1e6)
}

fn join<const N: usize>(parts: [Option<String>; N], none: &str) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { none.to_owned() } else { parts.join(", ") }
}

/// Relays that do not do their part; see [`Config::faults`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Validators that take their chunks and relay none.
    pub silent_relays: u16,
    /// Validators that relay their chunks with one bit flipped: the proof fails, and each receiver that needs the chunk drops the connection.
    pub corrupting_relays: u16,
}

impl Faults {
    /// Whether everybody relays.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// How many.
    pub fn total(&self) -> u32 {
        u32::from(self.silent_relays) + u32::from(self.corrupting_relays)
    }
}

/// `1 silent, 1 corrupting`; `none` without any.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |n: u16, word: &str| (n > 0).then(|| format!("{n} {word}"));
        f.write_str(&join([some(self.silent_relays, "silent"), some(self.corrupting_relays, "corrupting")], "none"))
    }
}

impl Config {
    /// How a validator relays, by [`Config::faults`] and the seed.
    pub fn relay(&self, validator: ValidatorIndex) -> Relay {
        let draw = |index: u16| generator("faults/relays", self.seed, index.into()).next_u64();
        let mut candidates: Vec<u16> = (1..self.cluster.validators).collect();
        candidates.sort_by_key(|&index| (draw(index), index));
        let (silent, corrupting) = (usize::from(self.faults.silent_relays), usize::from(self.faults.corrupting_relays));
        match candidates.iter().position(|&index| index == validator.0) {
            Some(place) if place < silent => Relay::Silent,
            Some(place) if place < silent + corrupting => Relay::Corrupting,
            _ => Relay::Honest,
        }
    }

    /// How bodies travel, in one word.
    pub fn carrier(&self) -> Carrier {
        match self.propagation.mode {
            PropagationMode::WholeBlock => Carrier::WholeBlock,
            PropagationMode::Chunks => Carrier::Chunks(self.propagation.code),
        }
    }

    /// The same run with bodies that travel another way. Whole blocks have no chunks to choose.
    pub(crate) fn carried_by(mut self, carrier: Carrier) -> Self {
        match carrier {
            Carrier::Chunks(code) => {
                self.propagation.mode = PropagationMode::Chunks;
                self.propagation.code = code;
            }
            Carrier::WholeBlock => {
                self.propagation.mode = PropagationMode::WholeBlock;
                (self.propagation.data_chunks, self.propagation.parity_chunks) = (None, None);
            }
        }
        self
    }
}

/// `"whole-block"` or a code's name: [`super::Propagation::mode`] and [`super::Propagation::code`] in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The leader sends the body to everyone.
    WholeBlock,
    /// Chunks of this code.
    Chunks(Code),
}

const WHOLE_BLOCK: &str = "whole-block";

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WholeBlock => WHOLE_BLOCK,
            Self::Chunks(code) => code.name(),
        })
    }
}

impl Serialize for Carrier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Carrier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == WHOLE_BLOCK {
            return Ok(Self::WholeBlock);
        }
        let code = Code::ALL.into_iter().find(|code| code.name() == name);
        code.map(Self::Chunks).ok_or_else(|| {
            let codes = Code::ALL.map(|code| format!("`{code}`")).join(", ");
            de::Error::custom(format!("unknown code `{}`, expected `{WHOLE_BLOCK}`, {codes}", name.escape_debug()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[&str]) -> Config {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        Config::parse("schema = 1\nname = \"t\"", "t.toml", &settings).unwrap()
    }

    #[test]
    fn faulty_relays_are_as_many_as_asked_for_never_the_first_leader_and_drawn_from_the_seed() {
        let drawn = |seed: u64| {
            let config = config(&[
                "cluster.validators=16",
                "faults={ silent_relays = 2, corrupting_relays = 3 }",
                &format!("seed={seed}"),
            ]);
            (0..16).map(|index| config.relay(ValidatorIndex(index))).collect::<Vec<_>>()
        };
        for seed in 0..50 {
            let relays = drawn(seed);
            let count = |relay| relays.iter().filter(|&&other| other == relay).count();
            assert_eq!((count(Relay::Silent), count(Relay::Corrupting), relays[0]), (2, 3, Relay::Honest), "{seed}");
        }
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        assert!((0..4).all(|index| config(&[]).relay(ValidatorIndex(index)) == Relay::Honest));
    }

    #[test]
    fn each_validator_has_its_own_draws() {
        let network = Network { loss: 0.1, ..Network::default() };
        let seed = |run, index| network.link(run, ValidatorIndex(index)).seed;
        assert_eq!(seed(1, 2), seed(1, 2));
        assert_ne!(seed(1, 2), seed(1, 3));
        assert_ne!(seed(1, 2), seed(2, 2));
    }

    #[test]
    fn networks_and_faults_read_as_words() {
        let network = config(&["network.loss=0.07", "network.delay=10ms", "network.rate=100Mbit"]).network;
        assert_eq!(network.to_string(), "7% of datagrams lost, 10ms delay, 100Mbit");
        assert_eq!((Network::default().to_string().as_str(), Network::default().is_plain()), ("plain", true));
        assert_eq!(Faults { silent_relays: 1, corrupting_relays: 2 }.to_string(), "1 silent, 2 corrupting");
        assert_eq!(Faults::default().to_string(), "none");
    }

    #[test]
    fn a_plain_network_without_faults_leaves_no_trace_in_a_configuration() {
        let plain = config(&[]);
        assert!(!plain.to_toml().contains("[network]") && !plain.to_toml().contains("[faults]"));
        assert_eq!(plain.hash(), config(&["network.loss=0.0", "faults.silent_relays=0"]).hash());
        assert_ne!(plain.hash(), config(&["network.loss=0.01"]).hash());
    }

    #[test]
    fn every_carrier_reads_back_and_others_are_named() {
        for carrier in [Carrier::WholeBlock].into_iter().chain(Code::ALL.map(Carrier::Chunks)) {
            let text = serde_json::to_string(&carrier).unwrap();
            assert_eq!(serde_json::from_str::<Carrier>(&text).unwrap(), carrier);
            assert_eq!(config(&[]).carried_by(carrier).carrier(), carrier);
        }
        let error = serde_json::from_str::<Carrier>("\"raptorq\"").unwrap_err().to_string();
        assert!(error.contains("`raptorq`") && error.contains("`rs-vandermonde`"), "{error}");
    }
}
