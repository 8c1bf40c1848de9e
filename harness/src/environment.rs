//! What this host and this binary are: the identity of a result, and what stands in the way of a good one.
//!
//! Everything is read from files below a root that tests replace. A sensor that is absent is null, with the reason.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shardmark_kernels::backend::{Description, Options};

use crate::plan::availability;
use crate::record::{Build, Grade, summary::Reason};

/// Version of `system/<host>.json`.
pub const SCHEMA: u32 = 1;
/// What the transport asks for by default; a smaller limit drops datagrams under bursts.
const UDP_BUFFER: u64 = 4 << 20;
/// Part of the hardware threads that others may keep busy.
const MAX_LOAD: f64 = 0.3;
/// Instruction sets that move results.
const FEATURES: [&str; 20] = [
    "sse4_2",
    "aes",
    "sha_ni",
    "pclmulqdq",
    "avx",
    "avx2",
    "bmi2",
    "adx",
    "gfni",
    "vaes",
    "vpclmulqdq",
    "avx512f",
    "avx512dq",
    "avx512bw",
    "avx512vl",
    "avx512ifma",
    "asimd",
    "sha2",
    "pmull",
    "sve",
];

/// `system/<host>.json`, and what `probe` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Host name.
    pub host: Option<String>,
    /// Processor.
    pub cpu: Cpu,
    /// Physical memory.
    pub memory_bytes: Option<u64>,
    /// Distribution.
    pub os: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// What can be read about the host's state.
    pub sensors: Vec<Sensor>,
    /// How the binary was built.
    pub build: Build,
    /// Every kernel on every backend.
    pub kernels: Vec<KernelBackend>,
    /// What stands in the way of a grade-A run, each with the best grade that it allows.
    pub obstacles: Vec<Reason>,
}

/// A processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Model.
    pub model: Option<String>,
    /// Physical cores.
    pub cores: Option<u64>,
    /// Hardware threads that this process may use.
    pub threads: Option<u64>,
    /// Instruction sets, of those that move results.
    pub features: Vec<String>,
    /// Caches of the first core.
    pub caches: Vec<Cache>,
}

/// A cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// 1, 2, 3.
    pub level: u64,
    /// `Data`, `Instruction`, `Unified`.
    pub kind: String,
    /// Size.
    pub bytes: u64,
}

/// A value that may be unreadable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sensor {
    /// What it is, with its unit.
    pub name: String,
    /// Its value; null if it cannot be read.
    pub value: Option<String>,
    /// Why it is null.
    pub reason: Option<String>,
}

/// A kernel on a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelBackend {
    /// Kernel.
    pub kernel: String,
    /// Backend.
    pub backend: String,
    /// What would run; null when it is unavailable.
    pub description: Option<Description>,
    /// Why it is unavailable.
    pub reason: Option<String>,
}

/// Describes this host and this binary.
pub fn probe() -> Probe {
    let threads = std::thread::available_parallelism().ok().map(|n| n.get() as u64);
    let mut probe = Host { root: PathBuf::from("/") }.describe(threads);
    probe.kernels = availability(&Options::default())
        .into_iter()
        .map(|row| KernelBackend {
            kernel: row.kernel.to_owned(),
            backend: row.backend.to_string(),
            reason: row.outcome.as_ref().err().map(ToString::to_string),
            description: row.outcome.ok(),
        })
        .collect();
    probe
}

/// How this binary was built, as `build.rs` recorded it.
pub fn build() -> Build {
    Build {
        revision: option_env!("SHARDMARK_REVISION").map(str::to_owned),
        dirty: option_env!("SHARDMARK_DIRTY").map(|dirty| dirty == "true"),
        compiler: option_env!("SHARDMARK_COMPILER").unwrap_or("unknown").to_owned(),
        target: option_env!("SHARDMARK_TARGET").unwrap_or("unknown").to_owned(),
        profile: option_env!("SHARDMARK_PROFILE").unwrap_or("unknown").to_owned(),
        flags: option_env!("SHARDMARK_FLAGS").unwrap_or_default().to_owned(),
        debug_assertions: cfg!(debug_assertions),
    }
}

