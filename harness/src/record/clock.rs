//! The run's clock: nanoseconds of the host's monotonic clock since a start that all its processes share.

use std::time::Duration;

/// Reads the time since the run's start. Copies made in other processes of this host read the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    start_ns: u64,
}

impl Clock {
    /// A run that starts `delay` from now.
    pub fn starting_in(delay: Duration) -> Self {
        Self { start_ns: monotonic_ns().saturating_add(nanos(delay)) }
    }

    /// The clock whose [`Clock::start_ns`] another process of this host reported.
    pub const fn from_start_ns(start_ns: u64) -> Self {
        Self { start_ns }
    }

    /// The start on the host's monotonic clock.
    pub const fn start_ns(self) -> u64 {
        self.start_ns
    }

    /// Nanoseconds since the start; 0 before it.
    pub fn now_ns(self) -> u64 {
        monotonic_ns().saturating_sub(self.start_ns)
    }

    /// Milliseconds since the start: the time that state machines get as an argument.
    pub fn now_ms(self) -> u64 {
        self.now_ns() / 1_000_000
    }

    /// How long until the run's time is `t_ns`; zero once it has passed.
    pub fn until(self, t_ns: u64) -> Duration {
        Duration::from_nanos(self.start_ns.saturating_add(t_ns).saturating_sub(monotonic_ns()))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `CLOCK_MONOTONIC`, which all processes of a host share; `Instant` hides its value.
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(status, 0, "every unix has a monotonic clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_waits_for_its_start_and_its_copies_agree() {
        let clock = Clock::starting_in(Duration::from_secs(3600));
        assert_eq!(clock.now_ns(), 0);
        assert!(clock.until(0) > Duration::from_secs(3500));
        let started = Clock::starting_in(Duration::ZERO);
        let copy = Clock::from_start_ns(started.start_ns());
        let (a, b) = (started.now_ns(), copy.now_ns());
        assert!(b >= a && b - a < 1_000_000_000);
        assert_eq!(started.until(0), Duration::ZERO);
    }
}
