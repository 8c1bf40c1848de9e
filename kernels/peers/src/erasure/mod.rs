//! Rows of the erasure kernels: our codes against every named library that is built in, at the sizes of block bodies.
//!
//! Codes differ, so bytes are compared within one code only: ours with the kernel's oracle, each peer's by its own round
//! trip, all before anything is timed. Every reconstruction of either side meets a pattern that it has not seen.
//!
//! One file a library; [`codec`] is what they have in common, [`side`] is ours, [`loss`] draws patterns, [`recorded`] holds
//! the peers that are not built here, [`intercept`] the fixed cost of a call, [`limit`] what no encoder can be faster than.

mod codec;
pub mod intercept;
#[cfg(feature = "isal")]
mod isal;
mod limit;
mod loss;
mod raptorq;
mod recorded;
pub mod rse;
mod rss;
mod side;

use shardmark_kernels::backend::Kernel;
use shardmark_kernels::erasure::{Code, Encode, Reconstruct};

use self::codec::{Block, Peer};
use self::loss::{Draw, Loss};
use self::recorded::{Reference, Verb, ratios};
use self::side::Side;
use crate::clock::watch;
use crate::duel::{Case, Coded, Table};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// One code and shape.
type Dimensions = (Code, usize, usize);

const SHAPES: [Dimensions; 8] = [
    (Code::RsFft8, 10, 4),
    (Code::RsFft8, 32, 32),
    (Code::RsFft8, 64, 64),
    (Code::RsFft8, 85, 171),
    (Code::RsFft8, 128, 128),
    (Code::RsFft16, 667, 1333),
    (Code::RsVandermonde, 10, 4),
    (Code::RsVandermonde, 32, 32),
];

const BODIES: [usize; 3] = [128 * KIB, MIB, 8 * MIB];
/// A set of 32 chunks of 1 KiB, as block propagation over packets cuts them.
const SET: usize = 32 * KIB;

/// The body sizes of a shape.
fn bodies(k: usize, m: usize) -> impl Iterator<Item = usize> {
    let set = ((k, m) == (32, 32)).then_some(SET);
    set.into_iter().chain(BODIES)
}

/// Everybody, in the order of rows.
const PEERS: &[Peer] = &[
    rss::PEER,
    #[cfg(feature = "isal")]
    isal::PEER,
    rse::PEER,
    rse::WARM,
    raptorq::PEER,
];

/// All rows.
///
/// # Errors
///
/// A side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    for (code, k, m) in SHAPES {
        for body_bytes in bodies(k, m) {
            encode(table, (code, k, m), body_bytes)?;
        }
    }
    for (code, k, m) in SHAPES {
        for body_bytes in bodies(k, m) {
            reconstruct(table, (code, k, m), body_bytes, Loss::Most)?;
        }
        for body_bytes in [128 * KIB, MIB] {
            for loss in [Loss::Few(1), Loss::Few(4), Loss::Random] {
                // At (10,4) that is the row above.
                if loss.name(k, m) != Loss::Most.name(k, m) {
                    reconstruct(table, (code, k, m), body_bytes, loss)?;
                }
            }
        }
    }
    Ok(())
}

/// The peers that have the shape and that a row is wanted against.
fn wanted<'a>(
    table: &'a Table,
    kernel: &'a str,
    name: &'a str,
    chunks: usize,
) -> impl Iterator<Item = &'static Peer> + 'a {
    PEERS.iter().filter(move |peer| chunks <= peer.most_chunks && table.wants(kernel, name, peer.name))
}

/// The part of `timed` on chunks.
fn sizes(ours: usize, peer: usize) -> String {
    if ours == peer {
        format!("chunks of {ours} bytes")
    } else {
        format!("chunks of {ours} bytes, the peer's of {peer}")
    }
}

/// Peers that are not here, by their recorded ratio to this one.
fn recorded(peer: &Peer, verb: Option<Verb>, block: &Block) -> Vec<(&'static str, f64)> {
    let dimensions = (block.k, block.m);
    let verb = verb.filter(|_| peer.reference == Some(Reference::of(block.k, block.m)));
    verb.map(|verb| ratios(verb, dimensions, block.body.len())).unwrap_or_default()
}