/// BLAKE3 of the running binary, hex; `None` where it cannot be read.
pub fn binary_hash() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    crate::record::bundle::hash_file(&path).ok()
}

/// What a build itself takes from a grade.
pub fn build_obstacles(build: &Build) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut say = |grade, reason: String| reasons.push(Reason { grade, reason });
    if build.debug_assertions {
        say(Grade::C, format!("the binary checks overflows and assertions ({})", build.profile));
    }
    match (&build.revision, build.dirty) {
        (None, _) => say(Grade::B, "the source revision is unknown".into()),
        (_, Some(true)) => say(Grade::B, "the source differs from its revision".into()),
        _ => {}
    }
    reasons
}

struct Host {
    root: PathBuf,
}

impl Host {
    fn describe(&self, threads: Option<u64>) -> Probe {
        let cpuinfo = self.read("proc/cpuinfo").unwrap_or_default();
        let sensors = self.sensors(&cpuinfo);
        let cpu = Cpu {
            model: field(&cpuinfo, "model name"),
            cores: cores(&cpuinfo),
            threads,
            features: features(&cpuinfo),
            caches: self.caches(),
        };
        let obstacles = obstacles(&sensors, threads);
        Probe {
            schema: SCHEMA,
            host: self.read("proc/sys/kernel/hostname").ok(),
            memory_bytes: self.read("proc/meminfo").ok().and_then(|text| {
                field(&text, "MemTotal")?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
            }),
            os: self.read("etc/os-release").ok().and_then(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
                Some(line.trim_matches('"').to_owned())
            }),
            kernel: self.read("proc/sys/kernel/osrelease").ok(),
            cpu,
            sensors,
            build: build(),
            kernels: Vec::new(),
            obstacles,
        }
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let text = fs::read_to_string(self.root.join(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("/{path} does not exist"),
            _ => format!("/{path}: {error}"),
        })?;
        Ok(text.trim().to_owned())
    }

    fn sensors(&self, cpuinfo: &str) -> Vec<Sensor> {
        let sensor = |name: &str, value: Result<String, String>| Sensor {
            name: name.to_owned(),
            reason: value.as_ref().err().cloned(),
            value: value.ok(),
        };
        let file = |name, path| sensor(name, self.read(path));
        let hypervisor = if cpuinfo.is_empty() {
            Err("/proc/cpuinfo does not exist".to_owned())
        } else {
            Ok(flags(cpuinfo).any(|flag| flag == "hypervisor").to_string())
        };
        let load = self.read("proc/loadavg").and_then(|text| {
            text.split(' ').next().map(str::to_owned).ok_or_else(|| "/proc/loadavg is empty".to_owned())
        });
        vec![
            file("governor", "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            file("frequency_max_khz", "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"),
            file("clock_source", "sys/devices/system/clocksource/clocksource0/current_clocksource"),
            sensor("virtual_machine", hypervisor),
            sensor("load_average_1min", load),
            file("udp_receive_buffer_max", "proc/sys/net/core/rmem_max"),
            file("udp_send_buffer_max", "proc/sys/net/core/wmem_max"),
            file("package_energy_uj", "sys/class/powercap/intel-rapl:0/energy_uj"),
            file("perf_event_paranoid", "proc/sys/kernel/perf_event_paranoid"),
        ]
    }

    fn caches(&self) -> Vec<Cache> {
        let folder = "sys/devices/system/cpu/cpu0/cache";
        let cache = |i: usize| {
            let read = |file: &str| self.read(&format!("{folder}/index{i}/{file}")).ok();
            let kib: u64 = read("size")?.strip_suffix('K')?.parse().ok()?;
            Some(Cache { level: read("level")?.parse().ok()?, kind: read("type")?, bytes: kib.checked_mul(1024)? })
        };
        (0..8).filter_map(cache).collect()
    }
}

/// The value after `name :` in the first such line.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn flags(cpuinfo: &str) -> impl Iterator<Item = &str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    line.and_then(|line| line.split_once(':')).map_or("", |(_, flags)| flags).split_whitespace()
}

