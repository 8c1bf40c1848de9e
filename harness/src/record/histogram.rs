//! Latency histograms: HDR, three significant digits, one interval-log file for each node and series.
//!
//! Each flush is one line, so a killed node's log reads up to its last flush. Histograms of several nodes are merged as
//! histograms; percentiles are never averaged.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry};
use hdrhistogram::serialization::{Deserializer, V2Serializer};

/// Largest recorded value, an hour in nanoseconds; larger ones count as this.
const MAX_NS: u64 = 3_600_000_000_000;
/// Significant decimal digits.
const DIGITS: u8 = 3;

/// What a histogram holds. Values are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Series {
    /// Final at home - scheduled.
    Finality,
    /// Final at home - sent: hides what a late generator hides.
    FinalityUncorrected,
    /// Sent - scheduled.
    Lateness,
}

impl Series {
    /// Every series; `ALL[s as usize] == s`.
    pub const ALL: [Self; 3] = [Self::Finality, Self::FinalityUncorrected, Self::Lateness];

    /// The part of a file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finality => "finality",
            Self::FinalityUncorrected => "finality-uncorrected",
            Self::Lateness => "lateness",
        }
    }
}

/// An empty histogram of the one shape that all files have.
pub fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_NS, DIGITS).expect("the bounds are valid")
}

/// An interval log being written.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    histogram: Histogram<u64>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(b"# HdrHistogram interval log, V2 encoding; values in ns, times in s since the run's start\n")?;
        Ok(Self { path: path.to_owned(), file, histogram: empty() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Appends one interval, unless it is empty.
    pub(crate) fn write(&mut self, values: &[u64], interval_ns: Range<u64>) -> io::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.histogram.reset();
        for &value in values {
            self.histogram.saturating_record(value);
        }
        let (start, end) = (Duration::from_nanos(interval_ns.start), Duration::from_nanos(interval_ns.end));
        let mut line = Vec::new();
        let mut serializer = V2Serializer::new();
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut line, &mut serializer)?
            .write_histogram(&self.histogram, start, end.saturating_sub(start), None)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
        self.file.write_all(&line)
    }
}

/// One interval of a log.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Start, nanoseconds since the run's start.
    pub start_ns: u64,
    /// What was recorded in it.
    pub histogram: Histogram<u64>,
}

/// Reads an interval log. A torn last line, as a killed node leaves it, is skipped; the flag says so.
///
/// # Errors
///
/// A line before the last that is not an interval, or bytes that are no V2 histogram.
pub fn read(bytes: &[u8]) -> Result<(Vec<Interval>, bool), String> {
    let complete = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    let mut intervals = Vec::new();
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(&bytes[..complete]) {
        let LogEntry::Interval(interval) = entry.map_err(|error| format!("not an interval log: {error:?}"))? else {
            continue;
        };
        let encoded = BASE64_STANDARD.decode(interval.encoded_histogram()).map_err(|error| error.to_string())?;
        let histogram: Histogram<u64> =
            deserializer.deserialize(&mut &encoded[..]).map_err(|error| format!("not a V2 histogram: {error:?}"))?;
        if histogram.high() > MAX_NS || histogram.sigfig() != DIGITS {
            return Err("histogram of another shape".into());
        }
        let start_ns = u64::try_from(interval.start_timestamp().as_nanos()).map_err(|error| error.to_string())?;
        intervals.push(Interval { start_ns, histogram });
    }
    Ok((intervals, complete < bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_back_and_a_torn_line_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.hlog");
        let mut log = Log::create(&path).unwrap();
        log.write(&[5, 1_000_000], 0..500_000_000).unwrap();
        log.write(&[], 500_000_000..1_000_000_000).unwrap();
        log.write(&[u64::MAX], 1_000_000_000..2_000_000_000).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (intervals, torn) = read(&bytes).unwrap();
        assert!(!torn);
        assert_eq!(
            intervals.iter().map(|i| (i.start_ns, i.histogram.len())).collect::<Vec<_>>(),
            [(0, 2), (1_000_000_000, 1)]
        );
        assert!(intervals[1].histogram.max() >= MAX_NS);
        let (intervals, torn) = read(&bytes[..bytes.len() - 1]).unwrap();
        assert_eq!((intervals.len(), torn), (1, true));
        assert!(read(&[]).unwrap().0.is_empty());
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.hlog");
        Log::create(&path).unwrap().write(&[7; 100], 0..1).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for i in 0..bytes.len() {
            for flip in [1u8, 0x20, 0x80] {
                let mut bent = bytes.clone();
                bent[i] ^= flip;
                let _ = read(&bent);
            }
            let _ = read(&bytes[i..]);
        }
        assert!(read(b"0.0,1.0,2.0,AAAA\n").is_err());
    }
}
