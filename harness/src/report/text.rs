//! Numbers for people: three significant digits, a unit, and a dash for what is unknown.

/// What stands for an unknown value.
pub const UNKNOWN: &str = "–";

/// `1.23 ms`.
pub fn duration(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    format!("{} {unit}", significant(value))
}

/// `1.23 MiB`.
pub fn bytes(n: u64) -> String {
    let (value, unit) = match n {
        0..1024 => return format!("{n} B"),
        1024..0x10_0000 => (n as f64 / 1024.0, "KiB"),
        0x10_0000..0x4000_0000 => (n as f64 / f64::from(1 << 20), "MiB"),
        _ => (n as f64 / f64::from(1 << 30), "GiB"),
    };
    format!("{} {unit}", significant(value))
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate or another positive number: `1,230`, `12.3`, `0.0123`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.into();
    }
    if value >= 1000.0 { count(value.round() as u64) } else { significant(value) }
}

/// `12.3%`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}%", 100.0 * share) } else { UNKNOWN.into() }
}

/// Applies a formatter, or says that the value is unknown.
pub fn or_unknown<T>(value: Option<T>, format: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.into(), format)
}

fn significant(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        let durations: Vec<String> = [0, 999, 1000, 12_345, 999_960, 1_234_567, 60_000_000_000].map(duration).to_vec();
        assert_eq!(durations, ["0 ns", "999 ns", "1.00 µs", "12.3 µs", "1000 µs", "1.23 ms", "60.0 s"]);
        assert_eq!([1023, 1024, 3 << 20, 5 << 30].map(bytes).to_vec(), ["1023 B", "1.00 KiB", "3.00 MiB", "5.00 GiB"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count).to_vec(), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.5, 12.34, 123.4, 12345.6].map(number).to_vec(), ["0.500", "12.3", "123", "12,346"]);
        assert_eq!(number(f64::NAN), UNKNOWN);
        assert_eq!(percent(0.1234), "12.3%");
        assert_eq!(or_unknown(None, duration), UNKNOWN);
    }
}
