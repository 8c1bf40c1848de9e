//! The reading side of a bundle's events: tolerant of the torn tail a killed node leaves, strict about everything else.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::event::Event;

/// Longest line that a reader accepts.
const MAX_LINE: u64 = 1 << 20;

/// One node's events, in the order they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFile {
    /// The events.
    pub events: Vec<Event>,
    /// Whether the file ends inside a frame or a line, as that of a killed node may.
    pub torn: bool,
}

/// Reads `events/<node>.jsonl.zst`.
///
/// # Errors
///
/// One line: what is wrong, and in which line of the decompressed text. A torn tail is no error.
pub fn read(path: &Path) -> Result<EventFile, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let decoder = zstd::stream::read::Decoder::new(file).map_err(|error| error.to_string())?;
    lines(BufReader::new(decoder))
}

fn lines(mut source: impl BufRead) -> Result<EventFile, String> {
    let mut result = EventFile::default();
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        match source.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                result.torn = true;
                break;
            }
            Err(error) => return Err(format!("line {number}: {error}")),
        }
        if line.last() != Some(&b'\n') {
            if line.len() as u64 >= MAX_LINE {
                return Err(format!("line {number} is longer than {MAX_LINE} bytes"));
            }
            result.torn = true;
            break;
        }
        let event = serde_json::from_slice(&line).map_err(|error| format!("line {number}: {error}"))?;
        result.events.push(event);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::event::{Mark, Payload};
    use super::super::{Clock, Recorder, RecorderOptions};
    use super::*;
    use crate::types::{BlockNum, ShardId, ValidatorIndex, ViewId};

    fn recorder(folder: &Path) -> Recorder {
        for sub in ["events", "hist"] {
            std::fs::create_dir_all(folder.join(sub)).unwrap();
        }
        let options = RecorderOptions {
            node: "node-00".into(),
            shard: ShardId(3),
            clock: Clock::starting_in(Duration::ZERO),
            window_ns: 100..200,
        };
        Recorder::create(folder, options).unwrap()
    }

    fn marks(file: &EventFile) -> usize {
        file.events.iter().filter(|event| matches!(event.payload, Payload::Phase { .. })).count()
    }

    #[test]
    fn a_closed_recording_reads_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(folder.path());
        for block in 0..1000 {
            recorder.mark(BlockNum(block), ViewId(0), Mark::Propose);
        }
        for _ in 0..5 {
            recorder.refused(Some(ValidatorIndex(2)), "bad signature");
        }
        recorder.refused(None, "stranger");
        recorder.finality(100, 101, 150);
        recorder.finality(99, 99, 150);
        recorder.finality(200, 200, 250);
        recorder.close().unwrap();
        recorder.mark(BlockNum(0), ViewId(0), Mark::Propose);
        recorder.close().unwrap();

        let file = read(&folder.path().join("events/node-00.jsonl.zst")).unwrap();
        assert!(!file.torn);
        assert_eq!(marks(&file), 1000);
        assert!(file.events.iter().all(|event| event.shard == ShardId(3)));
        assert_eq!(file.events.last().unwrap().payload, Payload::Closed);
        let refused: Vec<_> = file
            .events
            .iter()
            .filter_map(|event| match &event.payload {
                Payload::Refused { from, reason, count } => Some((*from, reason.as_ref(), *count)),
                _ => None,
            })
            .collect();
        assert_eq!(refused.iter().filter(|r| r.0.is_some()).map(|r| r.2).sum::<u64>(), 5);
        assert_eq!(refused.iter().filter(|r| r.1 == "stranger").map(|r| r.2).sum::<u64>(), 1);

        let log = std::fs::read(folder.path().join("hist/node-00-finality.hlog")).unwrap();
        let (intervals, torn) = super::super::histogram::read(&log).unwrap();
        assert!(!torn);
        let values: Vec<u64> = intervals.iter().map(|interval| interval.histogram.max()).collect();
        assert_eq!(values, [50], "only transactions scheduled in the window count");
    }

    #[test]
    fn a_killed_nodes_file_reads_up_to_its_last_flush() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(folder.path());
        let path = folder.path().join("events/node-00.jsonl.zst");
        recorder.mark(BlockNum(1), ViewId(0), Mark::Propose);
        recorder.flush();
        while std::fs::metadata(&path).unwrap().len() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let first = std::fs::metadata(&path).unwrap().len() as usize;
        recorder.mark(BlockNum(2), ViewId(0), Mark::Propose);
        recorder.close().unwrap();

        let bytes = std::fs::read(&path).unwrap();
        for cut in first..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let file = read(&path).unwrap();
            assert!(marks(&file) >= 1, "cut at {cut}");
            assert_eq!(file.torn, cut != first, "cut at {cut}");
        }
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(marks(&read(&path).unwrap()), 2);
    }

    #[test]
    fn a_restarted_node_writes_beside_its_first_files() {
        let folder = tempfile::tempdir().unwrap();
        let first = recorder(folder.path());
        let second = recorder(folder.path());
        first.close().unwrap();
        second.close().unwrap();
        assert!(read(&folder.path().join("events/node-00.jsonl.zst")).is_ok());
        assert!(read(&folder.path().join("events/node-00.1.jsonl.zst")).is_ok());
        assert!(folder.path().join("hist/node-00.1-lateness.hlog").exists());
    }

    #[test]
    fn corrupt_bytes_and_foreign_lines_are_errors_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.zst");
        let write = |text: &str| std::fs::write(&path, zstd::bulk::compress(text.as_bytes(), 1).unwrap()).unwrap();
        write("{\"t_ns\":1,\"shard\":0,\"event\":\"closed\"}\n{\"t_ns\":1}\n");
        assert!(read(&path).unwrap_err().starts_with("line 2:"));
        write(&"x".repeat(2 << 20));
        assert!(read(&path).unwrap_err().contains("longer than"));
        std::fs::write(&path, "not zstd at all").unwrap();
        assert!(read(&path).is_err());
        write("");
        assert_eq!(read(&path).unwrap(), EventFile::default());
    }

    #[test]
    fn a_disk_that_refuses_is_reported_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let options = RecorderOptions {
            node: "node-00".into(),
            shard: ShardId(0),
            clock: Clock::starting_in(Duration::ZERO),
            window_ns: 0..1,
        };
        let Err(error) = Recorder::create(&folder.path().join("absent"), options) else { panic!("no folder") };
        assert!(error.to_string().contains("absent"));
    }
}
