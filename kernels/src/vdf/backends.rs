//! Backends `cpu` and `simd`: one instance or proof per thread, and independent chains modulo an RSA number on lanes.
//!
//! The two differ by their [`Engine`] alone. A chain of squarings in a class group is the same scalar code on both.

use std::collections::HashMap;

use super::modular::{Chains, Engine};
use super::rsa_square::Modulus;
use super::wesolowski::{self, Progress, Squared};
use super::{
    Discriminant, DiscriminantSetup, DiscriminantValue, Evaluate, EvaluateInput, EvaluateSetup, Prove, ProveInput,
    ProveSetup, Refusal, RsaSquare, RsaSquareInput, RsaSquareSetup, Scheme, Verify, VerifyItem, VerifySetup, invalid,
};
use crate::backend::{Backend, BackendId, Control, Description, Error, Options, Prepared, Session, Unavailable};
use crate::pool::Pool;

/// The threads that one call may use, and the arithmetic modulo many numbers.
#[derive(Clone)]
pub(super) struct Host {
    backend: BackendId,
    pool: Pool,
    engine: Engine,
}

impl Host {
    /// # Errors
    ///
    /// As [`Pool::open`]; [`Unavailable::MissingIsa`] for `simd` without its instructions.
    pub fn open(backend: BackendId, options: &Options) -> Result<Self, Unavailable> {
        let (pool, engine) = match backend {
            BackendId::Cpu => (Pool::open(options)?, Engine::SCALAR),
            BackendId::Simd => {
                if let Some(device) = options.device {
                    return Err(Unavailable::Options(format!("the simd backend has no device {device}")));
                }
                (Pool::new(options.threads)?, Engine::lanes_of(options.isa)?)
            }
            BackendId::Cuda | BackendId::Wgpu => return Err(Unavailable::NotImplemented),
        };
        Ok(Self { backend, pool, engine })
    }

    /// `lanes`: what of the work runs on them, if there are any.
    fn describe(&self, lanes: Option<&str>) -> Description {
        let path = match (self.engine.isa(), lanes) {
            (Some(isa), Some("")) => format!("lanes ({isa})"),
            (Some(isa), Some(work)) => format!("lanes ({isa}) for {work}, else scalar"),
            _ => "scalar".to_owned(),
        };
        let scalar = self.pool.describe("NUDUPL in fixed limbs; Montgomery by MULX and ADX where the CPU has them");
        Description { backend: self.backend, path, ..scalar }
    }

    /// `compute` for every item, in order; an error of any is the error of all.
    fn map<T, U, F>(&self, items: &[T], compute: F) -> Result<Vec<U>, Error>
    where
        T: Sync,
        U: Send,
        F: Fn(&T) -> Result<U, Error> + Send + Sync,
    {
        self.pool.try_map(items.len(), |i| compute(&items[i]))
    }
}

/// Squarings between two looks at [`Control`]: a millisecond or two.
const STRIDE: u64 = 1024;

fn executed<T: Clone>(output: &Option<T>) -> Result<T, Error> {
    output.clone().ok_or_else(|| invalid("nothing was executed"))
}

impl Backend<Evaluate> for Host {
    fn description(&self) -> Description {
        self.describe(None)
    }

    fn prepare(&self, setup: &EvaluateSetup) -> Result<Box<dyn Prepared<Evaluate>>, Error> {
        setup.scheme.check_bits(setup.discriminant_bits).map_err(invalid)?;
        Ok(Box::new(PreparedEvaluate { host: self.clone(), setup: setup.clone() }))
    }
}

struct PreparedEvaluate {
    host: Host,
    setup: EvaluateSetup,
}

impl Prepared<Evaluate> for PreparedEvaluate {
    fn load<'a>(&'a self, input: &'a EvaluateInput) -> Result<Box<dyn Session<Evaluate> + 'a>, Error> {
        let EvaluateSetup { scheme, discriminant_bits: bits } = self.setup;
        let discriminants = self
            .host
            .map(&input.seeds, |seed| scheme.discriminant_on(self.host.engine, bits, seed).map_err(invalid))?;
        Ok(Box::new(EvaluateSession { prepared: self, iterations: input.iterations, discriminants, output: None }))
    }
}

struct EvaluateSession<'a> {
    prepared: &'a PreparedEvaluate,
    iterations: u64,
    discriminants: Vec<DiscriminantValue>,
    output: Option<Vec<Vec<u8>>>,
}

impl Session<Evaluate> for EvaluateSession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        // Threads that no other instance takes do the proof's work together.
        let threads = (self.prepared.host.pool.threads() / self.discriminants.len().max(1)).max(1);
        let steps = wesolowski::evaluation_steps(self.iterations, threads);
        let progress = Progress::new(control, steps.saturating_mul(self.discriminants.len() as u64));
        let (engine, scheme) = (self.prepared.host.engine, self.prepared.setup.scheme);
        let evaluate =
            |d: &DiscriminantValue| wesolowski::evaluate(engine, scheme, d, self.iterations, threads, &progress);
        self.output = Some(self.prepared.host.map(&self.discriminants, evaluate)?);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        executed(&self.output)
    }
}

