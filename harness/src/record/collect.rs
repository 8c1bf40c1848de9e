//! A bundle's files in memory: every process's events and the merged histograms.

use hdrhistogram::Histogram;

use super::bundle::{Bundle, BundleError, DelayAlone, Manifest};
use super::event::Event;
use super::histogram::{self, Series};
use super::reader;
use crate::environment::Probe;

/// Everything that a bundle's files say.
pub struct Collected {
    /// What ran.
    pub manifest: Manifest,
    /// The hosts that it ran on.
    pub hosts: Vec<Probe>,
    /// One for each file, by node and restart.
    pub processes: Vec<Process>,
    /// One for each series: all nodes' intervals, by time.
    pub series: [Vec<histogram::Interval>; Series::ALL.len()],
    /// Files with a torn tail.
    pub torn: Vec<String>,
    /// The delay function before the run; `None` without a beacon, and in recordings of versions that did not measure it.
    pub alone: Option<DelayAlone>,
}

/// One process's recording.
pub struct Process {
    /// The node's name, without the suffix of a restart.
    pub node: String,
    /// 0 for the first process of a node.
    pub restart: u64,
    /// What it wrote.
    pub events: Vec<Event>,
}

/// Ending of an event file.
const EVENTS: &str = ".jsonl.zst";

impl Collected {
    /// Reads a bundle.
    ///
    /// # Errors
    ///
    /// The first file that is unreadable or malformed. A torn tail is not.
    pub fn read(bundle: &Bundle) -> Result<Self, BundleError> {
        let manifest = bundle.manifest()?;
        let at = |path: &std::path::Path, reason: String| BundleError(format!("{}: {reason}", path.display()));
        let mut torn = Vec::new();
        let mut processes = Vec::new();
        for path in bundle.files("events", EVENTS)? {
            let file = reader::read(&path).map_err(|reason| at(&path, reason))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (node, restart) = node_name(name.strip_suffix(EVENTS).unwrap_or(&name));
            processes.push(Process { node: node.to_owned(), restart, events: file.events });
            if file.torn {
                torn.push(name);
            }
        }
        processes.sort_by(|a, b| (&a.node, a.restart).cmp(&(&b.node, b.restart)));
        let mut series: [Vec<histogram::Interval>; Series::ALL.len()] = Default::default();
        for which in Series::ALL {
            for path in bundle.files("hist", &format!("-{}.hlog", which.name()))? {
                let bytes = std::fs::read(&path).map_err(|error| at(&path, error.to_string()))?;
                let (intervals, cut) = histogram::read(&bytes).map_err(|reason| at(&path, reason))?;
                if cut {
                    torn.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
                }
                series[which as usize].extend(intervals);
            }
            series[which as usize].sort_by_key(|interval| interval.start_ns);
        }
        let mut hosts = Vec::new();
        for path in bundle.files("system", ".json")? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            hosts.push(bundle.read_json(&format!("system/{name}"))?);
        }
        let alone = match bundle.path().join(DelayAlone::FILE).exists() {
            true => Some(bundle.read_json(DelayAlone::FILE)?),
            false => None,
        };
        Ok(Self { manifest, hosts, processes, series, torn, alone })
    }

    /// All intervals of a series as one histogram.
    pub fn merged(&self, series: Series) -> Histogram<u64> {
        merge(&self.series[series as usize])
    }
}

/// Intervals as one histogram; all have [`histogram::empty`]'s shape.
pub fn merge(intervals: &[histogram::Interval]) -> Histogram<u64> {
    let mut all = histogram::empty();
    for interval in intervals {
        for value in interval.histogram.iter_recorded() {
            all.saturating_record_n(value.value_iterated_to(), value.count_since_last_iteration());
        }
    }
    all
}

/// A node and its restart: `node-00.2` is the second restart of `node-00`.
fn node_name(stem: &str) -> (&str, u64) {
    let split = stem.rsplit_once('.').and_then(|(node, restart)| Some((node, restart.parse().ok()?)));
    split.unwrap_or((stem, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_belong_to_their_node() {
        assert_eq!(node_name("node-00"), ("node-00", 0));
        assert_eq!(node_name("node-00.12"), ("node-00", 12));
        assert_eq!(node_name("node.a"), ("node.a", 0));
        assert_eq!(node_name("node."), ("node.", 0));
    }
}
