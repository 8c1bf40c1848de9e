//! From text and `--set` overrides to a [`Config`], with errors on one line that name the place.

use std::path::Path;

use toml::{Table, Value};

use super::Config;

/// Why there is no configuration: one line, `file:line:column: [section] reason` where there is a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl Config {
    /// Reads, overrides and checks a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError(format!("{name}: {error}")))?;
        Self::parse(&text, &name, overrides)
    }

    /// As [`Config::load`], for text already read; `name` stands for the file in errors.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn parse(text: &str, name: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let located = |error: toml::de::Error| ConfigError(locate(text, name, &error));
        let mut config: Self = toml::from_str(text).map_err(located)?;
        if !overrides.is_empty() {
            let mut table: Table = toml::from_str(text).map_err(located)?;
            for argument in overrides {
                set(&mut table, argument).map_err(|reason| ConfigError(format!("--set {argument}: {reason}")))?;
                config = table.clone().try_into().map_err(|error: toml::de::Error| {
                    ConfigError(format!("--set {argument}: {}", one_line(&error.to_string())))
                })?;
            }
        }
        config.check().map_err(|reason| ConfigError(format!("{name}: {reason}")))?;
        Ok(config)
    }
}

/// Applies `a.b=value`. The value is TOML; a bare word such as `10s` stands for the string "10s".
fn set(table: &mut Table, argument: &str) -> Result<(), String> {
    let (key, text) = argument.split_once('=').ok_or("write key=value")?;
    let value = value(text.trim())?;
    let mut parts: Vec<&str> = key.trim().split('.').collect();
    let last = parts.pop().filter(|part| !part.is_empty()).ok_or("the key is empty")?;
    let mut place = table;
    for part in parts {
        let entry = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        place = entry.as_table_mut().ok_or_else(|| format!("`{part}` is not a table"))?;
    }
    place.insert(last.to_owned(), value);
    Ok(())
}

fn value(text: &str) -> Result<Value, String> {
    if let Ok(mut table) = toml::from_str::<Table>(&format!("value = {text}"))
        && table.len() == 1
        && let Some(value) = table.remove("value")
    {
        return Ok(value);
    }
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c)) {
        return Ok(Value::String(text.to_owned()));
    }
    Err(format!("`{text}` is not a TOML value"))
}

/// `file:line:column: [section] message`.
fn locate(text: &str, name: &str, error: &toml::de::Error) -> String {
    let message = one_line(error.message());
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return format!("{name}: {message}");
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    let current = text.lines().nth(line - 1).unwrap_or_default().trim();
    let header = |line: &str| line.starts_with('[') && line.contains(']');
    let section = before.lines().map(str::trim).rfind(|line| header(line) && *line != current);
    match section {
        Some(section) if !header(current) => format!("{name}:{line}:{column}: {section} {message}"),
        _ => format!("{name}:{line}:{column}: {message}"),
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str, overrides: &[&str]) -> Result<Config, String> {
        let overrides: Vec<String> = overrides.iter().map(|&s| s.to_owned()).collect();
        Config::parse(&format!("schema = 1\nname = \"t\"\n{body}"), "t.toml", &overrides).map_err(|e| e.0)
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let message = parse("[cluster]\nvalidators = 4\nblock_time = \"1s\"\n", &[]).unwrap_err();
        assert!(message.starts_with("t.toml:5:1: [cluster] unknown field `block_time`"), "{message}");
        let message = parse("[clutser]\n", &[]).unwrap_err();
        assert!(message.starts_with("t.toml:3:2: unknown field `clutser`"), "{message}");
        let message = parse("sed = 3\n", &[]).unwrap_err();
        assert!(message.starts_with("t.toml:3:1: unknown field `sed`"), "{message}");
        let message = parse("[[kernel]]\nname = \"x\"\nparams = {}\nround = 3\n", &[]).unwrap_err();
        assert!(message.starts_with("t.toml:6:1: [[kernel]] unknown field `round`"), "{message}");
    }

    #[test]
    fn wrong_units_and_types_are_named_with_their_place() {
        let message = parse("[load]\nduration = 10\n", &[]).unwrap_err();
        assert!(message.starts_with("t.toml:4:12: [load] ") && message.contains("250ms"), "{message}");
        let message = parse("[consensus]\nblock_bytes = \"2mb\"\n", &[]).unwrap_err();
        assert!(message.contains("`2mb` is not a size"), "{message}");
        let message = parse("[cluster]\nvalidators = 70000\n", &[]).unwrap_err();
        assert!(message.starts_with("t.toml:4:14: [cluster]"), "{message}");
        assert!(!message.contains('\n'));
        let message = parse("name = \n", &[]).unwrap_err();
        assert!(message.starts_with("t.toml:3:"), "{message}");
    }

    #[test]
    fn overrides_take_toml_values_and_bare_words() {
        let config = parse(
            "[load]\nrate = 5\n",
            &[
                "load.duration=3s",
                "load.rate=250.5",
                "backend={ bls = \"simd\" }",
                "cluster.validators = 7",
                "name=\"u\"",
            ],
        )
        .unwrap();
        assert_eq!(config.load.duration.as_millis(), 3000);
        assert_eq!((config.load.rate, config.cluster.validators, config.name.as_str()), (250.5, 7, "u"));
        assert_eq!(config.backend.bls.to_string(), "simd");
    }

    #[test]
    fn bad_overrides_are_one_line() {
        for (argument, reason) in [
            ("load.rate", "write key=value"),
            ("=3", "the key is empty"),
            ("load.rtae=3", "unknown field `rtae`"),
            ("load.rate=[", "not a TOML value"),
            ("load.rate=1\nseed = 2", "not a TOML value"),
            ("name.x=1", "`name` is not a table"),
            ("load.duration=5", "250ms"),
        ] {
            let message = parse("", &[argument]).unwrap_err();
            assert!(message.contains(reason) && message.starts_with("--set"), "{message}");
        }
    }

    #[test]
    fn a_resolved_configuration_parses_to_itself() {
        let config = parse("backend = { vdf = \"wgpu\" }\n[matrix]\nbackends = [\"cpu\", \"simd\"]\n", &[]).unwrap();
        let again = Config::parse(&config.to_toml(), "again.toml", &[]).unwrap();
        assert_eq!((again.hash(), &again), (config.hash(), &config));
        assert_ne!(config.hash(), parse("seed = 1", &[]).unwrap().hash());
    }
}