fn features(cpuinfo: &str) -> Vec<String> {
    let present: Vec<&str> = flags(cpuinfo).collect();
    FEATURES.into_iter().filter(|feature| present.contains(feature)).map(str::to_owned).collect()
}

/// Distinct pairs of package and core; `None` where the file does not name them.
fn cores(cpuinfo: &str) -> Option<u64> {
    let mut cores: Vec<(String, String)> =
        cpuinfo.split("\n\n").filter_map(|cpu| Some((field(cpu, "physical id")?, field(cpu, "core id")?))).collect();
    cores.sort();
    cores.dedup();
    (!cores.is_empty()).then_some(cores.len() as u64)
}

fn obstacles(sensors: &[Sensor], threads: Option<u64>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut say = |grade, reason: String| reasons.push(Reason { grade, reason });
    let value = |name: &str| sensors.iter().find(|sensor| sensor.name == name).and_then(|s| s.value.as_deref());
    match value("governor") {
        Some("performance") => {}
        Some(other) => say(Grade::B, format!("the frequency governor is `{other}`, not `performance`")),
        None => say(Grade::B, "the frequency governor cannot be read".into()),
    }
    match value("clock_source") {
        Some("tsc" | "arch_sys_counter") => {}
        Some(other) => say(Grade::B, format!("the clock source is `{other}`, not the processor's own")),
        None => say(Grade::B, "the clock source cannot be read".into()),
    }
    if value("virtual_machine") == Some("true") {
        say(Grade::B, "the host is a virtual machine: its neighbours' load is invisible".into());
    }
    let load: Option<f64> = value("load_average_1min").and_then(|load| load.parse().ok());
    if let (Some(load), Some(threads)) = (load, threads)
        && load > MAX_LOAD * threads as f64
    {
        say(Grade::B, format!("the host was busy before the run: load average {load} on {threads} hardware threads"));
    }
    for name in ["udp_receive_buffer_max", "udp_send_buffer_max"] {
        if let Some(limit) = value(name).and_then(|limit| limit.parse::<u64>().ok())
            && limit < UDP_BUFFER
        {
            say(Grade::B, format!("{name} is {limit}: below the {UDP_BUFFER} bytes that the transport asks for"));
        }
    }
    reasons
}

impl Probe {
    /// A name for the host's file.
    pub fn file_name(&self) -> String {
        let host = self.host.as_deref().unwrap_or("host");
        let safe: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
        let safe = safe.trim_start_matches('.');
        format!("system/{}.json", if safe.is_empty() { "host" } else { safe })
    }

