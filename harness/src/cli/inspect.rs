//! `probe`, `report` and `check`: commands that read and describe.

use std::path::Path;

use super::{CheckArgs, Code, Context, Failure, Format, ReportArgs, print, print_json};
use crate::record::matrix::Matrix;
use crate::record::{Bundle, BundleError, Grade, Summary};
use crate::report::{self, check::Subject};

/// `shardmark probe`
pub fn probe(context: Context) -> Result<(), Failure> {
    let probe = crate::environment::probe();
    match context.format {
        Format::Text => print(&probe.text()),
        Format::Json => print(&(serde_json::to_string_pretty(&probe).map_err(Failure::infrastructure)? + "\n")),
    }
}

/// `shardmark report`
pub fn report(context: Context, args: ReportArgs) -> Result<(), Failure> {
    for path in &args.bundles {
        let summaries: Vec<Option<Summary>> = match Matrix::is_at(path) {
            true => report::matrix::write(path).map_err(unusable)?,
            false => vec![Some(Bundle::open(path).and_then(|bundle| report::write(&bundle)).map_err(unusable)?)],
        };
        if args.csv {
            csv(path, &summaries)?;
        }
        match context.format {
            Format::Text => print(&format!("{}\n", path.join("report.html").display()))?,
            Format::Json => summaries.iter().flatten().try_for_each(print_json)?,
        }
    }
    Ok(())
}

fn csv(path: &Path, summaries: &[Option<Summary>]) -> Result<(), Failure> {
    let write = |bundle: &Bundle, summary: &Summary| -> Result<(), BundleError> {
        bundle.write("summary.csv", report::csv::render(summary).as_bytes())?;
        bundle.seal()
    };
    if !Matrix::is_at(path) {
        let bundle = Bundle::open(path).map_err(unusable)?;
        return summaries.iter().flatten().try_for_each(|summary| write(&bundle, summary)).map_err(unusable);
    }
    let matrix = Matrix::read(path).map_err(unusable)?;
    for (row, summary) in matrix.rows.iter().zip(summaries) {
        if let (Some(folder), Some(summary)) = (matrix.bundle(path, row), summary) {
            Bundle::open(&folder).and_then(|bundle| write(&bundle, summary)).map_err(unusable)?;
        }
    }
    Ok(())
}

fn unusable(error: BundleError) -> Failure {
    Failure::usage(error)
}

/// `shardmark check`: one line on stdout for each finding.
pub fn check(context: Context, args: CheckArgs) -> Result<(), Failure> {
    let (mut total, mut code) = (0usize, Code::Ok);
    for path in &args.paths {
        if !path.exists() {
            return Err(Failure::usage(format!("{}: no such file or folder", path.display())));
        }
        let (subject, findings) = report::check::check(path);
        total += findings.len();
        if !findings.is_empty() {
            code = code.max(if subject == Subject::Config { Code::Usage } else { Code::Invalid });
        }
        match context.format {
            Format::Text if findings.is_empty() => print(&format!("{}: ok\n", path.display()))?,
            Format::Text => {
                findings.iter().try_for_each(|finding| print(&format!("{}\n", finding.replace('\n', " "))))?
            }
            Format::Json => {
                print_json(&serde_json::json!({ "path": path.display().to_string(), "findings": findings }))?
            }
        }
    }
    if total > 0 {
        let s = if total == 1 { "" } else { "s" };
        return Err(Failure { code, message: format!("{total} finding{s}") });
    }
    Ok(())
}

/// A grade as a word.
pub fn grade(grade: Grade) -> String {
    match grade {
        Grade::Invalid => "invalid".into(),
        grade => format!("{grade:?}"),
    }
}
