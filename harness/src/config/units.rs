//! Quantities as a person writes them: durations "250ms", sizes "2MiB", rates "100Mbit".
//!
//! All parse exactly (no floating point) and print back in the largest unit that loses nothing.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration, at most a year: "250ms", "1.5s", "2m". A number without a unit is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// A number of bytes: "2MiB", "512B", "64kB", or a plain integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Bits a second, at least 1kbit and at most 1000Gbit: "100Mbit".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Bits a second.
    pub const fn bits_per_s(self) -> u64 {
        self.0
    }
}

impl Span {
    /// So many milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// So many seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s * 1_000_000_000)
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.duration().as_secs_f64()
    }

    /// The standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Size {
    /// So many kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

/// Longest [`Span`], nanoseconds: sums of a few still fit 64 bits.
const YEAR_NS: u64 = 365 * 86_400 * 1_000_000_000;
/// Largest [`Size`].
const TEBIBYTE: u64 = 1 << 40;

const SPAN_UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

const RATE_UNITS: [(&str, u64); 3] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ns = parse(text, &SPAN_UNITS)
            .ok_or_else(|| format!("`{text}` is not a duration: write a number and one of ns, us, ms, s, m, h"))?;
        if ns > YEAR_NS {
            return Err(format!("`{text}` is longer than a year"));
        }
        Ok(Self(ns))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = parse(text, &SIZE_UNITS)
            .ok_or_else(|| format!("`{text}` is not a size: write a number and one of B, kB, MB, GB, KiB, MiB, GiB"))?;
        if bytes > TEBIBYTE {
            return Err(format!("`{text}` is more than 1TiB"));
        }
        Ok(Self(bytes))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bits = parse(text, &RATE_UNITS)
            .ok_or_else(|| format!("`{text}` is not a rate: write a number and one of kbit, Mbit, Gbit"))?;
        if !(1_000..=1_000_000_000_000).contains(&bits) {
            return Err(format!("`{text}` is not between 1kbit and 1000Gbit"));
        }
        Ok(Self(bits))
    }
}

/// `digits[.digits]unit`, exact: `None` unless it is a whole number of the smallest unit and fits.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let factor = u128::from(units.iter().find(|(name, _)| *name == unit)?.1);
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    if whole.is_empty() || whole.len() > 19 || fraction.len() > 12 {
        return None;
    }
    let mut value = whole.parse::<u128>().ok()?.checked_mul(factor)?;
    if !fraction.is_empty() {
        let scaled = fraction.parse::<u128>().ok()?.checked_mul(factor)?;
        let divisor = 10u128.pow(fraction.len() as u32);
        if scaled % divisor != 0 {
            return None;
        }
        value += scaled / divisor;
    }
    u64::try_from(value).ok()
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Minutes and hours would hide the number a reader compares.
        let (unit, factor) =
            SPAN_UNITS[2..].iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(&("ns", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZE_UNITS[..4]
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// In the largest unit that leaves a whole number, or as a fraction of the smallest.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match RATE_UNITS.iter().find(|(_, factor)| self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}.{:03}kbit", self.0 / 1000, self.0 % 1000),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"250ms\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"2MiB\" or a number of bytes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                format!("{bytes}B").parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                self.visit_u64(u64::try_from(bytes).map_err(|_| E::custom("a size is not negative"))?)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration" })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": "size" })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "rate" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_and_rates_parse_exactly_and_print_back() {
        for (text, ns, printed) in [
            ("250ms", 250_000_000, "250ms"),
            ("1.5s", 1_500_000_000, "1500ms"),
            ("2m", 120_000_000_000, "120s"),
            ("0s", 0, "0s"),
            ("0.001us", 1, "1ns"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.as_nanos(), span.to_string().as_str()), (ns, printed), "{text}");
            assert_eq!(printed.parse::<Span>().unwrap(), span);
        }
        for (text, bytes, printed) in [
            ("2MiB", 2 << 20, "2MiB"),
            ("512B", 512, "512B"),
            ("1.5KiB", 1536, "1536B"),
            ("64kB", 64_000, "64000B"),
            ("0B", 0, "0B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, printed), "{text}");
            assert_eq!(printed.parse::<Size>().unwrap(), size);
        }
        for (text, bits, printed) in [
            ("100Mbit", 100_000_000, "100Mbit"),
            ("1.5Gbit", 1_500_000_000, "1500Mbit"),
            ("1.001kbit", 1001, "1.001kbit"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.bits_per_s(), rate.to_string().as_str()), (bits, printed), "{text}");
            assert_eq!(printed.parse::<Rate>().unwrap(), rate);
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in
            ["", "ms", "5", "-1s", "1.s", ".5s", "1.5ns", "1 s", "5sec", "99999999999999999999s", "9000h1", "9999999h"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "MiB", "1.1B", "2mib", "2TiB", "1e3B", "99999999999999999999B"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "0kbit", "999bit", "5", "1MB", "1001Gbit"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
