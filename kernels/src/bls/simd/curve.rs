//! Points of `y^2 = x^3 + b` in lanes, over the base field (G1) or its quadratic extension (G2).

use super::field::{Mask, Ring};

/// One affine point a lane. Infinity has no such form: who may meet it keeps a [`Mask`] beside.
#[derive(Clone, Copy)]
pub(super) struct Affine<R> {
    pub(super) x: R,
    pub(super) y: R,
}

/// One affine point as it rests in memory, to be gathered into lanes.
pub(super) struct Stored<R: Ring> {
    pub(super) x: R::Packed,
    pub(super) y: R::Packed,
}

impl<R: Ring> Clone for Stored<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Ring> Copy for Stored<R> {}

impl<R: Ring> Default for Stored<R> {
    fn default() -> Self {
        Self { x: R::Packed::default(), y: R::Packed::default() }
    }
}

impl<R: Ring> Affine<R> {
    /// Points at rest, by lane; coordinates come out below `3p`.
    pub(super) fn unpack<'a>(mut lane: impl FnMut(usize) -> &'a Stored<R>) -> Self {
        Self { x: R::unpack(|i| &lane(i).x), y: R::unpack(|i| &lane(i).y) }
    }

    /// The points at rest, into the first [`Ring::LANES`] places. Takes coordinates below `128p`.
    pub(super) fn pack(&self, lanes: &mut [Stored<R>]) {
        let mut parts = [R::Packed::default(); 8];
        self.x.pack(&mut parts);
        for (lane, part) in lanes.iter_mut().zip(&parts[..R::LANES]) {
            lane.x = *part;
        }
        self.y.pack(&mut parts);
        for (lane, part) in lanes.iter_mut().zip(&parts[..R::LANES]) {
            lane.y = *part;
        }
    }

    /// Canonical coordinates in blst's form, into the first [`Ring::LANES`] places. Takes coordinates below `128p`.
    pub(super) fn store(&self, lanes: &mut [(R::Scalar, R::Scalar)]) {
        let (mut x, mut y) = ([R::Scalar::default(); 8], [R::Scalar::default(); 8]);
        self.x.store(&mut x);
        self.y.store(&mut y);
        for (lane, point) in lanes.iter_mut().zip(x.into_iter().zip(y)).take(R::LANES) {
            *lane = point;
        }
    }

    /// Lane by lane: `yes` where the mask is set, else `no`.
    pub(super) fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        Self { x: R::select(mask, &yes.x, &no.x), y: R::select(mask, &yes.y, &no.y) }
    }
}
