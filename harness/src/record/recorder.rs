//! The writing side: a node's events and histograms, flushed often enough that a killed node keeps what it measured.
//!
//! Callers append to a buffer under a lock; a thread compresses it every [`FLUSH`] to one complete zstd frame and one
//! complete line of each interval log, so a file always reads up to its last flush.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::clock::Clock;
use super::event::{Event, Mark, Payload};
use super::histogram::{Log, Series};
use super::resources;
use crate::types::{BlockNum, ShardId, ValidatorIndex, ViewId};

/// Longest time that an event waits in memory.
const FLUSH: Duration = Duration::from_millis(500);
/// Buffered bytes that wake the writer early.
const WAKE_BYTES: usize = 1 << 20;
/// zstd's default level: events shrink about tenfold at hundreds of MB/s.
const LEVEL: i32 = 3;

/// Why a recording is incomplete.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct RecordError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What a recorder needs to know.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Name of the node, which names its files: `node-00`. A restarted node's files get a suffix.
    pub node: String,
    /// The shard that its events carry.
    pub shard: ShardId,
    /// The run's clock.
    pub clock: Clock,
    /// The measured window: only transactions scheduled in it enter the latency histograms.
    pub window_ns: Range<u64>,
}

/// Writes one node's events and histograms. Clones share the files; any thread may record.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
    /// Taken by the first [`Recorder::close`].
    writer: Arc<Mutex<Option<WriterHandle>>>,
}

type WriterHandle = JoinHandle<Result<(), RecordError>>;

struct Shared {
    options: RecorderOptions,
    buffer: Mutex<Buffer>,
    wake: Condvar,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    refused: BTreeMap<(Option<ValidatorIndex>, Cow<'static, str>), u64>,
    histograms: [Vec<u64>; Series::ALL.len()],
    flush: bool,
    closing: bool,
    /// The writer gave up: nothing is kept any more.
    failed: bool,
}

impl Recorder {
    /// Opens the node's files inside a bundle's folder and starts its writer.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if a file cannot be created.
    pub fn create(bundle: &Path, options: RecorderOptions) -> Result<Self, RecordError> {
        let (mut name, mut restarts) = (options.node.clone(), 0);
        let (path, file) = loop {
            let path = bundle.join("events").join(format!("{name}.jsonl.zst"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    restarts += 1;
                    name = format!("{}.{restarts}", options.node);
                }
                Err(source) => return Err(RecordError { path, source }),
            }
        };
        let mut logs = Vec::new();
        for series in Series::ALL {
            let path = bundle.join("hist").join(format!("{name}-{}.hlog", series.name()));
            logs.push(Log::create(&path).map_err(|source| RecordError { path: path.clone(), source })?);
        }
        let shared = Arc::new(Shared { options, buffer: Mutex::default(), wake: Condvar::new() });
        let writer = Writer { shared: Arc::clone(&shared), path, file, logs };
        let handle = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || writer.run())
            .map_err(|source| RecordError { path: bundle.to_owned(), source })?;
        Ok(Self { shared, writer: Arc::new(Mutex::new(Some(handle))) })
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.shared.options.clock
    }

    /// Writes down that something happened now.
    pub fn record(&self, payload: Payload) {
        self.record_at(self.clock().now_ns(), payload);
    }

    /// Writes down that something happened at `t_ns`.
    pub fn record_at(&self, t_ns: u64, payload: Payload) {
        let event = Event { t_ns, shard: self.shared.options.shard, payload };
        self.shared.append(|buffer| buffer.push(&event));
    }

    /// Writes down a step of a block, now.
    pub fn mark(&self, block_num: BlockNum, view_id: ViewId, mark: Mark) {
        self.record(Payload::Phase { block_num, view_id, mark });
    }

    /// Counts one refusal. The counts of a flush become one event for each peer and reason: a flood costs no memory.
    /// `reason` must come from a fixed set.
    pub fn refused(&self, from: Option<ValidatorIndex>, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        self.shared.append(|buffer| *buffer.refused.entry((from, reason)).or_default() += 1);
    }

    /// A transaction became final at its home, at `final_ns`. Its finality counts from `scheduled_ns`; the uncorrected one,
    /// from `sent_ns`. Ignored unless it was scheduled in the window.
    pub fn finality(&self, scheduled_ns: u64, sent_ns: u64, final_ns: u64) {
        if self.shared.options.window_ns.contains(&scheduled_ns) {
            self.shared.append(|buffer| {
                buffer.sample(Series::Finality, final_ns.saturating_sub(scheduled_ns));
                buffer.sample(Series::FinalityUncorrected, final_ns.saturating_sub(sent_ns));
            });
        }
    }

