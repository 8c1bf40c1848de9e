//! The time of one call, without the time in which the system runs somebody else.
//!
//! On a busy machine a call of milliseconds is interrupted nearly always and one of microseconds hardly ever, so wall time
//! flatters whoever is faster. The thread's own processor time has no such gaps, but costs a system call to read, which
//! shows in short calls. So both are read, processor time outside of wall time: without an interruption the wall time is the
//! shorter one, with one the processor time is.

use std::time::{Duration, Instant};

/// A call that has begun.
pub struct Clock {
    processor: Option<Duration>,
    wall: Instant,
}

impl Clock {
    /// Begins.
    pub fn start() -> Self {
        let processor = processor_time();
        Self { processor, wall: Instant::now() }
    }

    /// The time since it began.
    pub fn stop(&self) -> Duration {
        let wall = self.wall.elapsed();
        match (self.processor, processor_time()) {
            (Some(start), Some(end)) => wall.min(end.saturating_sub(start)),
            _ => wall,
        }
    }
}

/// The time of a call, if its result was right.
pub fn watch(call: impl FnOnce() -> bool) -> Option<Duration> {
    let clock = Clock::start();
    let right = call();
    let elapsed = clock.stop();
    right.then_some(elapsed)
}

/// What this thread has run so far, where the system says so.
#[cfg(unix)]
fn processor_time() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call, which fills it.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    (failed == 0).then(|| Duration::new(seconds, nanoseconds))
}

/// What this thread has run so far, where the system says so.
#[cfg(not(unix))]
fn processor_time() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_and_gaps_in_it_do_not() {
        let work = |gap: Duration| {
            let clock = Clock::start();
            let start = Instant::now();
            std::thread::sleep(gap);
            let mut sum = 0u64;
            while std::hint::black_box(sum) < 1_000_000 {
                sum += 1;
            }
            (clock.stop(), start.elapsed())
        };
        let gap = Duration::from_millis(40);
        let (counted, passed) = work(gap);
        assert!(counted > Duration::ZERO && passed > gap);
        if cfg!(unix) {
            // However busy the machine: what is not counted is the gap at least, but for the clocks' grain.
            assert!(passed - counted > gap / 2, "{counted:?} of {passed:?}");
        }
        assert!(watch(|| true).is_some() && watch(|| false).is_none());
    }
}
