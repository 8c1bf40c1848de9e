//! Backend `cpu` of the three kernels: scalar code, one instance or proof per thread.

use std::collections::HashMap;

use super::wesolowski::{self, Progress};
use super::{
    Discriminant, DiscriminantSetup, DiscriminantValue, Evaluate, EvaluateInput, EvaluateSetup, Refusal, Scheme,
    Verify, VerifyItem, VerifySetup, invalid,
};
use crate::backend::{Backend, Control, Description, Error, Options, Prepared, Session, Unavailable};
use crate::pool::Pool;

/// The threads that one call may use.
#[derive(Clone)]
pub(super) struct Cpu {
    pool: Pool,
}

impl Cpu {
    /// # Errors
    ///
    /// As [`Pool::open`].
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        Ok(Self { pool: Pool::open(options)? })
    }

    fn describe(&self) -> Description {
        self.pool.describe("dashu-int 0.6, NUDUPL with Lehmer's partial Euclid")
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

fn executed<T: Clone>(output: &Option<T>) -> Result<T, Error> {
    output.clone().ok_or_else(|| invalid("nothing was executed"))
}

impl Backend<Evaluate> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, setup: &EvaluateSetup) -> Result<Box<dyn Prepared<Evaluate>>, Error> {
        super::discriminant::check_bits(setup.discriminant_bits).map_err(invalid)?;
        Ok(Box::new(PreparedEvaluate { cpu: self.clone(), setup: setup.clone() }))
    }
}

struct PreparedEvaluate {
    cpu: Cpu,
    setup: EvaluateSetup,
}

impl Prepared<Evaluate> for PreparedEvaluate {
    fn load<'a>(&'a self, input: &'a EvaluateInput) -> Result<Box<dyn Session<Evaluate> + 'a>, Error> {
        let bits = self.setup.discriminant_bits;
        let discriminants =
            self.cpu.map(&input.seeds, |seed| DiscriminantValue::from_seed(bits, seed).map_err(invalid))?;
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

    fn prepare(&self, setup: &VerifySetup) -> Result<Box<dyn Prepared<Verify>>, Error> {
        super::discriminant::check_bits(setup.discriminant_bits).map_err(invalid)?;
        let check = |(seed, magnitude): &([u8; 32], Vec<u8>)| {
            let value = DiscriminantValue::new(setup.discriminant_bits, magnitude).map_err(invalid)?;
            Ok((*seed, value))
        };
        let cached = match &setup.discriminants {
            Some(pairs) => Some(self.map(pairs, check)?.into_iter().collect()),
            None => None,
        };
        Ok(Box::new(PreparedVerify {
            cpu: self.clone(),
            scheme: setup.scheme,
            discriminant_bits: setup.discriminant_bits,
            cached,
        }))
    }
}

struct PreparedVerify {
    cpu: Cpu,
    scheme: Scheme,
    discriminant_bits: u32,
    cached: Option<HashMap<[u8; 32], DiscriminantValue>>,
}

impl PreparedVerify {
    fn verdict(&self, item: &VerifyItem) -> Result<(), Refusal> {
        let Self { scheme, discriminant_bits, .. } = *self;
        match &self.cached {
            None => super::verify(scheme, discriminant_bits, &item.seed, item.iterations, &item.proof),
            Some(cached) => {
                let discriminant = cached.get(&item.seed).ok_or(Refusal::UnknownSeed)?;
                super::verify_with(scheme, discriminant, item.iterations, &item.proof)
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

    fn prepare(&self, setup: &DiscriminantSetup) -> Result<Box<dyn Prepared<Discriminant>>, Error> {
        super::discriminant::check_bits(setup.discriminant_bits).map_err(invalid)?;
        Ok(Box::new(PreparedSearch { cpu: self.clone(), setup: setup.clone() }))
    }
}

struct PreparedSearch {
    cpu: Cpu,
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
