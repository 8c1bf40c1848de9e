//! What every CPU backend shares: its threads, and the name of the processor they run on.

use std::ops::Range;
use std::sync::Arc;

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::backend::{BackendId, Description, Options, Unavailable};

/// Most threads that one call may ask for.
const MAX_THREADS: usize = 1024;

/// The threads of one backend; clones share them. A single thread is the caller's own: no hand-over is measured.
#[derive(Clone)]
pub(crate) struct Pool {
    workers: Option<Arc<ThreadPool>>,
    threads: usize,
}

impl Pool {
    /// For a backend without an instruction set or a device to choose.
    ///
    /// # Errors
    ///
    /// [`Unavailable::Options`] for such a choice, and as [`Pool::new`].
    pub(crate) fn open(options: &Options) -> Result<Self, Unavailable> {
        if let Some(isa) = options.isa {
            return Err(Unavailable::Options(format!("the cpu backend has no {isa:?} code: that is simd's")));
        }
        if let Some(device) = options.device {
            return Err(Unavailable::Options(format!("the cpu backend has no device {device}")));
        }
        Self::new(options.threads)
    }

    /// # Errors
    ///
    /// [`Unavailable::Options`] for no threads or more than 1024, or when the system gives none.
    pub(crate) fn new(threads: usize) -> Result<Self, Unavailable> {
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Unavailable::Options(format!("{threads} threads: 1 to {MAX_THREADS} are possible")));
        }
        let start =
            || rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("kernel-{i}")).build();
        let workers = match threads {
            1 => None,
            _ => Some(start().map_err(|e| Unavailable::Options(format!("cannot start {threads} threads: {e}")))?),
        };
        Ok(Self { workers: workers.map(Arc::new), threads })
    }

    /// Threads that one call uses.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// A scalar backend on these threads, with what moves its results.
    pub(crate) fn describe(&self, build: impl Into<String>) -> Description {
        Description {
            backend: BackendId::Cpu,
            path: "scalar".to_owned(),
            device: cpu_model(),
            build: build.into(),
            threads: self.threads,
            software_adapter: false,
        }
    }

    /// `[f(0), .., f(n - 1)]`, or one of the errors.
    pub(crate) fn try_map<T: Send, E: Send>(
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
    pub(crate) fn map<T: Send>(&self, n: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
        match &self.workers {
            None => (0..n).map(f).collect(),
            Some(workers) => workers.install(|| (0..n).into_par_iter().map(f).collect()),
        }
    }

    /// `f` on each item in place, or one of the errors.
    pub(crate) fn try_each<T: Send, E: Send>(
        &self,
        items: &mut [T],
        f: impl Fn(&mut T) -> Result<(), E> + Send + Sync,
    ) -> Result<(), E> {
        match &self.workers {
            Some(workers) if items.len() > 1 => workers.install(|| items.par_iter_mut().try_for_each(f)),
            _ => items.iter_mut().try_for_each(f),
        }
    }

    /// Both results, computed side by side where there are threads.
    pub(crate) fn join<A: Send, B: Send>(&self, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        match &self.workers {
            None => (a(), b()),
            Some(workers) => workers.install(|| rayon::join(a, b)),
        }
    }

    /// Cuts `0..n` into one range a thread, but none below `least` items unless it is the only one.
    pub(crate) fn ranges(&self, n: usize, least: usize) -> Vec<Range<usize>> {
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
    fn options_that_a_cpu_backend_does_not_have_are_refused() {
        for options in [
            Options { threads: 0, ..Options::default() },
            Options { threads: MAX_THREADS + 1, ..Options::default() },
            Options { isa: Some(Isa::Avx2), ..Options::default() },
            Options { device: Some(0), ..Options::default() },
        ] {
            assert!(matches!(Pool::open(&options), Err(Unavailable::Options(_))), "{options:?}");
        }
    }

    #[test]
    fn a_description_names_the_processor_and_the_threads() {
        let description = Pool::new(3).unwrap().describe("blst 1");
        assert_eq!((description.threads, description.software_adapter), (3, false));
        assert_eq!((description.build.as_str(), description.path.as_str()), ("blst 1", "scalar"));
        assert!(!description.device.is_empty());
    }

    #[test]
    fn results_keep_their_order_on_any_number_of_threads() {
        for threads in [1, 3] {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.map(5, |i| 2 * i), [0, 2, 4, 6, 8]);
            assert_eq!(pool.try_map(3, |i| if i < 3 { Ok(i) } else { Err(i) }), Ok(vec![0, 1, 2]));
            assert_eq!(pool.try_map(3, |i| if i < 2 { Ok(i) } else { Err(i) }), Err(2));
            let mut items = [1, 2, 3];
            let increment = |item: &mut i32| {
                *item += 1;
                if *item < 5 { Ok(()) } else { Err(*item) }
            };
            assert_eq!(pool.try_each(&mut items, increment), Ok(()));
            assert_eq!(items, [2, 3, 4]);
            assert_eq!(pool.try_each(&mut items, increment), Err(5));
            assert_eq!(pool.join(|| 1, || "b"), (1, "b"));
        }
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
