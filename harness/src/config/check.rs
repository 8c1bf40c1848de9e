//! What the values of a configuration must satisfy together. Each violation is one line that names the key.

use std::fmt;

use shardmark_kernels::vdf::Scheme;

use super::{Config, Faults, Launcher, PropagationMode, SCHEMA, Span};

/// The ledger's own header inside an opaque payload.
const MIN_PAYLOAD_BYTES: u64 = 16;
/// Longest opaque payload of the ledger.
const MAX_PAYLOAD_BYTES: u64 = 128 << 10;
/// Largest `consensus.block_bytes`: what one frame of the transport carries (8 MiB), less room for the rest of it.
const MAX_BLOCK_BYTES: u64 = 7 << 20;
/// Arrivals that one schedule may hold.
const MAX_ARRIVALS: f64 = 50_000_000.0;

macro_rules! refuse {
    ($condition:expr, $($message:tt)*) => {
        if $condition {
            return Err(format!($($message)*));
        }
    };
}

/// Above half of all datagrams nothing gets through in useful time.
const MAX_LOSS: f64 = 0.5;

fn check_loss(key: &str, loss: f64) -> Result<(), String> {
    // The negation also refuses what is no number.
    refuse!(!(0.0..=MAX_LOSS).contains(&loss), "{key} is {loss}, expected 0 to {MAX_LOSS}");
    Ok(())
}

fn distinct<T: PartialEq + fmt::Display>(key: &str, values: &[T]) -> Result<(), String> {
    for (i, value) in values.iter().enumerate() {
        refuse!(values[..i].contains(value), "matrix.{key} names {value} twice");
    }
    Ok(())
}

impl Config {
    /// # Errors
    ///
    /// The first constraint that does not hold, with the values.
    pub fn check(&self) -> Result<(), String> {
        refuse!(self.schema != SCHEMA, "schema is {}: this version reads {SCHEMA}", self.schema);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        refuse!(
            self.name.is_empty() || self.name.len() > 64 || self.name.starts_with('.') || !self.name.chars().all(plain),
            "name `{}` is not 1 to 64 letters, digits, `-`, `_` or `.`, not starting with `.`",
            self.name.escape_debug()
        );
        refuse!(self.threads == 0 || self.threads > 4096, "threads is {}, expected 1 to 4096", self.threads);
        self.check_cluster()?;
        self.check_consensus()?;
        self.check_propagation()?;
        self.check_workload()?;
        self.check_load()?;
        self.check_beacon()?;
        self.check_transport()?;
        self.check_network()?;
        self.check_matrix()?;
        self.check_kernels()
    }

    fn check_cluster(&self) -> Result<(), String> {
        let cluster = &self.cluster;
        let Launcher::Local = cluster.launcher;
        refuse!(
            cluster.validators < 4,
            "cluster.validators is {}: at least 4 are needed to tolerate one fault",
            cluster.validators
        );
        refuse!(cluster.keys_per_validator == 0, "cluster.keys_per_validator is 0");
        let slots = u32::from(cluster.validators) * u32::from(cluster.keys_per_validator);
        refuse!(
            slots > u32::from(u16::MAX),
            "cluster.validators x keys_per_validator is {slots}: a committee has at most 65535 keys"
        );
        let last = u32::from(cluster.base_port) + u32::from(cluster.validators) - 1;
        refuse!(
            cluster.base_port > 0 && last > u32::from(u16::MAX),
            "cluster.base_port is {}: validator {} would need port {last}",
            cluster.base_port,
            cluster.validators - 1
        );
        Ok(())
    }

    fn check_consensus(&self) -> Result<(), String> {
        let consensus = &self.consensus;
        refuse!(
            consensus.block_time < Span::from_millis(1) || consensus.block_time > Span::from_secs(3600),
            "consensus.block_time is {}, expected 1ms to 3600s",
            consensus.block_time
        );
        refuse!(
            consensus.view_timeout.as_nanos() < 4 * consensus.block_time.as_nanos(),
            "consensus.view_timeout is {}: at least 4 block times are needed, with block_time {} that is {}ms",
            consensus.view_timeout,
            consensus.block_time,
            4 * consensus.block_time.as_millis()
        );
        refuse!(
            !(1024..=MAX_BLOCK_BYTES).contains(&consensus.block_bytes.0),
            "consensus.block_bytes is {}, expected 1KiB to 7MiB",
            consensus.block_bytes
        );
        Ok(())
    }

