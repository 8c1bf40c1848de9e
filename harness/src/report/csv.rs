//! A summary as CSV in long form, `table,row,metric,value`: loads anywhere, and new metrics add lines, not columns.

use std::fmt::Write;

use serde_json::Value;

use crate::record::Summary;

/// Every number, word and truth value of a summary. Unknown values are empty.
pub fn render(summary: &Summary) -> String {
    let mut out = String::from("table,row,metric,value\n");
    let Ok(Value::Object(fields)) = serde_json::to_value(summary) else { return out };
    for (name, value) in &fields {
        match value {
            Value::Array(rows) => {
                for (i, row) in rows.iter().enumerate() {
                    flatten(name, &label(row, i), "", row, &mut out);
                }
            }
            Value::Object(_) => flatten(name, "", "", value, &mut out),
            scalar => line("run", "", name, scalar, &mut out),
        }
    }
    out
}

/// A row's own name, where it has one, behind its number.
fn label(row: &Value, index: usize) -> String {
    let name = ["phase", "kernel", "node"].into_iter().find_map(|key| row[key].as_str());
    name.map_or_else(|| index.to_string(), |name| format!("{index} {name}"))
}

fn flatten(table: &str, row: &str, prefix: &str, value: &Value, out: &mut String) {
    let under = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(table, row, &under(key), value, out)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(i, value)| flatten(table, row, &under(&i.to_string()), value, out));
        }
        scalar => line(table, row, prefix, scalar, out),
    }
}

fn line(table: &str, row: &str, metric: &str, value: &Value, out: &mut String) {
    let value = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let _ = writeln!(out, "{},{},{},{}", cell(table), cell(row), cell(metric), cell(&value));
}

/// RFC 4180; and no cell that a spreadsheet would take for a formula.
fn cell(text: &str) -> String {
    let text = match text.chars().next() {
        Some('=' | '+' | '@') => format!("'{text}"),
        _ => text.to_owned(),
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        assert_eq!([cell("a,b"), cell("a\"b"), cell("=1"), cell("-1")], ["\"a,b\"", "\"a\"\"b\"", "'=1", "-1"]);
    }

    #[test]
    fn nested_values_become_one_line_each() {
        let mut out = String::new();
        flatten("t", "r", "", &serde_json::json!({ "a": { "b": 1, "c": null }, "d": [true, "x,y"] }), &mut out);
        assert_eq!(out, "t,r,a.b,1\nt,r,a.c,\nt,r,d.0,true\nt,r,d.1,\"x,y\"\n");
    }
}
