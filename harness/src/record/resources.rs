//! What this process has consumed, as the system accounts it.

use super::event::Payload;

/// CPU time since the process began, resident memory now, and the host's own counters.
pub fn sample() -> Payload {
    let host = std::fs::read_to_string("/proc/stat").ok().and_then(|stat| host_cpu(&stat, ticks_per_second()?));
    Payload::Resources {
        cpu_ns: cpu_ns(),
        rss_bytes: rss_bytes(),
        host_busy_ns: host.map(|host| host.busy_ns),
        host_steal_ns: host.map(|host| host.steal_ns),
    }
}

/// CPU time of all threads, user and system.
fn cpu_ns() -> u64 {
    // SAFETY: all zeros is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage that outlives the call.
    let status = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    assert_eq!(status, 0, "RUSAGE_SELF is always readable");
    let nanos = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
    nanos(usage.ru_utime) + nanos(usage.ru_stime)
}

/// `None` where there is no `/proc`.
fn rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostCpu {
    busy_ns: u64,
    steal_ns: u64,
}

/// The first line of `/proc/stat`: `cpu user nice system idle iowait irq softirq steal guest guest_nice`, in ticks.
fn host_cpu(stat: &str, ticks: u64) -> Option<HostCpu> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields[..] else { return None };
    let nanos = |n: u64| n.checked_mul(1_000_000_000 / ticks);
    let busy = [user, nice, system, irq, softirq].into_iter().try_fold(0u64, u64::checked_add)?;
    Some(HostCpu { busy_ns: nanos(busy)?, steal_ns: nanos(steal)? })
}

fn ticks_per_second() -> Option<u64> {
    // SAFETY: sysconf reads no memory of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).ok().filter(|ticks| (1..=1_000_000_000).contains(ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_counters_are_read_and_garbage_is_unknown() {
        let stat = "cpu  10 1 5 1000 7 2 3 4 9 9\ncpu0 1 2 3\n";
        assert_eq!(host_cpu(stat, 100), Some(HostCpu { busy_ns: 210_000_000, steal_ns: 40_000_000 }));
        for bad in ["", "cpu  1 2 3", "cpu  a b c d e f g h", "intr 5", "cpu  18446744073709551615 1 1 1 1 1 1 1"] {
            assert_eq!(host_cpu(bad, 100), None, "{bad}");
        }
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = cpu_ns();
        let mut x = 1u64;
        while cpu_ns() < before + 20_000_000 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(cpu_ns() > before);
    }
}