impl Backend<Prove> for Host {
    fn description(&self) -> Description {
        self.describe(Some("the challenge"))
    }

    fn prepare(&self, setup: &ProveSetup) -> Result<Box<dyn Prepared<Prove>>, Error> {
        let ProveSetup { scheme, discriminant_bits: bits, ref seeds } = *setup;
        scheme.check_bits(bits).map_err(invalid)?;
        let discriminant = |seed: &[u8; 32]| {
            let value = scheme.discriminant_on(self.engine, bits, seed).map_err(invalid)?;
            Ok((*seed, value))
        };
        let discriminants = self.map(seeds, discriminant)?.into_iter().collect();
        Ok(Box::new(PreparedProve { host: self.clone(), scheme, discriminants }))
    }
}

struct PreparedProve {
    host: Host,
    scheme: Scheme,
    discriminants: HashMap<[u8; 32], DiscriminantValue>,
}

impl PreparedProve {
    fn square(&self, input: &ProveInput, progress: &Progress) -> Result<Squared<'_>, Error> {
        let discriminant = self.discriminants.get(&input.seed).ok_or_else(|| invalid(Refusal::UnknownSeed))?;
        wesolowski::square(self.scheme, discriminant, input.iterations, self.host.pool.threads(), progress)
    }

    fn prove(&self, squared: &Squared, progress: &Progress) -> Result<Vec<u8>, Error> {
        // In the pool, whose threads share the work.
        let proofs = self.host.pool.try_map(1, |_| squared.prove(self.host.engine, progress))?;
        Ok(proofs.concat())
    }
}

impl Prepared<Prove> for PreparedProve {
    fn load<'a>(&'a self, input: &'a ProveInput) -> Result<Box<dyn Session<Prove> + 'a>, Error> {
        let squared = self.square(input, &Progress::new(&Control::default(), input.iterations))?;
        Ok(Box::new(ProveSession { prepared: self, squared, output: None }))
    }

    /// The squarings too can be followed and cancelled.
    fn compute(&self, input: &ProveInput, control: &Control) -> Result<Vec<u8>, Error> {
        let steps = wesolowski::evaluation_steps(input.iterations, self.host.pool.threads());
        let progress = Progress::new(control, steps);
        self.prove(&self.square(input, &progress)?, &progress)
    }
}

struct ProveSession<'a> {
    prepared: &'a PreparedProve,
    squared: Squared<'a>,
    output: Option<Vec<u8>>,
}

impl Session<Prove> for ProveSession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let progress = Progress::new(control, self.squared.steps());
        self.output = Some(self.prepared.prove(&self.squared, &progress)?);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<u8>, Error> {
        executed(&self.output)
    }
}

impl Backend<Verify> for Host {
    fn description(&self) -> Description {
        self.describe(Some("primes"))
    }

    fn prepare(&self, setup: &VerifySetup) -> Result<Box<dyn Prepared<Verify>>, Error> {
        setup.scheme.check_bits(setup.discriminant_bits).map_err(invalid)?;
        let check = |(seed, magnitude): &([u8; 32], Vec<u8>)| {
            let value = DiscriminantValue::new(setup.discriminant_bits, magnitude).map_err(invalid)?;
            Ok((*seed, value))
        };
        let cached = match &setup.discriminants {
            Some(pairs) => Some(self.map(pairs, check)?.into_iter().collect()),
            None => None,
        };
        Ok(Box::new(PreparedVerify {
            host: self.clone(),
            scheme: setup.scheme,
            discriminant_bits: setup.discriminant_bits,
            cached,
        }))
    }
}

struct PreparedVerify {
    host: Host,
    scheme: Scheme,
    discriminant_bits: u32,
    cached: Option<HashMap<[u8; 32], DiscriminantValue>>,
}

impl PreparedVerify {
    fn verdict(&self, item: &VerifyItem) -> Result<(), Refusal> {
        let Self { scheme, discriminant_bits, .. } = *self;
        let engine = self.host.engine;
        match &self.cached {
            None => engine.verify(scheme, discriminant_bits, &item.seed, item.iterations, &item.proof),
            Some(cached) => {
                let discriminant = cached.get(&item.seed).ok_or(Refusal::UnknownSeed)?;
                wesolowski::verify(engine, scheme, discriminant, None, item.iterations, &item.proof)
            }
        }
    }
}

