//! Between blst's affine points and points at rest.

use super::curve::{Affine, Stored};
use super::field::{Field, Fp2, Ring};
use crate::bls::points::{G1, G2};

/// Points of G1 at rest. None of them is infinite.
pub(super) fn stored_g1<F: Field>(points: &[G1]) -> Vec<Stored<F>> {
    stored(points.len(), |i| (points[i].x, points[i].y))
}

/// Points of G2 at rest. None of them is infinite.
pub(super) fn stored_g2<F: Field>(points: &[G2]) -> Vec<Stored<Fp2<F>>> {
    stored(points.len(), |i| (points[i].x, points[i].y))
}

/// Points of G1 in blst's form.
pub(super) fn affine_g1<F: Field>(points: &[Stored<F>]) -> Vec<G1> {
    affine(points).into_iter().map(|(x, y)| G1 { x, y }).collect()
}

/// Points of G2 in blst's form.
pub(super) fn affine_g2<F: Field>(points: &[Stored<Fp2<F>>]) -> Vec<G2> {
    affine(points).into_iter().map(|(x, y)| G2 { x, y }).collect()
}

/// Affine coordinates at rest.
pub(super) fn stored<R: Ring>(n: usize, point: impl Fn(usize) -> (R::Scalar, R::Scalar)) -> Vec<Stored<R>> {
    let mut out = vec![Stored::default(); n];
    for (i, chunk) in out.chunks_mut(R::LANES).enumerate() {
        // Lanes past the end repeat the last point.
        let at = |lane: usize| point((i * R::LANES + lane).min(n - 1));
        let lanes = Affine { x: R::load(|lane| at(lane).0), y: R::load(|lane| at(lane).1) };
        lanes.pack(chunk);
    }
    out
}

/// Affine coordinates in blst's form.
pub(super) fn affine<R: Ring>(points: &[Stored<R>]) -> Vec<(R::Scalar, R::Scalar)> {
    let mut out = Vec::with_capacity(points.len());
    for chunk in points.chunks(R::LANES) {
        let lanes = Affine::<R>::unpack(|lane| &chunk[lane.min(chunk.len() - 1)]);
        let (mut x, mut y) = ([R::Scalar::default(); 8], [R::Scalar::default(); 8]);
        lanes.x.store(&mut x);
        lanes.y.store(&mut y);
        out.extend(x.into_iter().zip(y).take(chunk.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::field::Fp49;
    use super::*;
    use crate::bls::points::{
        affine_g1 as to_affine, affine_g2 as to_affine2, hash_to_g2, jacobian_g1, negated_generator,
    };

    #[test]
    fn points_come_back_as_they_were_at_every_length() {
        let g1 = to_affine(&[jacobian_g1(&negated_generator())])[0];
        let g2 = to_affine2(&(0..9u8).map(|i| hash_to_g2(&[i])).collect::<Vec<_>>());
        for n in 0..=9 {
            assert_eq!(affine_g1(&stored_g1::<Fp49>(&vec![g1; n])), vec![g1; n]);
            assert_eq!(affine_g2(&stored_g2::<Fp49>(&g2[..n])), g2[..n]);
        }
    }
}
