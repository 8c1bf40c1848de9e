//! Backend `wgpu`: independent chains modulo an RSA number, and the tests of candidates for a discriminant, on a GPU.
//!
//! A single chain is sequential: a GPU runs many side by side, each slower than on a CPU's core. Class groups stay on the
//! CPU.

mod montgomery;

use std::collections::VecDeque;
use std::sync::Arc;

use self::montgomery::Chains;
use super::integer::Int;
use super::prime::is_prime_hashed;
use super::rsa_square::Modulus;
use super::{Discriminant, DiscriminantSetup, DiscriminantValue, RsaSquare, RsaSquareInput, RsaSquareSetup, invalid};
use crate::backend::{Backend, Control, Description, Error, Options, Prepared, Session, Unavailable};
use crate::device::wgpu::Gpu;
use crate::pool::Pool;

/// A device, and the threads of the host's share: sieving, and the last rounds for a prime.
#[derive(Clone)]
pub(super) struct Device {
    gpu: Arc<Gpu>,
    pool: Pool,
}

impl Device {
    /// # Errors
    ///
    /// As [`Gpu::open`] and [`Pool::new`].
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        Ok(Self { pool: Pool::new(options.threads)?, gpu: Gpu::open(options)? })
    }

    fn describe(&self) -> Description {
        self.gpu.describe("Montgomery by digits of 256 bits, one number an invocation", self.pool.threads())
    }
}

impl Backend<RsaSquare> for Device {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, setup: &RsaSquareSetup) -> Result<Box<dyn Prepared<RsaSquare>>, Error> {
        let modulus = Modulus::new(&setup.modulus).map_err(invalid)?;
        Ok(Box::new(PreparedSquare { device: self.clone(), modulus }))
    }
}

struct PreparedSquare {
    device: Device,
    modulus: Modulus,
}

impl Prepared<RsaSquare> for PreparedSquare {
    fn load<'a>(&'a self, input: &'a RsaSquareInput) -> Result<Box<dyn Session<RsaSquare> + 'a>, Error> {
        let decode = |i: usize| self.modulus.decode(&input.values[i]).map_err(invalid);
        let values = self.device.pool.try_map(input.values.len(), decode)?;
        let chains = Chains::new(&self.device.gpu, &self.modulus.limbs(), &values)?;
        Ok(Box::new(SquareSession { prepared: self, iterations: input.iterations, chains, end: None }))
    }
}

struct SquareSession<'a> {
    prepared: &'a PreparedSquare,
    iterations: u64,
    chains: Chains,
    end: Option<Vec<Vec<u64>>>,
}

impl Session<RsaSquare> for SquareSession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.end = None;
        self.end = Some(self.chains.square_times(self.iterations, control)?);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let end = self.end.as_ref().ok_or_else(|| invalid("nothing was executed"))?;
        Ok(end.iter().map(|value| self.prepared.modulus.encode(value)).collect())
    }
}

impl Backend<Discriminant> for Device {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, setup: &DiscriminantSetup) -> Result<Box<dyn Prepared<Discriminant>>, Error> {
        setup.scheme.check_bits(setup.discriminant_bits).map_err(invalid)?;
        Ok(Box::new(PreparedSearch { device: self.clone(), setup: setup.clone() }))
    }
}

struct PreparedSearch {
    device: Device,
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

/// Candidates that one launch tests, at least: fewer leave a GPU idle, and a launch takes as long with them.
const LAUNCH: usize = 512;
/// The same for a device that is a CPU: what it tests in vain it tests at the others' cost.
const LAUNCH_ON_CPU: usize = 16;

/// One seed's search.
struct Search {
    candidates: Box<dyn Iterator<Item = Int> + Send>,
    /// Those of the next launch.
    next: VecDeque<Int>,
    found: Option<Int>,
}

impl Session<Discriminant> for SearchSession<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.output = None;
        let Device { gpu, pool } = &self.prepared.device;
        let DiscriminantSetup { scheme, discriminant_bits: bits } = self.prepared.setup;
        let launch = if gpu.software() { LAUNCH_ON_CPU } else { LAUNCH };
        let start = |seed: &[u8; 32]| {
            let candidates = scheme.candidates(bits, seed).map_err(invalid)?;
            Ok(Search { candidates, next: VecDeque::new(), found: None })
        };
        let mut searches = self.seeds.iter().map(start).collect::<Result<Vec<_>, Error>>()?;
        loop {
            let mut open: Vec<&mut Search> = searches.iter_mut().filter(|search| search.found.is_none()).collect();
            control.report((self.seeds.len() - open.len()) as u64, self.seeds.len() as u64);
            if open.is_empty() {
                break;
            }
            let share = launch.div_ceil(open.len()).max(8);
            pool.try_each(&mut open, |search| {
                control.check()?;
                search.next.extend(search.candidates.by_ref().take(share));
                if search.next.is_empty() { Err(invalid("a seed without a discriminant")) } else { Ok(()) }
            })?;
            let batch: Vec<Int> = open.iter().flat_map(|search| search.next.iter().cloned()).collect();
            let mut passed = montgomery::fermat_base_2(gpu, &batch, control)?.into_iter();
            for search in &mut open {
                let taken: Vec<bool> = passed.by_ref().take(search.next.len()).collect();
                let likely = search.next.drain(..).zip(taken).filter_map(|(n, passed)| passed.then_some(n));
                search.next = likely.collect();
            }
            pool.try_each(&mut open, |search| {
                search.found = search.next.drain(..).find(is_prime_hashed);
                control.check()
            })?;
        }
        let found = searches.into_iter().filter_map(|search| search.found);
        self.output = Some(found.map(|magnitude| DiscriminantValue::found(bits, magnitude)).collect());
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let output = self.output.as_ref().ok_or_else(|| invalid("nothing was executed"))?;
        Ok(output.iter().map(DiscriminantValue::to_bytes).collect())
    }
}
