//! Rows of the `simd` backend's layers, from a field product to a Miller loop, against blst's functions of the same kind.
//!
//! Both sides work on operands in their own form, in cache, and drop the results: the kernels' own rows check them. An item
//! is one lane's.

use std::hint::black_box;

use blst::{
    MultiPoint, blst_fp, blst_fp2, blst_fp12, blst_p1, blst_p1_affine, blst_p2, blst_p2_affine, p1_affines, p2_affines,
};
use shardmark_kernels::backend::{BackendId, Kernel, Options};
use shardmark_kernels::bls::layers::{Operation, batch, field};
use shardmark_kernels::bls::{SCHEME, VerifyBatch};

use crate::duel::{Case, Table};

/// Items at once: fewest that fill lanes well, and many.
const BATCHES: [usize; 4] = [16, 128, 1000, 4096];
/// Pairs whose Miller loops blst runs at once: as its own batch interface does at most.
const MOST_PAIRS: usize = 16;

/// All rows; none for a backend without lanes.
///
/// # Errors
///
/// The output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    if table.backend != BackendId::Simd {
        return Ok(());
    }
    let ours = VerifyBatch::open(table.backend, &Options::default()).map_err(|e| e.to_string())?.description();
    let mut row = |operation: &mut Operation, peer: &mut Peer| {
        let name = format!("blst {} {}", env!("VERSUS_BLST"), peer.name);
        let (kernel, items) = ("bls/layers", operation.elements);
        let case = Case { kernel, name: &operation.name, items, ours: &ours, path: Some("lanes") };
        let mut call = || {
            (operation.call)();
            true
        };
        let timed = "operands resident in each side's own form, results dropped";
        table.duel(&case, &name, timed, &mut call, &mut || {
            (peer.call)(items as usize);
            true
        })
    };
    for mut operation in field() {
        if let Some(mut peer) = field_peer(&operation.name) {
            row(&mut operation, &mut peer)?;
        }
    }
    for n in BATCHES {
        let points = Points::new(n);
        for mut operation in batch(n) {
            if let Some(mut peer) = points.peer(&operation.name) {
                row(&mut operation, &mut peer)?;
            }
        }
    }
    Ok(())
}

/// A function of blst that handles as many items as it is told.
struct Peer<'a> {
    name: &'static str,
    call: Box<dyn FnMut(usize) + 'a>,
}

fn peer<'a>(name: &'static str, call: impl FnMut(usize) + 'a) -> Option<Peer<'a>> {
    Some(Peer { name, call: Box::new(call) })
}

/// One item after another: what blst offers for most operations.
fn each<'a>(name: &'static str, mut one: impl FnMut(usize) + 'a) -> Option<Peer<'a>> {
    peer(name, move |n| (0..n).for_each(&mut one))
}

fn field_peer(operation: &str) -> Option<Peer<'static>> {
    let (a, b) = (blst_fp { l: [0x1234_5678_9abc_def1; 6] }, blst_fp { l: [0x0fed_cba9_8765_4321; 6] });
    let (a2, b2) = (blst_fp2 { fp: [a, b] }, blst_fp2 { fp: [b, a] });
    let (mut out, mut out2) = (a, a2);
    let (layer, verb) = (operation.split(' ').next()?, operation.split_once(' ')?.1.split_once(' ')?.1);
    match (layer, verb) {
        ("fp", "mul") => each("blst_fp_mul", move |_| {
            // SAFETY: the function reads two elements and writes one.
            unsafe { blst::blst_fp_mul(black_box(&mut out), black_box(&a), &b) }
        }),
        ("fp", "sqr") => each("blst_fp_sqr", move |_| {
            // SAFETY: the function reads an element and writes one.
            unsafe { blst::blst_fp_sqr(black_box(&mut out), black_box(&a)) }
        }),
        ("fp2", "mul") => each("blst_fp2_mul", move |_| {
            // SAFETY: the function reads two elements and writes one.
            unsafe { blst::blst_fp2_mul(black_box(&mut out2), black_box(&a2), &b2) }
        }),
        ("fp2", "sqr") => each("blst_fp2_sqr", move |_| {
            // SAFETY: the function reads an element and writes one.
            unsafe { blst::blst_fp2_sqr(black_box(&mut out2), black_box(&a2)) }
        }),
        _ => None,
    }
}