    fn check_propagation(&self) -> Result<(), String> {
        let propagation = &self.propagation;
        if propagation.mode == PropagationMode::WholeBlock {
            refuse!(
                propagation.data_chunks.is_some() || propagation.parity_chunks.is_some(),
                "propagation.data_chunks and parity_chunks have no meaning in mode `whole-block`"
            );
            return Ok(());
        }
        let chunks = self.chunks();
        let (k, m) = (u32::from(chunks.data), u32::from(chunks.parity));
        let (n, f) = (u32::from(self.cluster.validators), u32::from(self.tolerated()));
        refuse!(k == 0, "propagation.data_chunks is 0");
        refuse!(m == 0, "propagation.parity_chunks is 0: with {k} data chunks of {n} validators nothing may be lost");
        // A header counts chunks with 16 bits.
        let (code, most) = (propagation.code.name(), propagation.code.max_chunks().min(usize::from(u16::MAX)));
        refuse!(
            k + m > most as u32,
            "propagation.data_chunks + parity_chunks is {}: `{code}` has at most {most}",
            k + m
        );
        // Chunk i is validator i mod n's: the f best-off validators hold this many.
        let lost = f * ((k + m) / n) + f.min((k + m) % n);
        refuse!(
            k + m - lost < k,
            "propagation: {} of {n} validators may hold only {} chunks, {k} are needed; parity_chunks must be at least {lost}",
            n - f,
            k + m - lost
        );
        Ok(())
    }

    fn check_workload(&self) -> Result<(), String> {
        let workload = &self.workload;
        refuse!(
            workload.accounts < 2 || workload.accounts > 10_000_000,
            "workload.accounts is {}, expected 2 to 10000000",
            workload.accounts
        );
        refuse!(
            !(MIN_PAYLOAD_BYTES..=MAX_PAYLOAD_BYTES).contains(&workload.transaction_bytes.0),
            "workload.transaction_bytes is {}, expected 16B to 128KiB",
            workload.transaction_bytes
        );
        refuse!(
            workload.transaction_bytes.0 + 64 > self.consensus.block_bytes.0,
            "workload.transaction_bytes is {}: it does not fit consensus.block_bytes {}",
            workload.transaction_bytes,
            self.consensus.block_bytes
        );
        refuse!(workload.pool_transactions == 0, "workload.pool_transactions is 0");
        refuse!(
            workload.pool_bytes < self.consensus.block_bytes,
            "workload.pool_bytes is {}: it must hold one block of {}",
            workload.pool_bytes,
            self.consensus.block_bytes
        );
        refuse!(workload.pool_queued_per_account > 1 << 20, "workload.pool_queued_per_account is above 1048576");
        refuse!(
            workload.expiry <= self.consensus.block_time,
            "workload.expiry is {}: it must be above one block time, {}",
            workload.expiry,
            self.consensus.block_time
        );
        Ok(())
    }

    fn check_load(&self) -> Result<(), String> {
        let load = &self.load;
        refuse!(
            !load.rate.is_finite() || load.rate <= 0.0 || load.rate > 10_000_000.0,
            "load.rate is {}, expected above 0 and at most 10000000 transactions a second",
            load.rate
        );
        refuse!(load.duration.is_zero(), "load.duration is 0");
        refuse!(load.max_lateness.is_zero(), "load.max_lateness is 0");
        for (key, span) in [("warmup", load.warmup), ("duration", load.duration), ("drain", load.drain)] {
            refuse!(span > Span::from_secs(7 * 86_400), "load.{key} is {span}, expected at most a week");
        }
        let arrivals = load.rate * self.load_end().as_secs_f64();
        refuse!(arrivals > MAX_ARRIVALS, "load: {arrivals:.0} arrivals, at most {MAX_ARRIVALS:.0} fit one schedule");
        refuse!(
            load.rate * load.duration.as_secs_f64() < 1.0,
            "load: rate {} over {} schedules no transaction",
            load.rate,
            load.duration
        );
        Ok(())
    }

    fn check_beacon(&self) -> Result<(), String> {
        let beacon = &self.beacon;
        if beacon.blocks == 0 {
            return Ok(());
        }
        refuse!(beacon.blocks > 1_000_000, "beacon.blocks is {}, expected at most 1000000", beacon.blocks);
        let longest = if beacon.scheme == Scheme::Chia264 { 1024 } else { 2048 };
        refuse!(
            !(256..=longest).contains(&beacon.discriminant_bits) || !beacon.discriminant_bits.is_multiple_of(8),
            "beacon.discriminant_bits is {}, expected a multiple of 8 from 256 to {longest} for {}",
            beacon.discriminant_bits,
            beacon.scheme
        );
        refuse!(
            beacon.iterations == 0 || beacon.iterations > 1 << 40,
            "beacon.iterations is {}, expected 1 to 2^40",
            beacon.iterations
        );
        refuse!(beacon.timeout.is_zero(), "beacon.timeout is 0");
        Ok(())
    }