    /// The generator sent a transaction that was due at `scheduled_ns`. Ignored unless that is in the window.
    pub fn lateness(&self, scheduled_ns: u64, sent_ns: u64) {
        if self.shared.options.window_ns.contains(&scheduled_ns) {
            self.shared.append(|buffer| buffer.sample(Series::Lateness, sent_ns.saturating_sub(scheduled_ns)));
        }
    }

    /// Asks the writer to flush soon.
    pub fn flush(&self) {
        self.shared.append(|buffer| buffer.flush = true);
        self.shared.wake.notify_one();
    }

    /// Writes [`Payload::Closed`], flushes, and makes the files durable. Later events are dropped; a second call does nothing.
    ///
    /// # Errors
    ///
    /// The first [`RecordError`] since the start: what was written before it remains.
    pub fn close(&self) -> Result<(), RecordError> {
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let (t_ns, shard) = (self.clock().now_ns(), self.shared.options.shard);
        self.shared.append(|buffer| {
            buffer.drain_refused(t_ns, shard);
            buffer.push(&Event { t_ns, shard, payload: resources::sample() });
            buffer.push(&Event { t_ns, shard, payload: Payload::Closed });
            buffer.closing = true;
        });
        self.shared.wake.notify_one();
        writer.join().unwrap_or_else(|_| {
            let source = io::Error::other("the recorder's thread panicked");
            Err(RecordError { path: PathBuf::from(&self.shared.options.node), source })
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        // A panic elsewhere leaves at worst one torn line, which readers report.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, change: impl FnOnce(&mut Buffer)) {
        let mut buffer = self.lock();
        if buffer.closing || buffer.failed {
            return;
        }
        change(&mut buffer);
        if buffer.lines.len() >= WAKE_BYTES {
            self.wake.notify_one();
        }
    }
}

impl Buffer {
    fn push(&mut self, event: &Event) {
        serde_json::to_writer(&mut self.lines, event).expect("an event is plain data and memory does not fail");
        self.lines.push(b'\n');
    }

    fn sample(&mut self, series: Series, value: u64) {
        self.histograms[series as usize].push(value);
    }

    fn drain_refused(&mut self, t_ns: u64, shard: ShardId) {
        for ((from, reason), count) in std::mem::take(&mut self.refused) {
            self.push(&Event { t_ns, shard, payload: Payload::Refused { from, reason, count } });
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    path: PathBuf,
    file: File,
    logs: Vec<Log>,
}

impl Writer {
    fn run(mut self) -> Result<(), RecordError> {
        let result = self.serve();
        if result.is_err() {
            let mut buffer = self.shared.lock();
            *buffer = Buffer { failed: true, ..Buffer::default() };
        }
        result
    }

    fn serve(&mut self) -> Result<(), RecordError> {
        let mut from_ns = self.shared.options.clock.now_ns();
        loop {
            let mut buffer = self.shared.lock();
            if !(buffer.closing || buffer.flush || buffer.lines.len() >= WAKE_BYTES) {
                buffer = self.shared.wake.wait_timeout(buffer, FLUSH).unwrap_or_else(PoisonError::into_inner).0;
            }
            let to_ns = self.shared.options.clock.now_ns();
            let shard = self.shared.options.shard;
            let closing = buffer.closing;
            if !closing {
                buffer.drain_refused(to_ns, shard);
                // Before the start there is nothing to compare it with.
                if to_ns > 0 {
                    buffer.push(&Event { t_ns: to_ns, shard, payload: resources::sample() });
                }
            }
            buffer.flush = false;
            let lines = std::mem::take(&mut buffer.lines);
            let histograms = std::mem::take(&mut buffer.histograms);
            drop(buffer);

            self.write(&lines, &histograms, from_ns..to_ns)?;
            from_ns = to_ns;
            if closing {
                let at = |path: &Path| {
                    let path = path.to_owned();
                    |source| RecordError { path, source }
                };
                self.file.sync_all().map_err(at(&self.path))?;
                return self.logs.iter().try_for_each(|log| log.sync().map_err(at(log.path())));
            }
        }
    }

    fn write(&mut self, lines: &[u8], histograms: &[Vec<u64>], interval_ns: Range<u64>) -> Result<(), RecordError> {
        if !lines.is_empty() {
            zstd::bulk::compress(lines, LEVEL)
                .and_then(|frame| self.file.write_all(&frame))
                .map_err(|source| RecordError { path: self.path.clone(), source })?;
        }
        for (log, values) in self.logs.iter_mut().zip(histograms) {
            log.write(values, interval_ns.clone())
                .map_err(|source| RecordError { path: log.path().to_owned(), source })?;
        }
        Ok(())
    }
}
