//! The core that everything runs on, and what both sides were built with.

/// Pins this thread, and those it will start, to one core.
///
/// # Errors
///
/// The system's reason, or that this system has no such call.
#[cfg(target_os = "linux")]
pub fn pin(core: usize) -> Result<usize, String> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(format!("there is no core {core}"));
    }
    // SAFETY: a CPU set is a plain array of integers, for which zero is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the bit lies within the set, by the comparison above.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set outlives the call, which reads as many bytes as it has.
    match unsafe { libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(core),
        _ => Err(std::io::Error::last_os_error().to_string()),
    }
}

/// Pins this thread, and those it will start, to one core.
///
/// # Errors
///
/// Always: there is no call for it here.
#[cfg(not(target_os = "linux"))]
pub fn pin(_core: usize) -> Result<usize, String> {
    Err("this system has no call for it".to_owned())
}

/// Processor, compiler, flags, and each peer's version and build mode, as lines that begin with `#`.
pub fn build() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpu = cpu.map_or(std::env::consts::ARCH, |(_, name)| name);
    let debug = if cfg!(debug_assertions) { " (debug assertions ON: the ratios mean nothing)" } else { "" };
    [
        format!("# {cpu}; {}{debug}", env!("VERSUS_COMPILER")),
        format!("# blst {}: one crate for both sides and for commonware, feature no-threads", env!("VERSUS_BLST")),
        format!("# commonware-cryptography {}: default features, strategy Sequential", env!("VERSUS_COMMONWARE")),
        format!("# reed-solomon-erasure {}: {}", env!("VERSUS_REED_SOLOMON"), reed_solomon_erasure()),
        format!("# reed-solomon-simd {}: default engine", env!("VERSUS_REED_SOLOMON_SIMD")),
        format!("# raptorq {}: default features", env!("VERSUS_RAPTORQ")),
        format!("# ISA-L: {}", system("isal", option_env!("VERSUS_ISAL"))),
        format!("# GMP: {}", system("gmp", option_env!("VERSUS_GMP"))),
        format!("# OpenSSL: {}", system("openssl", option_env!("VERSUS_OPENSSL"))),
        format!("# poanetwork vdf {}: {}", env!("VERSUS_POANETWORK"), poanetwork()),
        format!("# secp256k1 {}: libsecp256k1 as its crate builds it, feature recovery", env!("VERSUS_SECP256K1")),
    ]
    .join("\n")
}

fn reed_solomon_erasure() -> &'static str {
    if cfg!(feature = "reed-solomon-simd-accel") {
        "with simd-accel (C for Haswell), and so is our own cpu backend, wherever it calls the crate: Cargo builds one of it"
    } else {
        "scalar, without simd-accel"
    }
}

fn poanetwork() -> &'static str {
    if cfg!(feature = "poanetwork") {
        "as published, over the system's GMP"
    } else {
        "not built in (feature poanetwork)"
    }
}

/// A library of the system, if the feature that binds it is built in.
fn system(feature: &str, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{version}, the system's"),
        None => format!("not built in (feature {feature})"),
    }
}