    fn check_network(&self) -> Result<(), String> {
        let network = &self.network;
        check_loss("network.loss", network.loss)?;
        refuse!(
            network.delay > Span::from_secs(10),
            "network.delay is {}, expected at most 10s: datagrams that wait take memory",
            network.delay
        );
        self.check_faults("faults", &self.faults)
    }

    fn check_faults(&self, key: &str, faults: &Faults) -> Result<(), String> {
        let (total, most, n) = (faults.total(), self.tolerated(), self.cluster.validators);
        refuse!(total > u32::from(most), "{key}: {total} faulty relays, {n} validators tolerate {most}");
        Ok(())
    }

    fn check_matrix(&self) -> Result<(), String> {
        let Some(matrix) = &self.matrix else { return Ok(()) };
        refuse!(
            matrix.backends.is_empty() && matrix.codes.is_empty() && matrix.loss.is_empty() && matrix.faults.is_empty(),
            "matrix: backends, codes, loss and faults are all empty"
        );
        refuse!(
            matrix.repeats == 0 || matrix.repeats > 1000,
            "matrix.repeats is {}, expected 1 to 1000",
            matrix.repeats
        );
        distinct("backends", &matrix.backends)?;
        distinct("codes", &matrix.codes)?;
        distinct("loss", &matrix.loss)?;
        distinct("faults", &matrix.faults)?;
        for &loss in &matrix.loss {
            check_loss("matrix.loss", loss)?;
        }
        for faults in &matrix.faults {
            self.check_faults("matrix.faults", faults)?;
        }
        for &code in &matrix.codes {
            let cell = Config { matrix: None, ..self.clone() }.carried_by(code);
            cell.check_propagation().map_err(|reason| format!("matrix.codes, {code}: {reason}"))?;
        }
        refuse!(!self.kernel.is_empty(), "[matrix] and [[kernel]] exclude each other");
        Ok(())
    }

    fn check_kernels(&self) -> Result<(), String> {
        for (i, case) in self.kernel.iter().enumerate() {
            let place = format!("kernel {} (`{}`)", i + 1, case.name.escape_debug());
            refuse!(case.backends.is_empty(), "{place}: backends is empty");
            refuse!(
                case.rounds == 0 || case.rounds > 1_000_000,
                "{place}: rounds is {}, expected 1 to 1000000",
                case.rounds
            );
            refuse!(case.warmup > 1_000_000, "{place}: warmup is {}, expected at most 1000000", case.warmup);
            refuse!(
                case.threads.is_some_and(|threads| threads == 0 || threads > 4096),
                "{place}: threads is {}, expected 1 to 4096",
                case.threads.unwrap_or_default()
            );
            refuse!(case.deadline.is_some_and(Span::is_zero), "{place}: deadline is 0");
            let instances = case.params.get("instances").and_then(toml::Value::as_integer);
            refuse!(
                case.deadline.is_some() && (case.name != "vdf/evaluate" || instances != Some(1)),
                "{place}: a deadline is one of vdf/evaluate with `instances = 1`"
            );
        }
        Ok(())
    }

