//! Signatures from bytes to points that are known to be in G2, in lanes where those pay.

use super::convert::{affine_g2, stored_g2};
use super::crossover::Crossover;
use super::curve::Stored;
use super::field::{Field, Fp2};
use super::msm::{Digits, ROWS, Row, row_sums};
use super::{decode, subgroup};
use crate::bls::points::{self, is_infinite_g2};
use crate::bls::{Refusal, SIGNATURE_BYTES};
use crate::pool::Pool;

/// Decodes points on the twist; the subgroup is not checked. None is infinity.
pub(super) fn decode_g2<F: Field>(
    pool: &Pool,
    crossover: &Crossover,
    encoded: &[&[u8; SIGNATURE_BYTES]],
) -> Vec<Result<Option<Stored<Fp2<F>>>, Refusal>> {
    let ranges = pool.ranges(encoded.len(), F::LANES);
    let part = |i: usize| {
        let encoded: &[&[u8; SIGNATURE_BYTES]] = &encoded[ranges[i].clone()];
        if encoded.len() >= crossover.decoded { decode::decode_g2(encoded) } else { decode_scalar(encoded) }
    };
    pool.map(ranges.len(), part).into_iter().flatten().collect()
}

fn decode_scalar<F: Field>(encoded: &[&[u8; SIGNATURE_BYTES]]) -> Vec<Result<Option<Stored<Fp2<F>>>, Refusal>> {
    let decoded: Vec<_> = encoded.iter().map(|bytes| points::decode_g2(bytes)).collect();
    let finite: Vec<_> = decoded.iter().filter_map(|point| point.ok().filter(|point| !is_infinite_g2(point))).collect();
    let mut stored = stored_g2(&finite).into_iter();
    decoded
        .into_iter()
        .map(|point| point.map(|point| if is_infinite_g2(&point) { None } else { stored.next() }))
        .collect()
}

/// Whether each point of the twist is in G2, each decided by itself.
pub(super) fn in_g2<F: Field>(crossover: &Crossover, points: &[Stored<Fp2<F>>]) -> Vec<bool> {
    if points.len() >= crossover.checks {
        return subgroup::in_g2(points);
    }
    affine_g2(points).iter().map(points::in_g2).collect()
}

/// The row sums of the points' weights, if there are enough points for them to be worth it and if they show that all points
/// are in G2, which is wrong with a chance of at most `13^-18` (see `msm`). Without them each point must be decided by itself.
pub(super) fn rows_in_g2<F: Field>(
    crossover: &Crossover,
    points: &[Stored<Fp2<F>>],
    digits: &[Digits],
) -> Option<[Row<Fp2<F>>; ROWS]> {
    if points.len() < crossover.rows {
        return None;
    }
    let rows = row_sums(points, digits);
    let finite: Vec<_> = rows.iter().flatten().copied().collect();
    in_g2(crossover, &finite).into_iter().all(|inside| inside).then_some(rows)
}