/// Points of both groups.
struct Points {
    keys: Vec<blst_p1_affine>,
    signatures: Vec<blst_p2_affine>,
    encoded: Vec<[u8; 96]>,
}

impl Points {
    fn new(n: usize) -> Self {
        let signatures: Vec<blst_p2> = (0..n).map(hash).collect();
        // SAFETY: the static is a constant of the library.
        let generator = [unsafe { blst::BLS12_381_G1 }];
        let keys: Vec<blst_p1> = (0..n as u64).map(|i| generator.mult(&(i * i + 7).to_le_bytes(), 64)).collect();
        let signatures = p2_affines::from(&signatures[..]).as_slice().to_vec();
        let encode = |point: &blst_p2_affine| {
            let mut bytes = [0; 96];
            // SAFETY: the function reads one point and writes 96 bytes.
            unsafe { blst::blst_p2_affine_compress(bytes.as_mut_ptr(), point) };
            bytes
        };
        Self {
            keys: p1_affines::from(&keys[..]).as_slice().to_vec(),
            encoded: signatures.iter().map(encode).collect(),
            signatures,
        }
    }

    fn peer(&self, operation: &str) -> Option<Peer<'_>> {
        let weights: Vec<u8> = (0..self.keys.len() as u64)
            .flat_map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_le_bytes())
            .collect();
        match operation.split(" isa=").next()? {
            "sum in G1" => peer("blst_p1s_add", |_| _ = black_box(self.keys.add())),
            "sum in G2" => peer("blst_p2s_add", |_| _ = black_box(self.signatures.add())),
            "row sums in G1" => peer("blst_p1s_mult_pippenger, 64 bits: the sum itself", move |_| {
                black_box(self.keys.mult(&weights, 64));
            }),
            "row sums in G2" => peer("blst_p2s_mult_pippenger, 64 bits: the sum itself", move |_| {
                black_box(self.signatures.mult(&weights, 64));
            }),
            "product in G1" => each("blst_p1_mult, 64 bits", move |i| {
                let (mut point, mut out) = (blst_p1::default(), blst_p1::default());
                // SAFETY: the functions read a point and eight bytes, and write a point.
                unsafe {
                    blst::blst_p1_from_affine(&mut point, &self.keys[i]);
                    blst::blst_p1_mult(black_box(&mut out), &point, weights[8 * i..].as_ptr(), 64);
                }
            }),
            "subgroup check in G2" => each("blst_p2_affine_in_g2", |i| {
                // SAFETY: the function reads a point.
                black_box(unsafe { blst::blst_p2_affine_in_g2(&self.signatures[i]) });
            }),
            "decode in G2" => each("blst_p2_uncompress", |i| {
                let mut out = blst_p2_affine::default();
                // SAFETY: the function reads 96 bytes and writes a point.
                black_box(unsafe { blst::blst_p2_uncompress(&mut out, self.encoded[i].as_ptr()) });
            }),
            "hash to G2" => each("blst_hash_to_g2", |i| _ = black_box(hash(i))),
            "Miller loop" => peer("blst_miller_loop_n over 16 pairs at a time", |_| {
                for (keys, signatures) in self.keys.chunks(MOST_PAIRS).zip(self.signatures.chunks(MOST_PAIRS)) {
                    black_box(blst_fp12::miller_loop_n(signatures, keys));
                }
            }),
            _ => None,
        }
    }
}

fn hash(i: usize) -> blst_p2 {
    let (message, mut out) = ((i as u64).to_le_bytes(), blst_p2::default());
    let (dst, none) = (SCHEME.as_bytes(), std::ptr::null());
    // SAFETY: the slices outlive the call and come with their lengths; the augmentation is empty.
    unsafe { blst::blst_hash_to_g2(&mut out, message.as_ptr(), 8, dst.as_ptr(), dst.len(), none, 0) };
    out
}
