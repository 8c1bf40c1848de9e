//! Judges a bundle, a matrix or a configuration: one line for each finding.

use std::path::Path;

use crate::config::Config;
use crate::measure::check_case;
use crate::record::matrix::Matrix;
use crate::record::{Bundle, Collected, Grade, Manifest, Summary, conclude};

/// What was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A TOML file.
    Config,
    /// A run's folder, or a matrix's.
    Bundle,
}

/// Every finding, each with its place; none for a sound subject.
pub fn check(path: &Path) -> (Subject, Vec<String>) {
    if !path.is_dir() {
        return (Subject::Config, config(path));
    }
    if !Matrix::is_at(path) {
        return (Subject::Bundle, bundle(path));
    }
    let findings = match Matrix::read(path) {
        Err(error) => vec![error.0],
        Ok(matrix) => matrix.rows.iter().filter_map(|row| matrix.bundle(path, row)).flat_map(|p| bundle(&p)).collect(),
    };
    (Subject::Bundle, findings)
}

fn config(path: &Path) -> Vec<String> {
    let config = match Config::load(path, &[]) {
        Ok(config) => config,
        Err(error) => return vec![error.0],
    };
    let place = |reason| format!("{}: {reason}", path.display());
    config.kernel.iter().filter_map(|case| check_case(case).err()).map(place).collect()
}

fn bundle(path: &Path) -> Vec<String> {
    let place = |reason: String| format!("{}: {reason}", path.display());
    let opened = Bundle::open(path).and_then(|bundle| bundle.manifest().map(|manifest| (bundle, manifest)));
    let (bundle, manifest) = match opened {
        Ok(opened) => opened,
        Err(error) => return vec![error.0],
    };
    let mut findings = match bundle.verify() {
        Ok(changes) => changes.into_iter().map(place).collect(),
        Err(error) => vec![error.0],
    };
    match Collected::read(&bundle) {
        Err(error) => findings.push(error.0),
        Ok(run) => findings.extend(summary(&bundle, &manifest, &conclude(&run)).into_iter().map(place)),
    }
    findings
}

fn summary(bundle: &Bundle, manifest: &Manifest, computed: &Summary) -> Vec<String> {
    let mut findings = Vec::new();
    // Strict: unknown and missing fields are errors, as the JSON Schema says.
    match bundle.read_json::<Summary>("summary.json") {
        Err(error) => findings.push(error.0),
        Ok(stored) if stored.config_hash != manifest.config_hash => {
            findings.push("summary.json: belongs to another configuration".into());
        }
        Ok(_) => {
            // As text: parsing a number may move its last bit.
            let text = serde_json::to_string_pretty(computed).unwrap_or_default() + "\n";
            if std::fs::read_to_string(bundle.path().join("summary.json")).ok() != Some(text) {
                findings.push(
                    "summary.json: does not follow from events and histograms; `shardmark report` rebuilds it".into(),
                );
            }
        }
    }
    let invalid = computed.quality.reasons.iter().filter(|reason| reason.grade == Grade::Invalid);
    findings.extend(invalid.map(|reason| format!("the run is invalid: {}", reason.reason)));
    findings
}
