//! Keeps `bench-configs/README.md` and the committed configurations in step with the code.
//!
//! The table of keys is generated from this module's JSON Schema: descriptions are the fields' documentation, defaults
//! are those of the code. `SHARDMARK_UPDATE=1 cargo test` rewrites it.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::Config;

const BEGIN: &str = "<!-- generated from harness/src/config.rs: begin -->\n";
const END: &str = "<!-- generated: end -->";

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-configs")
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let name = |schema: &'a Value| schema["$ref"].as_str()?.strip_prefix("#/$defs/");
    if let Some(name) = name(schema) {
        return &root["$defs"][name];
    }
    let options = schema["anyOf"].as_array();
    options.and_then(|options| options.iter().find_map(name)).map_or(schema, |name| &root["$defs"][name])
}

fn kind(schema: &Value, root: &Value) -> String {
    let schema = resolve(schema, root);
    if let Some(format @ ("duration" | "rate" | "size")) = schema["format"].as_str() {
        return format.to_owned();
    }
    let words = schema["oneOf"].as_array().map(|v| v.iter().map(|one| &one["const"]).collect::<Vec<_>>());
    let words = words.or_else(|| schema["enum"].as_array().map(|v| v.iter().collect()));
    if words.is_some() {
        return "word".into();
    }
    match schema["type"].as_str().or_else(|| schema["type"][0].as_str()) {
        Some("array") => "list".into(),
        Some("object") => "table".into(),
        Some(other) => other.into(),
        None => "any".into(),
    }
}

fn rows(prefix: &str, schema: &Value, defaults: &Value, root: &Value, out: &mut String) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let mut sections = Vec::new();
    for (key, property) in properties {
        let target = resolve(property, root);
        let items = resolve(&target["items"], root);
        let description = property["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        assert!(!description.is_empty(), "{prefix}{key} has no documentation");
        if target["properties"].is_object() || items["properties"].is_object() {
            sections.push((key, target, items, description));
            continue;
        }
        let default = match &defaults[key] {
            _ if description.ends_with("Required.") => "required".to_owned(),
            Value::Null => "none".to_owned(),
            value => format!("`{value}`"),
        };
        let _ = writeln!(
            out,
            "| `{prefix}{key}` | {} | {default} | {} |",
            kind(property, root),
            description.trim_end_matches(" Required.")
        );
    }
    for (key, target, items, description) in sections {
        let (name, schema) = match items["properties"].is_object() {
            true => (format!("[[{key}]]"), items),
            false => (format!("[{key}]"), target),
        };
        let header = "| key | type | default | meaning |\n|---|---|---|---|";
        let _ = writeln!(out, "\n### `{name}`\n\n{description}\n\n{header}");
        // Sections that a configuration may leave out have their defaults in the code's functions.
        let defaults = match key.as_str() {
            "matrix" => &serde_json::json!({ "order": "abba", "repeats": 1 }),
            "kernel" => &serde_json::json!({ "backends": ["cpu"], "rounds": 20, "warmup": 2 }),
            "network" => &serde_json::to_value(super::Network::default()).unwrap(),
            "faults" => &serde_json::to_value(super::Faults::default()).unwrap(),
            _ => &defaults[key],
        };
        rows(&format!("{key}."), schema, defaults, root, out);
    }
}

fn table() -> String {
    let root = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    let defaults = serde_json::to_value(Config::example()).unwrap();
    let mut out = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    rows("", &root, &defaults, &root, &mut out);
    out
}

#[test]
fn the_readme_lists_exactly_the_keys_and_defaults_of_the_code() {
    let path = folder().join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the README has the first marker");
    let (_, after) = rest.split_once(END).expect("the README has the last marker");
    let current = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    if std::env::var_os("SHARDMARK_UPDATE").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == current, "bench-configs/README.md is stale: SHARDMARK_UPDATE=1 cargo test rewrites it");
}

#[test]
fn the_defaults_that_the_readme_states_for_absent_sections_are_the_codes() {
    let text = "schema = 1\nname = \"t\"\n[matrix]\nbackends = [\"cpu\"]\n";
    let matrix = serde_json::to_value(Config::parse(text, "t", &[]).unwrap().matrix).unwrap();
    assert_eq!((matrix["order"].as_str(), matrix["repeats"].as_u64()), (Some("abba"), Some(1)));
    let text = "schema = 1\nname = \"t\"\n[[kernel]]\nname = \"a\"\nparams = {}\n";
    let case = serde_json::to_value(&Config::parse(text, "t", &[]).unwrap().kernel[0]).unwrap();
    assert_eq!(case, serde_json::json!({ "name": "a", "params": {}, "backends": ["cpu"], "rounds": 20, "warmup": 2 }));
}

#[test]
fn every_committed_configuration_parses_and_its_cases_are_accepted() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let config = Config::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(Some(config.name.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
            for case in &config.kernel {
                crate::measure::check_case(case).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
            names.push(config.name);
        }
    }
    names.sort();
    assert_eq!(names, ["kernels", "local-16", "local-250", "local-4", "opaque-4", "propagation", "smoke"]);
}