    /// For a person.
    pub fn text(&self) -> String {
        use std::fmt::Write;
        let mut out = String::new();
        let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        let number = |value: Option<u64>| value.map_or_else(|| "unknown".into(), |n| n.to_string());
        let mut line = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<24}{value}");
        };
        line("cpu", known(&self.cpu.model));
        line("cores / threads", format!("{} / {}", number(self.cpu.cores), number(self.cpu.threads)));
        line("instruction sets", self.cpu.features.join(" "));
        let caches =
            self.cpu.caches.iter().map(|c| format!("L{} {} {} KiB", c.level, c.kind.to_lowercase(), c.bytes >> 10));
        line("caches", caches.collect::<Vec<_>>().join(", "));
        line(
            "memory",
            self.memory_bytes.map_or_else(|| "unknown".into(), |b| format!("{:.1} GiB", b as f64 / f64::from(1 << 30))),
        );
        line("os / kernel", format!("{} / {}", known(&self.os), known(&self.kernel)));
        let build = &self.build;
        let dirty = if build.dirty == Some(true) { " (changed)" } else { "" };
        line("revision", format!("{}{dirty}", known(&build.revision)));
        line("build", format!("{}, {}, {}", build.compiler, build.target, build.profile));
        for sensor in &self.sensors {
            let reason = || format!("unavailable: {}", sensor.reason.as_deref().unwrap_or("unknown"));
            line(&sensor.name, sensor.value.clone().unwrap_or_else(reason));
        }
        let _ = writeln!(out, "\nkernels");
        for row in &self.kernels {
            let value = match (&row.description, &row.reason) {
                (Some(d), _) => format!("{} ({}; {})", d.path, d.device, d.build),
                (None, reason) => format!("unavailable: {}", reason.as_deref().unwrap_or("unknown")),
            };
            let _ = writeln!(out, "  {:<26}{:<6}{value}", row.kernel, row.backend);
        }
        let mut obstacles = build_obstacles(build);
        obstacles.extend(self.obstacles.iter().cloned());
        let _ = match obstacles.is_empty() {
            true => writeln!(out, "\nnothing stands in the way of a grade-A run"),
            false => writeln!(out, "\nin the way of a grade-A run"),
        };
        for reason in obstacles {
            let _ = writeln!(out, "  at best {:?}: {}", reason.grade, reason.reason);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host whose files are these.
    fn fixture(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = folder.path().to_owned();
        (folder, Host { root })
    }

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: Test CPU\nphysical id\t: 0\ncore id\t: 0\nflags\t\t: fpu avx2 adx hypervisor\n\n\
                           processor\t: 1\nmodel name\t: Test CPU\nphysical id\t: 0\ncore id\t: 0\n\n\
                           processor\t: 2\nmodel name\t: Test CPU\nphysical id\t: 0\ncore id\t: 1\n";

    #[test]
    fn a_recorded_host_is_described() {
        let (_folder, host) = fixture(&[
            ("proc/cpuinfo", CPUINFO),
            ("proc/meminfo", "MemTotal:       2048 kB\n"),
            ("proc/loadavg", "3.50 1 1 1/1 1\n"),
            ("proc/sys/net/core/rmem_max", "212992\n"),
            ("proc/sys/net/core/wmem_max", "8388608\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/level", "1\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/size", "32K\n"),
            ("etc/os-release", "NAME=x\nPRETTY_NAME=\"Test OS 1\"\n"),
        ]);
        let probe = host.describe(Some(3));
        assert_eq!((probe.cpu.model.as_deref(), probe.cpu.cores), (Some("Test CPU"), Some(2)));
        assert_eq!(probe.cpu.features, ["avx2", "adx"]);
        assert_eq!(probe.cpu.caches, [Cache { level: 1, kind: "Data".into(), bytes: 32 << 10 }]);
        assert_eq!((probe.memory_bytes, probe.os.as_deref()), (Some(2 << 20), Some("Test OS 1")));
        let obstacles: String = probe.obstacles.iter().map(|o| o.reason.clone() + "\n").collect();
        for expected in ["`powersave`", "virtual machine", "load average 3.5", "udp_receive_buffer_max is 212992"] {
            assert!(obstacles.contains(expected), "{expected}: {obstacles}");
        }
        assert_eq!(probe.obstacles.len(), 4, "{obstacles}");
        assert!(probe.text().contains("package_energy_uj       unavailable: /sys/class/powercap"));
        let json = serde_json::to_string(&probe).unwrap();
        assert_eq!(serde_json::from_str::<Probe>(&json).unwrap(), probe);
    }

    #[test]
    fn an_empty_host_is_unknown_and_never_zero() {
        let (_folder, host) = fixture(&[("proc/cpuinfo", "")]);
        let probe = host.describe(None);
        assert_eq!((probe.cpu.model.clone(), probe.cpu.cores, probe.memory_bytes), (None, None, None));
        assert!(probe.sensors.iter().all(|sensor| sensor.value.is_some() != sensor.reason.is_some()));
        assert_eq!(probe.file_name(), "system/host.json");
    }

    #[test]
    fn a_host_name_cannot_lead_outside_the_folder() {
        let (_folder, host) = fixture(&[("proc/sys/kernel/hostname", "../../a b/c\n")]);
        assert_eq!(host.describe(None).file_name(), "system/abc.json");
    }

    #[test]
    fn this_host_and_build_are_known() {
        let probe = probe();
        assert!(probe.cpu.threads.is_some());
        assert!(probe.build.compiler.starts_with("rustc"));
        assert!(probe.kernels.iter().any(|row| row.description.is_some()));
    }
}