    fn check_transport(&self) -> Result<(), String> {
        // Below a millisecond the transport cannot tell it from zero.
        for (key, span) in [("keep_alive", self.transport.keep_alive), ("idle_timeout", self.transport.idle_timeout)] {
            refuse!(span < Span::from_millis(1), "transport.{key} is {span}, expected at least 1ms");
        }
        self.transport.settings().check().map_err(|error| format!("transport: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refused(settings: &[&str]) -> String {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        Config::parse("schema = 1\nname = \"t\"", "t.toml", &settings).expect_err("refused").0
    }

    fn accepted(settings: &[&str]) -> Config {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        Config::parse("schema = 1\nname = \"t\"", "t.toml", &settings).expect("accepted")
    }

    #[test]
    fn each_impossible_value_is_refused_by_the_name_of_its_key() {
        for setting in [
            "schema=2",
            "name=\"a/b\"",
            "name=\"..\"",
            "threads=0",
            "cluster.validators=3",
            "cluster.keys_per_validator=0",
            "cluster.keys_per_validator=20000",
            "cluster.base_port=65533",
            "consensus.block_time=0s",
            "consensus.block_bytes=0",
            "consensus.block_bytes=8MiB",
            "propagation.data_chunks=0",
            "workload.accounts=1",
            "workload.transaction_bytes=1",
            "workload.pool_transactions=0",
            "workload.pool_bytes=1KiB",
            "workload.expiry=1s",
            "load.rate=0",
            "load.rate=nan",
            "load.rate=-5",
            "load.rate=inf",
            "load.duration=0s",
            "load.max_lateness=0s",
            "load.drain=8760h",
            "transport.max_mtu=1000",
            "transport.send_window=8MiB",
            "transport.keep_alive=10s",
            "transport.keep_alive=1ns",
            "transport.queue_bytes=1MiB",
            "network.loss=0.51",
            "network.loss=-0.1",
            "network.loss=nan",
            "network.delay=11s",
            "network.rate=1bit",
            "faults={ silent_relays = 1, corrupting_relays = 1 }",
        ] {
            let message = refused(&[setting]);
            let key = setting.split('=').next().unwrap();
            let leaf = key.rsplit('.').next().unwrap();
            assert!(message.contains(leaf) && !message.contains('\n'), "{setting}: {message}");
        }
        for setting in ["beacon.discriminant_bits=1", "beacon.iterations=0", "beacon.timeout=0s"] {
            refused(&["beacon.blocks=6", setting]);
            accepted(&[setting]);
        }
        let chia = "beacon.scheme=\"chia-264\"";
        assert!(refused(&["beacon.blocks=6", chia]).contains("256 to 1024"));
        accepted(&["beacon.blocks=6", chia, "beacon.discriminant_bits=1024"]);
    }

    #[test]
    fn a_view_timeout_below_four_block_times_is_refused() {
        assert!(refused(&["consensus.view_timeout=3999ms"]).contains("at least 4 block times"));
        accepted(&["consensus.view_timeout=4s"]);
    }

    #[test]
    fn chunks_that_a_quorum_may_lack_are_refused() {
        // n = 4, f = 1: 5 chunks give validator 0 two of them, so 4 data chunks may be short of one.
        assert!(refused(&["propagation.data_chunks=4", "propagation.parity_chunks=1"]).contains("at least 2"));
        accepted(&["propagation.data_chunks=3", "propagation.parity_chunks=1"]);
        accepted(&["propagation.data_chunks=6", "propagation.parity_chunks=2"]);
        assert!(refused(&["propagation.data_chunks=4"]).contains("parity_chunks is 0"));
        assert!(refused(&["cluster.validators=300"]).contains("at most 256"));
        accepted(&["cluster.validators=300", "propagation.data_chunks=150", "propagation.parity_chunks=100"]);
        assert!(refused(&["propagation.mode=whole-block", "propagation.data_chunks=2"]).contains("whole-block"));
    }

    #[test]
    fn default_chunks_are_f_plus_1_of_n() {
        for (n, k, m) in [(4, 2, 2), (7, 3, 4), (10, 4, 6), (16, 6, 10), (256, 86, 170)] {
            let chunks = accepted(&[&format!("cluster.validators={n}")]).chunks();
            assert_eq!((chunks.data, chunks.parity), (k, m), "{n}");
        }
        let whole = accepted(&["propagation.mode=whole-block"]).chunks();
        assert_eq!((whole.data, whole.parity), (1, 0));
    }

    #[test]
    fn the_transports_defaults_are_its_own() {
        assert_eq!(accepted(&[]).transport.settings(), crate::net::TransportConfig::default());
    }

    #[test]
    fn matrices_and_kernel_cases_are_checked() {
        assert!(refused(&["matrix.backends=[]"]).contains("empty"));
        assert!(refused(&["matrix={ backends = [\"cpu\", \"cpu\"] }"]).contains("twice"));
        assert!(refused(&["matrix={ backends = [\"cpu\"], repeats = 0 }"]).contains("repeats"));
        assert!(refused(&["kernel=[{ name = \"a\", params = {}, rounds = 0 }]"]).contains("rounds"));
        assert!(refused(&["kernel=[{ name = \"a\", params = {}, threads = 0 }]"]).contains("threads"));
        let due = |name: &str, instances: u32, deadline: &str| {
            format!(
                "kernel=[{{ name = \"{name}\", params = {{ instances = {instances} }}, deadline = \"{deadline}\" }}]"
            )
        };
        accepted(&[&due("vdf/evaluate", 1, "1.5s")]);
        assert!(refused(&[&due("vdf/evaluate", 1, "0s")]).contains("deadline is 0"));
        for other in [due("vdf/evaluate", 2, "1s"), due("vdf/rsa-square", 1, "1s")] {
            assert!(refused(&[&other]).contains("a deadline is one of vdf/evaluate with `instances = 1`"));
        }
    }
}
