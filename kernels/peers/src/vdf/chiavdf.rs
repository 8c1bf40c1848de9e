//! chiavdf, as programs: its own benchmark of squarings, a process a call, and its Python wheel, a process that stays.
//!
//! Both inherit the core that this process is pinned to, and while one of them works this one waits. Each times itself: the
//! start of a process and the pipe are not in it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shardmark_kernels::vdf::DiscriminantValue;

/// `vdf_bench square`, under one discriminant.
pub struct Bench {
    /// As it calls itself.
    pub version: String,
    program: PathBuf,
    /// With its sign, as the program reads it.
    discriminant: String,
}

impl Bench {
    /// # Errors
    ///
    /// It cannot be run.
    pub fn open(program: &Path, discriminant: &DiscriminantValue) -> Result<Self, String> {
        let out = Command::new(program).arg("--version").output().map_err(|e| format!("{}: {e}", program.display()))?;
        let version = String::from_utf8_lossy(&out.stdout).split_whitespace().last().map(str::to_owned);
        Ok(Self {
            version: version.ok_or_else(|| format!("{} --version says nothing", program.display()))?,
            program: program.to_owned(),
            discriminant: format!("-0x{}", hex(&discriminant.to_bytes())),
        })
    }

    /// The time of so many squarings of the generator; None unless they give `want`, `a` and `b` as the kernels encode them.
    ///
    /// The program takes wall time. The processor time of the whole process is the shorter one only if it was interrupted
    /// for longer than its start and end take.
    pub fn square(&self, iterations: u64, want: &[u8]) -> Option<Duration> {
        let before = processor_time_of_children();
        let iterations = iterations.to_string();
        let out = Command::new(&self.program).args(["square", &iterations, &self.discriminant]).output().ok()?;
        let used = before.and_then(|before| processor_time_of_children()?.checked_sub(before));
        let text = String::from_utf8(out.stdout).ok()?;
        let (time, form) = parse(&text, want.len() / 2)?;
        (form == want).then(|| used.map_or(time, |used| used.min(time)))
    }
}

/// The time and the form, `a` and `b` in `length` bytes each, from what `vdf_bench` prints.
fn parse(text: &str, length: usize) -> Option<(Duration, Vec<u8>)> {
    let milliseconds = text.split_once("Time: ")?.1.split_once(" ms")?.0.parse().ok()?;
    let field = |name: &str| text.lines().find_map(|line| signed(line.strip_prefix(name)?, length));
    Some((Duration::from_millis(milliseconds), [field("a = ")?, field("b = ")?].concat()))
}

/// A number in hexadecimal with its sign, in two's complement.
fn signed(number: &str, length: usize) -> Option<Vec<u8>> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits.strip_prefix("0x")?),
        None => (false, number.strip_prefix("0x")?),
    };
    // The sign has a bit of its own.
    let mut bytes = unhex(&format!("{digits:0>width$}", width = 2 * length))?;
    if bytes.len() != length || bytes.first()? >> 7 != 0 {
        return None;
    }
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let nibbles = digits.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let pairs = nibbles.chunks(2);
    pairs.map(|pair| <[u32; 2]>::try_from(pair).ok().map(|[high, low]| (high << 4 | low) as u8)).collect()
}

/// What the children that have ended ran, where the system says so.
#[cfg(unix)]
fn processor_time_of_children() -> Option<Duration> {
    // SAFETY: the structure holds integers alone, for which zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure outlives the call, which fills it.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) };
    let time = |value: libc::timeval| {
        let (seconds, microseconds) = (u64::try_from(value.tv_sec).ok()?, u64::try_from(value.tv_usec).ok()?);
        Some(Duration::from_secs(seconds) + Duration::from_micros(microseconds))
    };
    if failed == 0 { time(usage.ru_utime)?.checked_add(time(usage.ru_stime)?) } else { None }
}

/// What the children that have ended ran, where the system says so.
#[cfg(not(unix))]
fn processor_time_of_children() -> Option<Duration> {
    None
}

