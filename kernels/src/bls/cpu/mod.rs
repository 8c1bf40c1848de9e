//! Backend `cpu`: scalar code over blst, threads by rayon.
//!
//! | module | what |
//! |---|---|
//! | `committee` | resident keys and masked sums |
//! | `aggregate` | both aggregation kernels |
//! | `verify` | verify-batch: one equation for the whole batch |
//! | `bisect` | verify-batch: the search for bad sets when it fails |

mod aggregate;
mod bisect;
mod committee;
mod verify;

use rayon::prelude::*;

use crate::backend::{BackendId, Description, Options, Unavailable};

/// The backend of all three kernels.
pub(super) struct Cpu {
    pool: Pool,
}

impl Cpu {
    /// # Errors
    ///
    /// [`Unavailable::Options`] for zero threads, or for an instruction set or a device: this backend has none to choose.
    pub(super) fn open(options: &Options) -> Result<Self, Unavailable> {
        if let Some(isa) = options.isa {
            return Err(Unavailable::Options(format!("the cpu backend has no {isa:?} code: that is simd's")));
        }
        if let Some(device) = options.device {
            return Err(Unavailable::Options(format!("the cpu backend has no device {device}")));
        }
        Ok(Self { pool: Pool::new(options.threads)? })
    }

    fn describe(&self) -> Description {
        Description {
            backend: BackendId::Cpu,
            path: "scalar".to_owned(),
            device: cpu_model(),
            build: format!("blst {}", env!("SHARDMARK_BLST")),
            threads: self.pool.threads,
            software_adapter: false,
        }
    }
}

/// The threads of one backend. A single thread is the caller's own: no hand-over is measured.
struct Pool {
    workers: Option<rayon::ThreadPool>,
    threads: usize,
}

impl Pool {
    fn new(threads: usize) -> Result<Self, Unavailable> {
        let workers = match threads {
            0 => return Err(Unavailable::Options("threads must be at least 1".to_owned())),
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("bls-{i}"))
                    .build()
                    .map_err(|e| Unavailable::Options(format!("cannot start {threads} threads: {e}")))?,
            ),
        };
        Ok(Self { workers, threads })
    }

    /// `[f(0), .., f(n - 1)]`, or one of the errors.
    fn try_map<T: Send, E: Send>(
        &self,
        n: usize,
        f: impl Fn(usize) -> Result<T, E> + Send + Sync,
    ) -> Result<Vec<T>, E> {
        match &self.workers {
            None => (0..n).map(f).collect(),
            Some(workers) => workers.install(|| (0..n).into_par_iter().map(f).collect()),
        }
    }

    /// `[f(0), .., f(n - 1)]`.
    fn map<T: Send>(&self, n: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
        match &self.workers {
            None => (0..n).map(f).collect(),
            Some(workers) => workers.install(|| (0..n).into_par_iter().map(f).collect()),
        }
    }

    /// Both results, computed side by side where there are threads.
    fn join<A: Send, B: Send>(&self, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        match &self.workers {
            None => (a(), b()),
            Some(workers) => workers.install(|| rayon::join(a, b)),
        }
    }

    /// Cuts `0..n` into one range a thread, but none below `least` items unless it is the only one.
    fn ranges(&self, n: usize, least: usize) -> Vec<std::ops::Range<usize>> {
        let parts = (n / least.max(1)).clamp(1, self.threads);
        (0..parts).map(|i| n * i / parts..n * (i + 1) / parts).collect()
    }
}

/// The processor's own name.
#[cfg(target_arch = "x86_64")]
fn cpu_model() -> String {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return "x86_64".to_owned();
    }
    let leaves = (0x8000_0002..=0x8000_0004u32).map(__cpuid);
    let bytes: Vec<u8> =
        leaves.flat_map(|l| [l.eax, l.ebx, l.ecx, l.edx]).flat_map(u32::to_le_bytes).take_while(|&b| b != 0).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The processor's architecture, where no instruction gives its name.
#[cfg(not(target_arch = "x86_64"))]
fn cpu_model() -> String {
    std::env::consts::ARCH.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Isa;

    #[test]
    fn options_that_the_backend_does_not_have_are_refused() {
        for options in [
            Options { threads: 0, ..Options::default() },
            Options { isa: Some(Isa::Avx2), ..Options::default() },
            Options { device: Some(0), ..Options::default() },
        ] {
            assert!(matches!(Cpu::open(&options), Err(Unavailable::Options(_))), "{options:?}");
        }
    }

    #[test]
    fn the_description_names_blst_and_its_build() {
        let description = Cpu::open(&Options { threads: 3, ..Options::default() }).unwrap().describe();
        assert_eq!((description.threads, description.software_adapter), (3, false));
        assert!(description.build.starts_with("blst 0."), "{}", description.build);
        assert!(!description.device.is_empty());
    }

    #[test]
    fn ranges_cover_everything_once() {
        let pool = Pool::new(3).unwrap();
        for n in 0..40 {
            let ranges = pool.ranges(n, 4);
            assert!(ranges.len() <= 3);
            assert_eq!(ranges.iter().cloned().flatten().collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
        }
    }
}
