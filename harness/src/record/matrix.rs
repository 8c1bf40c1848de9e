//! A matrix's folder: `matrix.json` and one bundle for each run that was possible.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bundle::{BundleError, Variant, write_atomically};
use crate::plan::Plan;

/// Version of `matrix.json`.
pub const SCHEMA: u32 = 1;
/// Its file.
const FILE: &str = "matrix.json";

/// `matrix.json`: the rows, in the order of execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the configuration.
    pub name: String,
    /// One for each planned run.
    pub rows: Vec<MatrixRow>,
}

/// One planned run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixRow {
    /// Backend of every kernel family.
    pub backend: String,
    /// Its place on the other axes; absent in a matrix of backends alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// The run's bundle, a folder beside this file; `None` if it could not run.
    pub folder: Option<String>,
    /// Why it did not run.
    pub reason: Option<String>,
}

impl Matrix {
    /// The rows of a plan.
    pub fn of(name: &str, plan: &Plan) -> Self {
        let rows = plan.runs.iter().filter_map(|run| {
            let cell = run.cell.as_ref()?;
            Some(MatrixRow {
                backend: cell.backend.label(),
                variant: cell.variant.clone(),
                repeat: cell.repeat,
                folder: run.folder().filter(|_| run.unavailable.is_none()),
                reason: run.unavailable.clone(),
            })
        });
        Self { schema: SCHEMA, name: name.to_owned(), rows: rows.collect() }
    }

    /// Whether a folder is a matrix's.
    pub fn is_at(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    /// Writes `matrix.json`.
    ///
    /// # Errors
    ///
    /// The path and what the system said.
    pub fn write(&self, folder: &Path) -> Result<(), BundleError> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| BundleError(format!("{FILE}: {error}")))?;
        write_atomically(&folder.join(FILE), &json)
    }

    /// Reads `matrix.json`.
    ///
    /// # Errors
    ///
    /// Unreadable, malformed, or a row whose folder lies elsewhere.
    pub fn read(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(FILE);
        let wrong = |reason: String| BundleError(format!("{}: {reason}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let matrix: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if matrix.schema != SCHEMA {
            return Err(wrong(format!("schema is {}: this version reads {SCHEMA}", matrix.schema)));
        }
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        match matrix.rows.iter().find_map(|row| row.folder.as_deref().filter(|name| !plain(name))) {
            Some(name) => Err(wrong(format!("`{}` is no folder of a matrix", name.escape_debug()))),
            None => Ok(matrix),
        }
    }

    /// The bundle of a row.
    pub fn bundle(&self, folder: &Path, row: &MatrixRow) -> Option<PathBuf> {
        row.folder.as_ref().map(|name| folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_reads_back_and_its_folders_lie_inside() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Matrix::is_at(folder.path()));
        let variant = Variant { code: "rs-vandermonde".into(), loss: "5%".into(), faults: "1 silent".into() };
        let row = |name: &str| MatrixRow {
            backend: "cpu".into(),
            variant: Some(variant.clone()).filter(|_| name.contains("loss")),
            repeat: 0,
            folder: Some(name.into()),
            reason: None,
        };
        let mut matrix = Matrix { schema: SCHEMA, name: "m".into(), rows: vec![row("00-cpu"), row("01-loss")] };
        matrix.write(folder.path()).unwrap();
        assert_eq!(Matrix::read(folder.path()).unwrap(), matrix);
        matrix.rows.push(row("../elsewhere"));
        matrix.write(folder.path()).unwrap();
        assert!(Matrix::read(folder.path()).unwrap_err().0.contains("../elsewhere"));
    }
}
