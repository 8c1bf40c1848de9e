//! Backend `cpu` of the three kernels: scalar code, one instance or proof per thread.

use std::collections::HashMap;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::wesolowski::{self, Progress};
use super::{
    Discriminant, DiscriminantSetup, DiscriminantValue, Evaluate, EvaluateInput, EvaluateSetup, Refusal, Verify,
    VerifyItem, VerifySetup, invalid,
};
use crate::backend::{Backend, BackendId, Control, Description, Error, Options, Prepared, Session, Unavailable};

/// The threads that one call may use.
pub(super) struct Cpu {
    pool: ThreadPool,
}

impl Cpu {
    /// # Errors
    ///
    /// No threads asked for, or none to be had.
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        if options.threads == 0 {
            return Err(Unavailable::Options("threads must be at least 1".into()));
        }
        let pool = ThreadPoolBuilder::new().num_threads(options.threads).build();
        pool.map(|pool| Self { pool }).map_err(|error| Unavailable::Options(error.to_string()))
    }

    fn describe(&self) -> Description {
        Description {
            backend: BackendId::Cpu,
            path: "scalar".into(),
            device: std::env::consts::ARCH.into(),
            build: "dashu-int 0.6, NUDUPL with Lehmer's partial Euclid".into(),
            threads: self.pool.current_num_threads(),
            software_adapter: false,
        }
    }

    /// `compute` for every item, in order; an error of any is the error of all.
    fn map<T, U, F>(&self, items: &[T], compute: F) -> Result<Vec<U>, Error>
    where
        T: Sync,
        U: Send,
        F: Fn(&T) -> Result<U, Error> + Send + Sync,
    {
        self.pool.install(|| items.par_iter().map(compute).collect())
    }
}

fn executed<T: Clone>(output: &Option<T>) -> Result<T, Error> {
    output.clone().ok_or_else(|| invalid("nothing was executed"))
}

impl Backend<Evaluate> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare<'a>(&'a self, setup: &'a EvaluateSetup) -> Result<Box<dyn Prepared<Evaluate> + 'a>, Error> {
        super::discriminant::check_bits(setup.discriminant_bits).map_err(invalid)?;
        Ok(Box::new(PreparedEvaluate { cpu: self, setup }))
    }
}

struct PreparedEvaluate<'a> {
    cpu: &'a Cpu,
    setup: &'a EvaluateSetup,
}

impl Prepared<Evaluate> for PreparedEvaluate<'_> {
    fn load<'a>(&'a self, input: &'a EvaluateInput) -> Result<Box<dyn Session<Evaluate> + 'a>, Error> {
        let bits = self.setup.discriminant_bits;
        let discriminants =
            self.cpu.map(&input.seeds, |seed| DiscriminantValue::from_seed(bits, seed).map_err(invalid))?;
        Ok(Box::new(EvaluateSession { prepared: self, iterations: input.iterations, discriminants, output: None }))
    }
}

struct EvaluateSession<'a> {
    prepared: &'a PreparedEvaluate<'a>,
    iterations: u64,
    discriminants: Vec<DiscriminantValue>,
    output: Option<Vec<Vec<u8>>>,
}

impl Session<Evaluate> for EvaluateSession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let steps = wesolowski::evaluation_steps(self.iterations);
        let progress = Progress::new(control, steps.saturating_mul(self.discriminants.len() as u64));
        let scheme = self.prepared.setup.scheme;
        let evaluate = |d: &DiscriminantValue| wesolowski::evaluate(scheme, d, self.iterations, &progress);
        self.output = Some(self.prepared.cpu.map(&self.discriminants, evaluate)?);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        executed(&self.output)
    }
}

impl Backend<Verify> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare<'a>(&'a self, setup: &'a VerifySetup) -> Result<Box<dyn Prepared<Verify> + 'a>, Error> {
        super::discriminant::check_bits(setup.discriminant_bits).map_err(invalid)?;
        let check = |(seed, magnitude): &([u8; 32], Vec<u8>)| {
            let value = DiscriminantValue::new(setup.discriminant_bits, magnitude).map_err(invalid)?;
            Ok((*seed, value))
        };
        let cached = match &setup.discriminants {
            Some(pairs) => Some(self.map(pairs, check)?.into_iter().collect()),
            None => None,
        };
        Ok(Box::new(PreparedVerify { cpu: self, setup, cached }))
    }
}

struct PreparedVerify<'a> {
    cpu: &'a Cpu,
    setup: &'a VerifySetup,
    cached: Option<HashMap<[u8; 32], DiscriminantValue>>,
}

impl PreparedVerify<'_> {
    fn verdict(&self, item: &VerifyItem) -> Result<(), Refusal> {
        let VerifySetup { scheme, discriminant_bits, .. } = *self.setup;
        match &self.cached {
            None => super::verify(scheme, discriminant_bits, &item.seed, item.iterations, &item.proof),
            Some(cached) => {
                let discriminant = cached.get(&item.seed).ok_or(Refusal::UnknownSeed)?;
                super::verify_with(scheme, discriminant, item.iterations, &item.proof)
            }
        }
    }
}

impl Prepared<Verify> for PreparedVerify<'_> {
    /// Decoding depends on the discriminant, which is part of the work when it is not cached: nothing happens here.
    fn load<'a>(&'a self, input: &'a Vec<VerifyItem>) -> Result<Box<dyn Session<Verify> + 'a>, Error> {
        Ok(Box::new(VerifySession { prepared: self, items: input, output: None }))
    }
}

struct VerifySession<'a> {
    prepared: &'a PreparedVerify<'a>,
    items: &'a [VerifyItem],
    output: Option<Vec<Result<(), Refusal>>>,
}

impl Session<Verify> for VerifySession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let verify = |item: &VerifyItem| control.check().map(|()| self.prepared.verdict(item));
        self.output = Some(self.prepared.cpu.map(self.items, verify)?);
        control.report(self.items.len() as u64, self.items.len() as u64);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Result<(), Refusal>>, Error> {
        executed(&self.output)
    }
}

impl Backend<Discriminant> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare<'a>(&'a self, setup: &'a DiscriminantSetup) -> Result<Box<dyn Prepared<Discriminant> + 'a>, Error> {
        super::discriminant::check_bits(setup.discriminant_bits).map_err(invalid)?;
        Ok(Box::new(PreparedSearch { cpu: self, setup }))
    }
}

struct PreparedSearch<'a> {
    cpu: &'a Cpu,
    setup: &'a DiscriminantSetup,
}

impl Prepared<Discriminant> for PreparedSearch<'_> {
    fn load<'a>(&'a self, input: &'a Vec<[u8; 32]>) -> Result<Box<dyn Session<Discriminant> + 'a>, Error> {
        Ok(Box::new(SearchSession { prepared: self, seeds: input, output: None }))
    }
}

struct SearchSession<'a> {
    prepared: &'a PreparedSearch<'a>,
    seeds: &'a [[u8; 32]],
    output: Option<Vec<DiscriminantValue>>,
}

impl Session<Discriminant> for SearchSession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let bits = self.prepared.setup.discriminant_bits;
        let search = |seed: &[u8; 32]| {
            control.check()?;
            DiscriminantValue::from_seed(bits, seed).map_err(invalid)
        };
        self.output = Some(self.prepared.cpu.map(self.seeds, search)?);
        control.report(self.seeds.len() as u64, self.seeds.len() as u64);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(executed(&self.output)?.iter().map(DiscriminantValue::to_bytes).collect())
    }
}
