//! A page as Markdown: what a terminal or a code host shows.

use std::fmt::Write;

use super::page::{Page, Part, Table};
use crate::record::Grade;

/// The whole document.
pub fn render(page: &Page) -> String {
    let mut out = format!("# {}\n\n", inline(&page.title));
    if let Some((grade, meaning)) = page.grade {
        let _ = match grade {
            Grade::Invalid => writeln!(out, "**Invalid**: {meaning}\n"),
            grade => writeln!(out, "**Grade {grade:?}**: {meaning}\n"),
        };
    }
    let _ = writeln!(out, "{}", inline(&page.verdict));
    for section in &page.sections {
        let _ = writeln!(out, "\n## {}", inline(&section.heading));
        for part in &section.parts {
            out.push('\n');
            match part {
                Part::Text(text) => {
                    let _ = writeln!(out, "{}", inline(text));
                }
                Part::List(items) => {
                    for item in items {
                        let _ = writeln!(out, "- {}", inline(item));
                    }
                }
                Part::Code(code) => {
                    let _ = writeln!(out, "```console\n{}\n```", code.replace("```", "'''"));
                }
                Part::Table(rows) => table(rows, &mut out),
                Part::Drawing(drawing, rows) if rows.rows.is_empty() => {
                    let _ = writeln!(out, "{}:", inline(&drawing.title));
                    for bar in &drawing.bars {
                        let _ = writeln!(out, "- {}: {}", inline(&bar.label), inline(&bar.value));
                    }
                }
                Part::Drawing(drawing, rows) => {
                    let _ = writeln!(out, "{}:\n", inline(&drawing.title));
                    table(rows, &mut out);
                }
            }
        }
    }
    out
}

fn table(table: &Table, out: &mut String) {
    let row = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    out.push_str(&row(&mut table.columns.iter().map(|cell| inline(cell))));
    out.push_str(&row(&mut (0..table.columns.len())
        .map(|i| if table.words.contains(&i) { "---".to_owned() } else { "--:".to_owned() })));
    for cells in &table.rows {
        out.push_str(&row(&mut cells.iter().map(|cell| inline(cell))));
    }
}

/// Text that cannot end a cell or a line, or become markup.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '<' | '*' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_one_cell() {
        let mut rows = Table::new(&["a", "b"], 0..1);
        rows.row(["x|y\nz".to_owned(), "<b>".to_owned()]);
        let mut out = String::new();
        table(&rows, &mut out);
        assert_eq!(out, "| a | b |\n| --- | --: |\n| x\\|y z | \\<b> |\n");
    }
}