fn encode(table: &mut Table, (code, k, m): Dimensions, body_bytes: usize) -> Result<(), String> {
    let name = format!("code={code} k={k} m={m} body_bytes={body_bytes}");
    let peers: Vec<&Peer> = wanted(table, Encode::NAME, &name, k + m).filter(|peer| peer.encode.is_some()).collect();
    let limited = code == Code::RsFft8 && table.wants(Encode::NAME, &name, limit::NAME);
    if peers.is_empty() && !limited {
        return Ok(());
    }
    let side = match Side::open(table.backend, code, k, m) {
        Ok(side) => side,
        Err(reason) => return table.unavailable(Encode::NAME, &name, &reason),
    };
    let block = Block::new(k, m, body_bytes);
    side.chunks(&block)?;
    let chunk_bytes = side.chunk_bytes(&block);
    let data = block.padded(chunk_bytes);
    let mut session = side.encode.load(&data)?;
    session.execute();
    let path = session.path();
    let case = Case { kernel: Encode::NAME, name: &name, items: k as u64, ours: &side.encode.description, path };
    for peer in peers {
        let mut theirs = peer.checked(&block)?;
        let timed = format!(
            "data chunks to parity chunks, in buffers that exist; no tree; an item is a data chunk; {}; {}",
            sizes(chunk_bytes, peer.chunk_bytes(&block)),
            peer.encode.unwrap_or_default(),
        );
        table.duel_coded(
            &case,
            Coded { bytes: body_bytes, recorded: &recorded(peer, Some(Verb::Encode), &block) },
            peer.name,
            &timed,
            &mut || watch(|| session.execute()),
            &mut || watch(|| theirs.encode()),
        )?;
    }
    if let Some(butterflies) = limit::butterflies(k, m, chunk_bytes).filter(|_| limited) {
        table.duel_coded(
            &case,
            Coded { bytes: body_bytes, recorded: &[] },
            limit::NAME,
            limit::TIMED,
            &mut || watch(|| session.execute()),
            &mut || watch(|| limit::run(butterflies)),
        )?;
    }
    Ok(())
}

fn reconstruct(table: &mut Table, (code, k, m): Dimensions, body_bytes: usize, loss: Loss) -> Result<(), String> {
    let name = format!("code={code} k={k} m={m} missing={} body_bytes={body_bytes}", loss.name(k, m));
    let peers: Vec<&Peer> = wanted(table, Reconstruct::NAME, &name, k + m).collect();
    if peers.is_empty() {
        return Ok(());
    }
    let side = Side::open(table.backend, code, k, m);
    let (side, ours) = match side.as_ref().map_err(Clone::clone).and_then(|side| Ok((side, side.restores()?))) {
        Ok(both) => both,
        Err(reason) => return table.unavailable(Reconstruct::NAME, &name, &reason),
    };
    let block = Block::new(k, m, body_bytes);
    let mut arrivals = side.chunks(&block)?;
    let draw = Draw::new(loss, k, m);
    let path = arrivals.checked_draws(ours, &draw)?;
    let verb = (loss == Loss::Most).then_some(Verb::RestoreMost);
    let case = Case { kernel: Reconstruct::NAME, name: &name, items: k as u64, ours: &ours.description, path };
    for peer in peers {
        let mut theirs = peer.checked(&block)?;
        let timed = format!(
            "k chunks to data chunks, in buffers that exist, another pattern each call, drawn before the clock starts; no \
             tree, no re-encoding; an item is a data chunk; {}; ours solves the pattern and copies the data that arrived; {}",
            sizes(side.chunk_bytes(&block), peer.chunk_bytes(&block)),
            peer.reconstruct,
        );
        let (mut our_draw, mut their_draw) = (draw.clone(), draw.clone());
        table.duel_coded(
            &case,
            Coded { bytes: body_bytes, recorded: &recorded(peer, verb, &block) },
            peer.name,
            &timed,
            &mut || arrivals.execute(ours, our_draw.next()),
            &mut || theirs.reconstruct(their_draw.next(), false),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_restores_its_own_chunks_whatever_is_lost() {
        for peer in PEERS {
            for (k, m) in [(1, 1), (10, 4), (32, 32), (85, 171)] {
                let block = Block::new(k, m, 10_007);
                let mut codec = peer.checked(&block).unwrap();
                for loss in [Loss::Most, Loss::Few(1), Loss::Random] {
                    let mut draw = Draw::new(loss, k, m);
                    for _ in 0..3 {
                        assert!(codec.reconstruct(draw.next(), true).is_some(), "{} ({k}, {m}) {loss}", peer.name);
                    }
                }
            }
        }
    }

    #[test]
    fn peers_of_a_wider_field_take_more_chunks() {
        let block = Block::new(300, 20, 30_000);
        for peer in PEERS {
            assert_eq!(peer.checked(&block).is_ok(), peer.most_chunks >= 320, "{}", peer.name);
        }
    }

    #[test]
    fn chunks_longer_than_a_raptorq_symbol_are_restored() {
        let block = Block::new(3, 2, 600_001);
        assert!(raptorq::PEER.checked(&block).unwrap().reconstruct(&[4, 3, 1], true).is_some());
    }

    #[test]
    fn only_the_reference_of_a_shape_has_recorded_ratios() {
        let (wide, narrow) = (Block { k: 32, m: 32, body: vec![0; MIB] }, Block { k: 10, m: 4, body: vec![0; MIB] });
        let count = |peer: &Peer, block| recorded(peer, Some(Verb::Encode), block).len();
        assert_eq!((count(&rss::PEER, &wide), count(&rss::PEER, &narrow), count(&rse::PEER, &wide)), (4, 0, 0));
        assert!(recorded(&rss::PEER, None, &wide).is_empty());
    }

    #[test]
    fn the_body_sizes_of_a_packet_set_are_of_its_shape_alone() {
        assert_eq!(bodies(32, 32).collect::<Vec<_>>(), [32_768, 131_072, 1_048_576, 8_388_608]);
        assert_eq!(bodies(10, 4).count(), 3);
    }
}
