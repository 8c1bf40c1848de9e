//! Reports: from a bundle's files to pages for people. Reads bundles only, so any report can be rebuilt offline.
//!
//! [`page`] decides what is said, once; [`markdown`] and [`html`] only set it. [`matrix`] compares runs of one matrix,
//! [`propagation`] how bodies travelled in them, [`check`] judges a bundle or a configuration, [`csv`] exports a summary.

pub mod check;
pub mod csv;
#[cfg(test)]
pub(crate) mod golden;
pub mod html;
pub mod markdown;
pub mod matrix;
pub mod page;
pub mod propagation;
pub mod svg;
pub mod text;

use crate::record::bundle::{Bundle, BundleError, CHECKSUMS};
use crate::record::{Collected, Summary, conclude};

/// What [`write`] makes anew; everything else in a bundle was measured.
const DERIVED: [&str; 4] = ["summary.json", "report.md", "report.html", "summary.csv"];

/// Draws a bundle's conclusions, writes `summary.json`, `report.md` and `report.html`, and seals it.
///
/// # Errors
///
/// Unreadable or malformed files, a full disk, or a sealed bundle whose measurements were changed since: a new report
/// would hide that.
pub fn write(bundle: &Bundle) -> Result<Summary, BundleError> {
    if bundle.path().join(CHECKSUMS).exists() {
        let changed = bundle
            .verify()?
            .into_iter()
            .find(|finding| !DERIVED.iter().any(|name| finding.starts_with(&format!("{name}: "))));
        if let Some(finding) = changed {
            return Err(BundleError(format!("{}: {finding}", bundle.path().display())));
        }
    }
    let run = Collected::read(bundle)?;
    let summary = conclude(&run);
    bundle.write_json("summary.json", &summary)?;
    let page = page::run(&run, &summary);
    bundle.write("report.md", markdown::render(&page).as_bytes())?;
    bundle.write("report.html", html::render(&page).as_bytes())?;
    bundle.seal()?;
    Ok(summary)
}
