//! Batched recovery over k256's group arithmetic.
//!
//! Key = (s R - z G) / r, R the point with x = `r` and the given parity, z the digest modulo the group order (SEC 1,
//! section 4.1.6). Three things are cheaper than k256's own call, one at a time: the inverses of all `r` and the affine
//! forms of all keys cost one inversion each for a block of signatures (Montgomery's trick), and `z G` is 32 mixed
//! additions from a table of the generator, where k256 has 64 full ones or a share in 128 doublings.
//! Nothing here is secret, so everything runs in variable time.

use std::sync::LazyLock;

use k256::elliptic_curve::ff::{BatchInverter, PrimeField};
use k256::elliptic_curve::ops::{MulVartime, Reduce};
use k256::elliptic_curve::point::{AffineCoordinates, DecompressPoint};
use k256::elliptic_curve::scalar::IsHigh;
use k256::elliptic_curve::{BatchNormalize, group::CurveAffine};
use k256::{AffinePoint, FieldBytes, ProjectivePoint, Scalar};

use super::{Address, Recover, Refusal, SignedDigest, address_of};
use crate::backend::{Backend, Control, Description, Error, Options, Prepared, Session, Unavailable};
use crate::pool::Pool;

/// Signatures that share their inversions: enough to make those cheap, few enough to notice a cancellation.
const BLOCK: usize = 256;

/// The opened backend: its threads.
pub struct Cpu {
    pool: Pool,
}

impl Cpu {
    /// # Errors
    ///
    /// [`Unavailable::Options`] for no threads or more than 1024, for a forced instruction set or device, or when the
    /// system gives no threads.
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        // Paid here, so that no call pays for it.
        LazyLock::force(&GENERATOR);
        Ok(Self { pool: Pool::open(options)? })
    }
}

impl Backend<Recover> for Cpu {
    fn description(&self) -> Description {
        self.pool.describe("k256 0.14, 8-bit table of the generator")
    }

    fn prepare(&self, (): &()) -> Result<Box<dyn Prepared<Recover>>, Error> {
        Ok(Box::new(Ready(self.pool.clone())))
    }
}

struct Ready(Pool);

impl Prepared<Recover> for Ready {
    fn load<'a>(&'a self, input: &'a Vec<SignedDigest>) -> Result<Box<dyn Session<Recover> + 'a>, Error> {
        Ok(Box::new(Batch { pool: &self.0, input, output: None }))
    }
}

struct Batch<'a> {
    pool: &'a Pool,
    input: &'a [SignedDigest],
    output: Option<Vec<Result<Address, Refusal>>>,
}

impl Session<Recover> for Batch<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let block = self.input.len().div_ceil(self.pool.threads()).clamp(1, BLOCK);
        let blocks: Vec<&[SignedDigest]> = self.input.chunks(block).collect();
        let blocks = self.pool.try_map(blocks.len(), |i| {
            control.check()?;
            Ok::<_, Error>(recover_block(blocks[i]))
        })?;
        self.output = Some(blocks.concat());
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Result<Address, Refusal>>, Error> {
        self.output.take().ok_or_else(|| Error::InvalidInput("nothing was executed".into()))
    }
}

/// The multiples `d 256^i G` at `256 i + d`, for each value `d` of each byte `i` of a scalar: 8192 points, 704 KiB.
struct Multiples(Vec<AffinePoint>);

static GENERATOR: LazyLock<Multiples> = LazyLock::new(|| {
    let mut multiples = Vec::with_capacity(32 * 256);
    let mut unit = ProjectivePoint::GENERATOR;
    for _byte in 0..32 {
        let mut multiple = ProjectivePoint::IDENTITY;
        for _value in 0..256 {
            multiples.push(multiple);
            multiple += unit;
        }
        unit = multiple;
    }
    Multiples(affine(&multiples))
});

impl Multiples {
    /// `scalar G + start`.
    fn multiply_add(&self, scalar: &Scalar, start: ProjectivePoint) -> ProjectivePoint {
        // The bytes of a scalar come with the most significant one first.
        self.0.chunks_exact(256).zip(scalar.to_bytes().iter().rev()).fold(start, |sum, (multiples, byte)| match byte {
            0 => sum,
            _ => sum + multiples[usize::from(*byte)],
        })
    }
}

/// Affine forms for the price of one inversion.
fn affine(points: &[ProjectivePoint]) -> Vec<AffinePoint> {
    <ProjectivePoint as BatchNormalize<[ProjectivePoint]>>::batch_normalize_vartime(points)
}

/// The sender of one signature; for more than one, the batch is cheaper.
///
/// # Errors
///
/// The [`Refusal`].
pub fn recover(item: &SignedDigest) -> Result<Address, Refusal> {
    recover_block(std::slice::from_ref(item)).pop().unwrap_or(Err(Refusal::Infinity))
}

/// A signature whose numbers are in range.
struct Parsed {
    z: Scalar,
    s: Scalar,
    nonce: AffinePoint,
}

fn parse(item: &SignedDigest) -> Result<(Scalar, Parsed), Refusal> {
    let in_range = |bytes: &[u8; 32]| {
        Option::<Scalar>::from(Scalar::from_repr((*bytes).into())).filter(|scalar| !bool::from(scalar.is_zero()))
    };
    if item.y_parity > 1 {
        return Err(Refusal::Parity);
    }
    let r = in_range(&item.r).ok_or(Refusal::R)?;
    let s = in_range(&item.s).ok_or(Refusal::S)?;
    if bool::from(s.is_high()) {
        return Err(Refusal::HighS);
    }
    let x = FieldBytes::from(item.r);
    let nonce = Option::from(AffinePoint::decompress(&x, item.y_parity.into())).ok_or(Refusal::NotOnCurve)?;
    let z = Scalar::reduce(&FieldBytes::from(item.digest));
    Ok((r, Parsed { z, s, nonce }))
}

fn recover_block(items: &[SignedDigest]) -> Vec<Result<Address, Refusal>> {
    // A refused item takes no part in the shared inversions; what is left is in the order of the items.
    let mut inverses = Vec::with_capacity(items.len());
    let parsed: Vec<Result<Parsed, Refusal>> = items
        .iter()
        .map(|item| {
            let (r, parsed) = parse(item)?;
            inverses.push(r);
            Ok(parsed)
        })
        .collect();
    let mut scratch = vec![Scalar::ZERO; inverses.len()];
    BatchInverter::invert_with_external_scratch(&mut inverses, &mut scratch);
    let keys: Vec<ProjectivePoint> = parsed
        .iter()
        .flatten()
        .zip(&inverses)
        .map(|(Parsed { z, s, nonce }, r_inverse)| {
            let from_nonce = ProjectivePoint::from(*nonce).mul_vartime(&(s * r_inverse));
            GENERATOR.multiply_add(&-(z * r_inverse), from_nonce)
        })
        .collect();
    let mut keys = affine(&keys).into_iter();
    parsed
        .into_iter()
        .map(|parsed| {
            parsed?;
            match keys.next() {
                Some(key) if !bool::from(key.is_identity()) => Ok(address_of(&key.x(), &key.y())),
                _ => Err(Refusal::Infinity),
            }
        })
        .collect()
}
