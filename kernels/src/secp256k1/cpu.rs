//! Batched recovery over k256's group arithmetic.
//!
//! Key = (s R - z G) / r, R the point with x = `r` and the given parity, z the digest modulo the group order (SEC 1,
//! section 4.1.6). Two things are cheaper than recovering one by one: the inverses of all `r` and the affine forms of
//! all keys cost one inversion each for the whole batch (Montgomery's trick), and `z G` comes from k256's precomputed table.
//! Nothing here is secret, so everything runs in variable time.

use k256::elliptic_curve::ff::{BatchInverter, PrimeField};
use k256::elliptic_curve::ops::{MulVartime, Reduce};
use k256::elliptic_curve::point::{AffineCoordinates, DecompressPoint};
use k256::elliptic_curve::scalar::IsHigh;
use k256::elliptic_curve::{BatchNormalize, group::CurveAffine};
use k256::{AffinePoint, FieldBytes, ProjectivePoint, Scalar};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::{Address, Recover, Refusal, SignedDigest, address_of};
use crate::backend::{Backend, BackendId, Control, Description, Error, Options, Prepared, Session, Unavailable};

/// Most threads that one call may ask for.
const MAX_THREADS: usize = 1024;
/// Signatures that share their inversions: enough to make those cheap, few enough to notice a cancellation.
const BLOCK: usize = 256;

/// The opened backend: its threads.
pub struct Cpu {
    threads: usize,
    /// None for one thread: the caller's own.
    pool: Option<ThreadPool>,
}

impl Cpu {
    /// # Errors
    ///
    /// [`Unavailable::Options`] for no threads or more than 1024, for a forced instruction set or device, or when the
    /// system gives no threads.
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        let threads = options.threads;
        if options.isa.is_some() || options.device.is_some() {
            return Err(Unavailable::Options("cpu has no instruction set or device to force".into()));
        }
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Unavailable::Options(format!("{threads} threads: 1 to {MAX_THREADS} are possible")));
        }
        let pool = match threads {
            1 => None,
            _ => {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                Some(pool.map_err(|e| Unavailable::Options(format!("{threads} threads: {e}")))?)
            }
        };
        Ok(Self { threads, pool })
    }
}

impl Backend<Recover> for Cpu {
    fn description(&self) -> Description {
        Description {
            backend: BackendId::Cpu,
            path: "scalar".into(),
            device: std::env::consts::ARCH.into(),
            build: "k256 0.14, precomputed tables".into(),
            threads: self.threads,
            software_adapter: false,
        }
    }

    fn prepare<'a>(&'a self, (): &'a ()) -> Result<Box<dyn Prepared<Recover> + 'a>, Error> {
        Ok(Box::new(Ready(self)))
    }
}

struct Ready<'a>(&'a Cpu);

impl Prepared<Recover> for Ready<'_> {
    fn load<'a>(&'a self, input: &'a Vec<SignedDigest>) -> Result<Box<dyn Session<Recover> + 'a>, Error> {
        Ok(Box::new(Batch { cpu: self.0, input, output: None }))
    }
}

struct Batch<'a> {
    cpu: &'a Cpu,
    input: &'a [SignedDigest],
    output: Option<Vec<Result<Address, Refusal>>>,
}

impl Session<Recover> for Batch<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let block = self.input.len().div_ceil(self.cpu.threads).clamp(1, BLOCK);
        let run = |items: &[SignedDigest]| {
            control.check()?;
            Ok(recover_block(items))
        };
        let blocks: Vec<_> = match &self.cpu.pool {
            Some(pool) => pool.install(|| self.input.par_chunks(block).map(run).collect::<Result<_, Error>>())?,
            None => self.input.chunks(block).map(run).collect::<Result<_, Error>>()?,
        };
        self.output = Some(blocks.concat());
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Result<Address, Refusal>>, Error> {
        self.output.take().ok_or_else(|| Error::InvalidInput("nothing was executed".into()))
    }
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
            let from_digest = ProjectivePoint::mul_by_generator_vartime(&-(z * r_inverse));
            from_digest + ProjectivePoint::from(*nonce).mul_vartime(&(s * r_inverse))
        })
        .collect();
    let affine = <ProjectivePoint as BatchNormalize<[ProjectivePoint]>>::batch_normalize_vartime(&keys);
    let mut affine = affine.into_iter();
    parsed
        .into_iter()
        .map(|parsed| {
            parsed?;
            match affine.next() {
                Some(key) if !bool::from(key.is_identity()) => Ok(address_of(&key.x(), &key.y())),
                _ => Err(Refusal::Infinity),
            }
        })
        .collect()
}