/// The wheel in an interpreter of its own.
pub struct Wheel {
    /// As its package says.
    pub version: String,
    child: Child,
    requests: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Wheel {
    /// # Errors
    ///
    /// There is no such interpreter, or it has no wheel.
    pub fn open(python: &Path) -> Result<Self, String> {
        let at = |reason: &dyn std::fmt::Display| format!("{}: {reason}", python.display());
        let program = ["-c", include_str!("chiavdf.py")];
        let mut command = Command::new(python);
        command.args(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| at(&e))?;
        let (Some(requests), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(at(&"no pipe"));
        };
        let mut wheel =
            Self { version: String::new(), child, requests: Some(requests), replies: BufReader::new(replies) };
        let version =
            wheel.reply().and_then(|reply| reply["version"].as_str().map(str::to_owned).ok_or("no version".to_owned()));
        match version {
            Ok(version) => wheel.version = version,
            Err(_) => return Err(at(&wheel.last_words())),
        }
        Ok(wheel)
    }

    /// The proof for a seed, `y` then proof in Chia's format, and the time that its making took.
    ///
    /// # Errors
    ///
    /// The interpreter is gone, or its reply makes no sense.
    pub fn prove(&mut self, seed: &[u8], bits: u32, iterations: u64) -> Result<(Vec<u8>, Duration), String> {
        let (result, time) = self.call(json!({
            "call": "prove", "seed": hex(seed), "bits": bits, "iterations": iterations,
        }))?;
        let proof = result.as_str().and_then(unhex).ok_or("the wheel's proof makes no sense")?;
        Ok((proof, time))
    }

    /// The time to accept a proof under a discriminant that [`Wheel::discriminant`] gave; None if it is refused.
    ///
    /// # Errors
    ///
    /// As [`Wheel::prove`].
    pub fn verify(&mut self, discriminant: &str, iterations: u64, proof: &[u8]) -> Result<Option<Duration>, String> {
        let (result, time) = self.call(json!({
            "call": "verify", "discriminant": discriminant, "iterations": iterations, "proof": hex(proof),
        }))?;
        Ok((result == Value::Bool(true)).then_some(time))
    }

    /// The discriminant of a seed by Chia's rule, as text, and the time that finding it took.
    ///
    /// # Errors
    ///
    /// As [`Wheel::prove`].
    pub fn discriminant(&mut self, seed: &[u8], bits: u32) -> Result<(String, Duration), String> {
        let (result, time) = self.call(json!({ "call": "discriminant", "seed": hex(seed), "bits": bits }))?;
        let text = result.as_str().ok_or("the wheel's discriminant makes no sense")?;
        Ok((text.to_owned(), time))
    }

    /// A proof that the wheel's own verifier accepts, and not for other iterations.
    ///
    /// # Errors
    ///
    /// It does not, or as [`Wheel::prove`].
    pub fn checked_proof(&mut self, seed: &[u8], bits: u32, iterations: u64) -> Result<Vec<u8>, String> {
        let (discriminant, _) = self.discriminant(seed, bits)?;
        let (proof, _) = self.prove(seed, bits, iterations)?;
        let accepted = self.verify(&discriminant, iterations, &proof)?.is_some();
        if !accepted || self.verify(&discriminant, iterations + 1, &proof)?.is_some() {
            return Err("the wheel's verifier is wrong about the wheel's proof".into());
        }
        Ok(proof)
    }

    fn call(&mut self, request: Value) -> Result<(Value, Duration), String> {
        let requests = self.requests.as_mut().ok_or("the wheel's pipe is closed")?;
        writeln!(requests, "{request}").and_then(|()| requests.flush()).map_err(|e| format!("the wheel: {e}"))?;
        let mut reply = match self.reply() {
            Ok(reply) => reply,
            Err(_) => return Err(format!("the wheel: {}", self.last_words())),
        };
        let time = reply["ns"].as_u64().ok_or("the wheel's reply has no time")?;
        Ok((reply["result"].take(), Duration::from_nanos(time)))
    }

    fn reply(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.replies.read_line(&mut line).map_err(|e| e.to_string())?;
        serde_json::from_str(&line).map_err(|e| e.to_string())
    }

    /// The last line of an interpreter that gave up.
    fn last_words(&mut self) -> String {
        self.requests = None;
        let text = self.child.stderr.take().and_then(|stderr| std::io::read_to_string(stderr).ok()).unwrap_or_default();
        text.lines().last().unwrap_or("it ended without a word").to_owned()
    }
}

impl Drop for Wheel {
    /// The end of its input ends the interpreter.
    fn drop(&mut self) {
        self.requests = None;
        // Nothing depends on how it ends.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_benchmark_prints_is_read_with_its_sign() {
        let text = "Time: 17 ms; speed: 58.8K ips\na = 0x1f0\nb = -0x1\nc = 0x9\n";
        let want = (Duration::from_millis(17), vec![0, 1, 0xf0, 0xff, 0xff, 0xff]);
        assert_eq!(parse(text, 3), Some(want));
        assert_eq!(parse(text, 1), None, "two bytes do not fit one");
        assert_eq!(parse("Unknown command", 3), None);
        assert_eq!(signed("-0x80", 1), None, "magnitudes leave room for the sign");
        assert_eq!(signed("-0x0100", 2), Some(vec![0xff, 0]));
        assert_eq!((signed("0xg", 2), signed("12", 2)), (None, None));
    }

    #[test]
    fn programs_that_are_not_there_are_a_reason() {
        let discriminant = DiscriminantValue::from_seed(256, &[1; 32]).unwrap();
        let nowhere = Path::new("no/such/program");
        assert!(Bench::open(nowhere, &discriminant).is_err_and(|reason| reason.starts_with("no/such/program: ")));
        assert!(Wheel::open(nowhere).is_err_and(|reason| reason.starts_with("no/such/program: ")));
    }

    #[test]
    fn an_interpreter_without_the_wheel_says_so() {
        // Whatever it is, it has no such module.
        let Ok(python) = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output() else {
            return;
        };
        let python = PathBuf::from(String::from_utf8_lossy(&python.stdout).trim());
        if let Err(reason) = Wheel::open(&python) {
            assert!(reason.contains("No module named 'chiavdf'"), "{reason}");
        }
    }
}