impl Prepared<Verify> for PreparedVerify {
    /// Decoding depends on the discriminant, which is part of the work when it is not cached: nothing happens here.
    fn load<'a>(&'a self, input: &'a Vec<VerifyItem>) -> Result<Box<dyn Session<Verify> + 'a>, Error> {
        Ok(Box::new(VerifySession { prepared: self, items: input, output: None }))
    }
}

struct VerifySession<'a> {
    prepared: &'a PreparedVerify,
    items: &'a [VerifyItem],
    output: Option<Vec<Result<(), Refusal>>>,
}

impl Session<Verify> for VerifySession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let verify = |item: &VerifyItem| control.check().map(|()| self.prepared.verdict(item));
        self.output = Some(self.prepared.host.map(self.items, verify)?);
        control.report(self.items.len() as u64, self.items.len() as u64);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Result<(), Refusal>>, Error> {
        executed(&self.output)
    }
}

impl Backend<Discriminant> for Host {
    fn description(&self) -> Description {
        self.describe(Some(""))
    }

    fn prepare(&self, setup: &DiscriminantSetup) -> Result<Box<dyn Prepared<Discriminant>>, Error> {
        setup.scheme.check_bits(setup.discriminant_bits).map_err(invalid)?;
        Ok(Box::new(PreparedSearch { host: self.clone(), setup: setup.clone() }))
    }
}

struct PreparedSearch {
    host: Host,
    setup: DiscriminantSetup,
}

impl Prepared<Discriminant> for PreparedSearch {
    fn load<'a>(&'a self, input: &'a Vec<[u8; 32]>) -> Result<Box<dyn Session<Discriminant> + 'a>, Error> {
        Ok(Box::new(SearchSession { prepared: self, seeds: input, output: None }))
    }
}

struct SearchSession<'a> {
    prepared: &'a PreparedSearch,
    seeds: &'a [[u8; 32]],
    output: Option<Vec<DiscriminantValue>>,
}

impl Session<Discriminant> for SearchSession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let DiscriminantSetup { scheme, discriminant_bits } = self.prepared.setup;
        let engine = self.prepared.host.engine;
        let search = |seed: &[u8; 32]| {
            control.check()?;
            scheme.discriminant_on(engine, discriminant_bits, seed).map_err(invalid)
        };
        self.output = Some(self.prepared.host.map(self.seeds, search)?);
        control.report(self.seeds.len() as u64, self.seeds.len() as u64);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(executed(&self.output)?.iter().map(DiscriminantValue::to_bytes).collect())
    }
}

impl Backend<RsaSquare> for Host {
    fn description(&self) -> Description {
        self.describe(Some(""))
    }

    fn prepare(&self, setup: &RsaSquareSetup) -> Result<Box<dyn Prepared<RsaSquare>>, Error> {
        let modulus = Modulus::new(&setup.modulus).map_err(invalid)?;
        Ok(Box::new(PreparedSquare { host: self.clone(), modulus }))
    }
}

struct PreparedSquare {
    host: Host,
    modulus: Modulus,
}

impl Prepared<RsaSquare> for PreparedSquare {
    fn load<'a>(&'a self, input: &'a RsaSquareInput) -> Result<Box<dyn Session<RsaSquare> + 'a>, Error> {
        let values = self.host.map(&input.values, |bytes| self.modulus.decode(bytes).map_err(invalid))?;
        let modulus = self.modulus.limbs();
        let chains = self.host.engine.chains(&modulus, &values);
        let chains = chains.ok_or_else(|| invalid("the modulus is even or too short"))?;
        Ok(Box::new(SquareSession { prepared: self, iterations: input.iterations, start: chains, end: None }))
    }
}

struct SquareSession<'a> {
    prepared: &'a PreparedSquare,
    iterations: u64,
    /// Groups that run side by side, each on one thread.
    start: Vec<Chains>,
    end: Option<Vec<Chains>>,
}

impl Session<RsaSquare> for SquareSession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.end = None;
        let mut chains = self.start.clone();
        let progress = Progress::new(control, self.iterations.saturating_mul(chains.len() as u64));
        self.prepared.host.pool.try_each(&mut chains, |chains| {
            let mut left = self.iterations;
            while left > 0 {
                let run = left.min(STRIDE);
                chains.square_times(run);
                left -= run;
                progress.add(run)?;
            }
            Ok(())
        })?;
        self.end = Some(chains);
        Ok(())
    }

    fn path(&self) -> Option<&'static str> {
        let scalar = self.start.iter().filter(|chains| matches!(chains, Chains::Scalar(..))).count();
        match scalar {
            0 => None,
            all if all == self.start.len() => Some("scalar"),
            _ => Some("lanes and scalar"),
        }
    }

    fn output(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let chains = self.end.as_ref().ok_or_else(|| invalid("nothing was executed"))?;
        Ok(chains.iter().flat_map(Chains::values).map(|value| self.prepared.modulus.encode(&value)).collect())
    }
}
