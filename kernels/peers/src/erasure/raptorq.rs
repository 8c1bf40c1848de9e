//! raptorq: RFC 6330. No maximum-distance code: `k` symbols are enough nearly always, and one more helps where they are not.
//!
//! A symbol has at most 65,535 bytes. Longer chunks are cut into source blocks of one symbol a chunk, all of which lose alike.

use std::hint::black_box;
use std::time::Duration;

use raptorq::{EncodingPacket, ObjectTransmissionInformation};
use raptorq::{SourceBlockDecoder, SourceBlockEncoder, SourceBlockEncodingPlan};

use super::codec::{Block, Codec, Opened, Peer};
use crate::clock::Clock;

/// Repair symbols beyond `m`, for the patterns that `k` do not solve.
const SPARE: usize = 8;

/// The crate.
pub const PEER: Peer = Peer {
    name: concat!("raptorq ", env!("VERSUS_RAPTORQ")),
    most_chunks: 56_403,
    unit: 1,
    reference: None,
    encode: Some(
        "the peer's plan is prepared, it copies the data and allocates the repair symbols, as its interface has it",
    ),
    reconstruct: "the peer's decoder is built inside and takes the packets, which exist, over; it gets one more where k do not \
                  solve",
    open,
};

struct RaptorQ {
    k: usize,
    m: usize,
    config: ObjectTransmissionInformation,
    plan: SourceBlockEncodingPlan,
    /// The data, source block after source block.
    data: Vec<u8>,
    /// `k + m + SPARE` packets of each source block.
    packets: Vec<Vec<EncodingPacket>>,
}

fn open(block: &Block, chunk_bytes: usize) -> Opened {
    let Block { k, m, .. } = *block;
    let blocks = chunk_bytes.div_ceil(usize::from(u16::MAX));
    let symbol_bytes = chunk_bytes.div_ceil(blocks);
    let data = block.padded(symbol_bytes * blocks);
    let count = u8::try_from(blocks).map_err(|e| e.to_string())?;
    let symbol = u16::try_from(symbol_bytes).map_err(|e| e.to_string())?;
    let config = ObjectTransmissionInformation::new(data.len() as u64, symbol, count, 1, 1);
    let plan = SourceBlockEncodingPlan::generate(u16::try_from(k).map_err(|e| e.to_string())?);
    let mut codec = RaptorQ { k, m, config, plan, data, packets: Vec::new() };
    codec.packets = codec
        .encoders()
        .map(|encoder| [encoder.source_packets(), encoder.repair_packets(0, (m + SPARE) as u32)].concat())
        .collect();
    Ok(Box::new(codec))
}

impl RaptorQ {
    fn encoders(&self) -> impl Iterator<Item = SourceBlockEncoder> {
        let Self { k, config, plan, data, .. } = self;
        let blocks = data.chunks_exact(k * usize::from(config.symbol_size())).zip(0..);
        blocks.map(|(data, id)| SourceBlockEncoder::with_encoding_plan(id, config, data, plan))
    }
}

impl Codec for RaptorQ {
    fn encode(&mut self) -> bool {
        self.encoders().all(|encoder| black_box(encoder.repair_packets(0, self.m as u32)).len() == self.m)
    }

    fn reconstruct(&mut self, arrived: &[usize], check: bool) -> Option<Duration> {
        let Self { k, m, config, data, packets, .. } = self;
        let block_bytes = *k * usize::from(config.symbol_size());
        let received: Vec<(Vec<EncodingPacket>, Vec<EncodingPacket>)> = packets
            .iter()
            .map(|all| (arrived.iter().map(|index| all[*index].clone()).collect(), all[*k + *m..].to_vec()))
            .collect();
        let mut restored = Vec::with_capacity(received.len());
        let clock = Clock::start();
        for ((packets, spare), id) in received.into_iter().zip(0..) {
            let mut decoder = SourceBlockDecoder::new(id, config, block_bytes as u64);
            let first = decoder.decode(packets);
            restored.push(first.or_else(|| spare.into_iter().find_map(|packet| decoder.decode([packet])))?);
        }
        let elapsed = clock.stop();
        let right = !check || restored.concat() == *data;
        right.then_some(elapsed)
    }
}
