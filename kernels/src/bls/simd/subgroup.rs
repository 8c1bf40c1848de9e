//! Membership in G2, in lanes: Scott, ePrint 2021/1130, section 4, whose criterion for BLS12-381 holds for every point of
//! the twist: a point is in G2 exactly if its image under psi is the parameter's multiple.

use super::curve::{Affine, Jacobian, Stored};
use super::field::{Field, Fp2, Mask, Ring};

/// Whether each point of the twist is in G2.
pub(super) fn in_g2<F: Field>(points: &[Stored<Fp2<F>>]) -> Vec<bool> {
    let mut verdicts = Vec::with_capacity(points.len());
    for points in points.chunks(F::LANES) {
        let members = members(&Affine::unpack_some(points));
        verdicts.extend((0..points.len()).map(|lane| members >> lane & 1 == 1));
    }
    verdicts
}

/// The lanes whose point is in G2: `psi(P) + X P = 0`.
///
/// The chain may meet equal, opposite and infinite points for a `P` of small order, and then ends with a zero `z`. A point
/// of G2 never does: its order is a prime above `2^254`, and no two prefixes of `X` are equal or opposite modulo that. So
/// a zero `z` is a point outside.
fn members<F: Field>(point: &Affine<Fp2<F>>) -> Mask {
    let multiple = Jacobian::from(point).multiply_by_x(|multiple| multiple.add_affine(point));
    let psi = point.psi();
    let zz = multiple.z.sqr();
    let same_x = psi.x.mul(&zz).sub_wide(&multiple.x).is_zero();
    let opposite_y = psi.y.mul(&zz.mul(&multiple.z)).add(&multiple.y).is_zero();
    same_x & opposite_y & !multiple.z.is_zero()
}

#[cfg(test)]
mod tests {
    use super::super::convert::stored_g2;
    use super::super::field::{Emulated, Fp49, Fp52};
    use super::super::samples::{Numbers, points_of_small_order};
    use super::*;
    use crate::bls::points::{self, G2};

    fn agrees_with_blst(points: &[G2]) -> Vec<bool> {
        let verdicts = in_g2(&stored_g2::<Fp49>(points));
        assert_eq!(verdicts, points.iter().map(points::in_g2).collect::<Vec<_>>());
        assert_eq!(in_g2(&stored_g2::<Fp52<Emulated>>(points)), verdicts);
        verdicts
    }

    fn sum(a: &G2, b: &G2) -> G2 {
        points::affine_g2(&[points::add_g2(&points::jacobian_g2(a), &points::jacobian_g2(b))])[0]
    }

    #[test]
    fn random_points_are_told_apart() {
        let mut numbers = Numbers(1);
        assert!(agrees_with_blst(&[]).is_empty());
        let mut mixed = Vec::new();
        for _ in 0..6 {
            mixed.push(numbers.point_of_g2());
            mixed.push(numbers.point_of_twist());
        }
        for len in 1..10 {
            let verdicts = agrees_with_blst(&mixed[..len]);
            assert_eq!(verdicts, (0..len).map(|i| i % 2 == 0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn points_of_small_order_are_outside() {
        let small = points_of_small_order();
        assert!([13, 23, 2713, 11953, 262_069].iter().all(|order| small.iter().any(|(known, _)| known == order)));
        let points: Vec<G2> = small.iter().map(|(_, point)| *point).collect();
        assert!(agrees_with_blst(&points).iter().all(|verdict| !verdict));
    }

    #[test]
    fn members_with_a_part_of_small_order_are_outside() {
        let member = Numbers(2).point_of_g2();
        let mut points: Vec<G2> = points_of_small_order().iter().map(|(_, small)| sum(&member, small)).collect();
        points.insert(3, member);
        let verdicts = agrees_with_blst(&points);
        assert_eq!(verdicts.iter().filter(|verdict| **verdict).count(), 1);
    }
}
