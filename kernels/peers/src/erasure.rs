//! Rows of the erasure kernels, against the crate reed-solomon-erasure used directly.
//!
//! Our `cpu` backend encodes through the same crate: that row is a control, and 1 is its right value. Reconstruction is
//! ours over the crate's field; the crate's own keeps inverted matrices by erasure pattern, so it is shown without its
//! cache and with it. Both sides write into buffers that exist; the crate restores in place, ours copies what arrived.

use reed_solomon_erasure::galois_8::ReedSolomon;
use shardmark_kernels::backend::Kernel;
use shardmark_kernels::erasure::{Chunks, Code, Encode, EncodeParams, Reconstruct, ReconstructParams, Shape};

use crate::duel::{Case, Table};
use crate::ours::Ours;

const VERSION: &str = concat!("reed-solomon-erasure ", env!("VERSUS_REED_SOLOMON"), " scalar");
const SHAPES: [(u16, u16); 2] = [(10, 4), (32, 32)];
const BODY: usize = 1 << 20;

/// All rows.
///
/// # Errors
///
/// The backend is unavailable, a side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    for (k, m) in SHAPES {
        encode(table, k, m)?;
        reconstruct(table, k, m)?;
    }
    Ok(())
}

fn codec(shape: Shape) -> Result<ReedSolomon, String> {
    ReedSolomon::new(shape.k(), shape.m()).map_err(|e| e.to_string())
}

fn encode(table: &mut Table, k: u16, m: u16) -> Result<(), String> {
    let name = format!("code={} k={k} m={m} body_bytes={BODY}", Code::RsVandermonde);
    let peer = format!("{VERSION}, encode_sep");
    if !table.wants(Encode::NAME, &name, &peer) {
        return Ok(());
    }
    let chunk_bytes = BODY.div_ceil(usize::from(k));
    let params = EncodeParams { code: Code::RsVandermonde, data_chunks: k, parity_chunks: m, chunk_bytes };
    let shape = params.shape();
    let data = Encode::generate(&params, &shape, 1, 0);
    let ours = Ours::<Encode>::open(table.backend, &shape)?;
    let want = ours.checked(&shape, &data)?;
    let mut session = ours.load(&data)?;

    let codec = codec(shape)?;
    let chunks: Vec<&[u8]> = data.chunks_exact(chunk_bytes).collect();
    let mut parity = vec![vec![0; chunk_bytes]; shape.m()];
    codec.encode_sep(&chunks, &mut parity).map_err(|e| e.to_string())?;
    if parity.concat() != want {
        return Err(format!("{} {name}: the parity of both sides differs", Encode::NAME));
    }
    table.duel(
        &Case { kernel: Encode::NAME, name: &name, items: Encode::work(&params).items, ours: &ours.description, path: None },
        &peer,
        "data chunks to parity chunks, in buffers that exist; generator matrix prepared; no tree; an item is a data chunk",
        &mut || session.execute(),
        &mut || codec.encode_sep(&chunks, &mut parity).is_ok(),
    )
}

fn reconstruct(table: &mut Table, k: u16, m: u16) -> Result<(), String> {
    let missing = k.min(m);
    let name = format!("code={} k={k} m={m} missing={missing} body_bytes={BODY}", Code::RsVandermonde);
    let peers = [
        format!("{VERSION}, reconstruct_data by a fresh codec"),
        format!("{VERSION}, reconstruct_data with the pattern's matrix cached"),
    ];
    if !table.wants_any(Reconstruct::NAME, &name, &[&peers[0], &peers[1]]) {
        return Ok(());
    }
    let chunk_bytes = BODY.div_ceil(usize::from(k));
    let params =
        ReconstructParams { code: Code::RsVandermonde, data_chunks: k, parity_chunks: m, chunk_bytes, missing };
    let shape = params.shape();
    let chunks = Reconstruct::generate(&params, &shape, 1, 0);
    let ours = Ours::<Reconstruct>::open(table.backend, &shape)?;
    let want = ours.checked(&shape, &chunks)?.map_err(|e| e.to_string())?;
    let mut session = ours.load(&chunks)?;

    let mut places = places(shape, &chunks);
    let cached = codec(shape)?;
    cached.reconstruct_data(&mut places).map_err(|e| e.to_string())?;
    if places.iter().take(shape.k()).flat_map(|(chunk, _)| chunk).ne(&want) {
        return Err(format!("{} {name}: the data of both sides differs", Reconstruct::NAME));
    }
    let items = Reconstruct::work(&params).items;
    let case = Case { kernel: Reconstruct::NAME, name: &name, items, ours: &ours.description, path: None };
    const TIMED: &str = "chunks of one pattern to data chunks, in buffers that exist; no tree, no re-encoding; an item is a \
                         data chunk; ours solves the pattern and copies the data that arrived";
    table.duel(
        &case,
        &peers[0],
        &format!("{TIMED}; the peer builds its generator matrix and inverts the pattern's"),
        &mut || session.execute(),
        &mut || codec(shape).is_ok_and(|fresh| fresh.reconstruct_data(&mut places).is_ok()),
    )?;
    table.duel(
        &case,
        &peers[1],
        &format!("{TIMED}; the peer looks the inverted matrix up"),
        &mut || session.execute(),
        &mut || cached.reconstruct_data(&mut places).is_ok(),
    )
}

/// All `k + m` chunks in order, each with whether it arrived. The crate restores those that did not in place and leaves
/// the marks, so that every call has the same work.
fn places(shape: Shape, chunks: &Chunks) -> Vec<(Vec<u8>, bool)> {
    let mut places = vec![(vec![0; chunks.chunk_bytes], false); shape.total()];
    for (index, chunk) in &chunks.received {
        places[usize::from(*index)] = (chunk.clone(), true);
    }
    places
}
