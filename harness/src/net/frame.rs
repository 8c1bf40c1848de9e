//! Frames on a stream: a big-endian u32 length, then that many bytes.
//!
//! [`Batch`] turns many queued frames into few writes; [`Decoder`] turns whatever pieces arrive into frames again. A
//! length is checked before anything is allocated for it.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use quinn::{SendStream, WriteError};

/// Bytes of the length before a frame.
const HEADER: usize = 4;
/// Frames up to this long are copied together; longer ones are handed over as they are.
const COPY_LIMIT: usize = 4096;
/// A batch is closed at this many bytes or frames: enough to hide the cost of a write, little enough to stay in cache.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_FRAMES: usize = 512;

/// A frame's header announced more than its lane allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Frames on their way into a stream.
#[derive(Default)]
pub(super) struct Batch {
    /// Frames with the batch offset at which each ends.
    frames: VecDeque<(usize, Bytes)>,
    segments: Vec<Bytes>,
    /// Headers and short frames since the last long one.
    copied: BytesMut,
    len: usize,
    written: usize,
}

impl Batch {
    /// Whether another frame should wait for the next batch.
    pub fn is_full(&self) -> bool {
        self.len >= BATCH_BYTES || self.frames.len() >= BATCH_FRAMES
    }

    /// Appends a frame. Its length must fit the header; the queue has checked it against its lane's limit.
    pub fn push(&mut self, frame: Bytes) {
        self.len += HEADER + frame.len();
        self.copied.put_u32(frame.len() as u32);
        if frame.len() <= COPY_LIMIT {
            self.copied.put_slice(&frame);
        } else {
            self.flush_copied();
            self.segments.push(frame.clone());
        }
        self.frames.push_back((self.len, frame));
    }

    fn flush_copied(&mut self) {
        if !self.copied.is_empty() {
            self.segments.push(self.copied.split().freeze());
        }
    }

    /// Writes everything, and takes off each frame that the stream accepted to its last byte, calling `accepted` with
    /// its length. After an error the other frames are still there ([`Batch::into_unsent`]): a peer cannot have got any of them whole.
    pub async fn write(&mut self, stream: &mut SendStream, mut accepted: impl FnMut(usize)) -> Result<(), WriteError> {
        self.flush_copied();
        let mut first = 0;
        while first < self.segments.len() {
            let step = stream.write_chunks(&mut self.segments[first..]).await?;
            first += step.chunks;
            self.written += step.bytes;
            while self.frames.front().is_some_and(|(end, _)| *end <= self.written) {
                self.frames.pop_front().inspect(|(_, frame)| accepted(frame.len()));
            }
        }
        self.segments.clear();
        (self.len, self.written) = (0, 0);
        Ok(())
    }

    /// The frames that were not written, oldest first.
    pub fn into_unsent(self) -> impl DoubleEndedIterator<Item = Bytes> {
        self.frames.into_iter().map(|(_, frame)| frame)
    }
}

/// Frames on their way out of a stream.
pub(super) struct Decoder {
    limit: usize,
    header: [u8; HEADER],
    header_len: usize,
    /// The frame that has begun, once its header is complete: at most `limit` bytes.
    body: Vec<u8>,
    missing: usize,
}

impl Decoder {
    pub fn new(limit: usize) -> Self {
        Self { limit, header: [0; HEADER], header_len: 0, body: Vec::new(), missing: 0 }
    }

    /// Takes the next frame off the front of `chunk`, or all of `chunk` when the frame needs more.
    pub fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, TooLong> {
        if self.header_len < HEADER {
            let taken = chunk.split_to(chunk.len().min(HEADER - self.header_len));
            self.header[self.header_len..self.header_len + taken.len()].copy_from_slice(&taken);
            self.header_len += taken.len();
            if self.header_len < HEADER {
                return Ok(None);
            }
            self.missing = u32::from_be_bytes(self.header) as usize;
            if self.missing > self.limit {
                return Err(TooLong);
            }
            self.body = Vec::with_capacity(self.missing);
        }
        let taken = chunk.split_to(chunk.len().min(self.missing));
        self.body.extend_from_slice(&taken);
        self.missing -= taken.len();
        if self.missing > 0 {
            return Ok(None);
        }
        self.header_len = 0;
        Ok(Some(std::mem::take(&mut self.body).into()))
    }

    /// Whether a frame has begun and not ended.
    pub fn is_inside_frame(&self) -> bool {
        self.header_len > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut batch = Batch::default();
        for frame in frames {
            batch.push(Bytes::from(frame.clone()));
        }
        batch.flush_copied();
        assert_eq!(batch.len, batch.segments.iter().map(Bytes::len).sum::<usize>());
        batch.segments.concat()
    }

    fn decode(limit: usize, bytes: &[u8], pieces: &[usize]) -> Result<(Vec<Vec<u8>>, bool), TooLong> {
        let mut decoder = Decoder::new(limit);
        let mut frames = Vec::new();
        let mut rest = Bytes::copy_from_slice(bytes);
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let piece = rest.len().min(*pieces.next().unwrap_or(&usize::MAX));
            let mut chunk = rest.split_to(piece);
            while !chunk.is_empty() {
                frames.extend(decoder.next(&mut chunk)?.map(|frame| frame.to_vec()));
            }
        }
        Ok((frames, decoder.is_inside_frame()))
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(
            lengths in prop::collection::vec(prop_oneof![0usize..40, COPY_LIMIT - 2..COPY_LIMIT + 3, 0usize..20_000], 0..12),
            pieces in prop::collection::vec(1usize..3000, 1..8),
        ) {
            let frames: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(i, len)| vec![i as u8; *len]).collect();
            prop_assert_eq!(decode(20_000, &encode(&frames), &pieces).unwrap(), (frames, false));
        }

        #[test]
        fn random_bytes_never_give_a_frame_above_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..2000), limit in 0usize..300) {
            if let Ok((frames, _)) = decode(limit, &bytes, &[7]) {
                prop_assert!(frames.iter().all(|frame| frame.len() <= limit));
            }
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_body() {
        let frame = vec![1; 100];
        assert!(decode(100, &encode(std::slice::from_ref(&frame)), &[1]).is_ok());
        assert_eq!(decode(99, &encode(&[frame])[..4], &[1]), Err(TooLong));
        assert_eq!(decode(1 << 20, &[0xff; 4], &[4]), Err(TooLong));
    }

    #[test]
    fn a_truncated_frame_is_seen() {
        let bytes = encode(&[vec![1; 10], vec![2; 10]]);
        for cut in 15..28 {
            assert_eq!(decode(10, &bytes[..cut], &[3]), Ok((vec![vec![1; 10]], true)), "{cut}");
        }
    }
}
