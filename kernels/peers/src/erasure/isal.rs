//! ISA-L, from the system: GF(2^8), Cauchy matrix, nibble tables in assembly, the instruction set chosen at run time.

use std::ffi::{c_int, c_uchar};
use std::time::Duration;

use super::codec::{Block, Codec, Opened, Peer, Rows};
use super::recorded::Reference;
use crate::clock::Clock;

// Declared by hand after isa-l/erasure_code.h; all of them only read what is declared const here.
#[link(name = "isal")]
unsafe extern "C" {
    /// Tables of 32 bytes for each of the `rows * k` coefficients of `a`.
    fn ec_init_tables(k: c_int, rows: c_int, a: *const c_uchar, tables: *mut c_uchar);
    /// `rows` combinations of `k` sources of `len` bytes.
    fn ec_encode_data(
        len: c_int,
        k: c_int,
        rows: c_int,
        tables: *const c_uchar,
        sources: *const *const c_uchar,
        targets: *const *mut c_uchar,
    );
    /// The identity over a Cauchy matrix: `m` rows in all, of `k` coefficients. Every `k` of its rows are independent, unlike
    /// those of the library's Vandermonde matrix.
    fn gf_gen_cauchy1_matrix(a: *mut c_uchar, m: c_int, k: c_int);
    /// The inverse of an `n` by `n` matrix, which it destroys; 0 unless it is singular.
    fn gf_invert_matrix(matrix: *mut c_uchar, inverse: *mut c_uchar, n: c_int) -> c_int;
}

/// The library.
pub const PEER: Peer = Peer {
    name: concat!("ISA-L ", env!("VERSUS_ISAL")),
    most_chunks: 256,
    unit: 1,
    reference: Some(Reference::IsaL),
    encode: Some("the peer's tables are prepared"),
    reconstruct: "the peer picks the pattern's rows, inverts them, expands the tables of what is missing and restores that alone",
    open,
};

struct Isal {
    k: usize,
    m: usize,
    /// Data, then parity.
    chunks: Rows,
    restored: Rows,
    /// `k + m` rows of `k` coefficients.
    matrix: Vec<u8>,
    encode_tables: Vec<u8>,
    // What a reconstruction needs, so that none allocates.
    system: Vec<u8>,
    inverse: Vec<u8>,
    picked: Vec<u8>,
    tables: Vec<u8>,
    sources: Vec<*const u8>,
    targets: Vec<*mut u8>,
    missing: Vec<usize>,
}

fn open(block: &Block, chunk_bytes: usize) -> Opened {
    let Block { k, m, .. } = *block;
    if k == 0 || m == 0 || k + m > PEER.most_chunks || c_int::try_from(chunk_bytes).is_err() {
        return Err(format!("no ({k}, {m}) of {chunk_bytes} bytes"));
    }
    let mut matrix = vec![0; (k + m) * k];
    // SAFETY: the buffer holds k + m rows of k coefficients, and k + m is within the field.
    unsafe { gf_gen_cauchy1_matrix(matrix.as_mut_ptr(), int(k + m), int(k)) };
    let mut encode_tables = vec![0; 32 * k * m];
    expand(&matrix[k * k..], k, &mut encode_tables);
    Ok(Box::new(Isal {
        k,
        m,
        chunks: block.rows(chunk_bytes),
        restored: Rows::new(k, chunk_bytes),
        matrix,
        encode_tables,
        system: vec![0; k * k],
        inverse: vec![0; k * k],
        picked: Vec::with_capacity(k * k),
        tables: vec![0; 32 * k * k],
        sources: Vec::with_capacity(k),
        targets: Vec::with_capacity(k.max(m)),
        missing: Vec::with_capacity(k),
    }))
}

/// Counts here are below 257, and lengths were compared with the type when the codec was opened.
fn int(value: usize) -> c_int {
    value as c_int
}

/// The tables of `rows` of `k` coefficients each.
fn expand(rows: &[u8], k: usize, tables: &mut [u8]) {
    assert!(rows.len().is_multiple_of(k) && tables.len() >= 32 * rows.len());
    // SAFETY: the assertion: whole rows, and 32 bytes for each of their coefficients.
    unsafe { ec_init_tables(int(k), int(rows.len() / k), rows.as_ptr(), tables.as_mut_ptr()) }
}

/// Every target as the combination of all sources that its part of the tables says.
///
/// # Safety
///
/// Each source may be read and each target written for `len` bytes.
unsafe fn combine(len: usize, tables: &[u8], sources: &[*const u8], targets: &[*mut u8]) {
    assert!(tables.len() >= 32 * sources.len() * targets.len());
    let (k, rows) = (int(sources.len()), int(targets.len()));
    // SAFETY: the caller vouches for the rows, the assertion for the tables, the slices for the counts.
    unsafe { ec_encode_data(int(len), k, rows, tables.as_ptr(), sources.as_ptr(), targets.as_ptr()) }
}

impl Codec for Isal {
    fn encode(&mut self) -> bool {
        let Self { k, chunks, encode_tables, sources, targets, .. } = self;
        let len = chunks.row(0).len();
        sources.clear();
        targets.clear();
        for (index, row) in chunks.iter_mut().enumerate() {
            if index < *k { sources.push(row.as_ptr()) } else { targets.push(row.as_mut_ptr()) }
        }
        // SAFETY: all of them point to whole rows of `chunks`, which is borrowed and distinct from the tables.
        unsafe { combine(len, encode_tables, sources, targets) };
        true
    }

    fn reconstruct(&mut self, arrived: &[usize], check: bool) -> Option<Duration> {
        let Self { k, m, chunks, restored, matrix, system, inverse, picked, tables, sources, targets, missing, .. } =
            self;
        let k = *k;
        let mut present = vec![false; k + *m];
        assert_eq!(arrived.len(), k);
        arrived.iter().for_each(|index| present[*index] = true);
        let len = chunks.row(0).len();
        let clock = Clock::start();
        for (row, index) in system.chunks_exact_mut(k).zip(arrived) {
            row.copy_from_slice(&matrix[index * k..][..k]);
        }
        // SAFETY: both buffers hold k rows of k bytes.
        if unsafe { gf_invert_matrix(system.as_mut_ptr(), inverse.as_mut_ptr(), int(k)) } != 0 {
            return None;
        }
        sources.clear();
        sources.extend(arrived.iter().map(|index| chunks.row(*index).as_ptr()));
        missing.clear();
        missing.extend((0..k).filter(|j| !present[*j]));
        picked.clear();
        missing.iter().for_each(|j| picked.extend_from_slice(&inverse[j * k..][..k]));
        targets.clear();
        targets.extend(restored.iter_mut().take(missing.len()).map(<[u8]>::as_mut_ptr));
        expand(picked, k, tables);
        // SAFETY: sources point to whole rows of `chunks`, targets to those of `restored`, both borrowed, all of one length.
        unsafe { combine(len, tables, sources, targets) };
        let elapsed = clock.stop();
        let right = !check || missing.iter().enumerate().all(|(i, j)| restored.row(i) == chunks.row(*j));
        right.then_some(elapsed)
    }
}
