//! A page as one HTML file: no script, no network, light and dark, prints well.

use std::fmt::Write;

use super::page::{Page, Part, Table};
use super::svg;
use crate::record::Grade;

const STYLE: &str = include_str!("style.css");

/// The whole document.
pub fn render(page: &Page) -> String {
    let mut out = String::new();
    let title = escape(&page.title);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · shardmark</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<p class=\"brand\">shardmark</p>\n<h1>{title}</h1>\n"
    );
    if let Some((grade, meaning)) = page.grade {
        let (class, word) = match grade {
            Grade::A => ("a", "Grade A"),
            Grade::B => ("b", "Grade B"),
            Grade::C => ("c", "Grade C"),
            Grade::Invalid => ("invalid", "Invalid"),
        };
        let _ = writeln!(out, "<p class=\"grade {class}\"><strong>{word}</strong> {}</p>", escape(meaning));
    }
    let _ = writeln!(out, "<p class=\"verdict\">{}</p>", escape(&page.verdict));
    if !page.figures.is_empty() {
        out.push_str("<dl class=\"figures\">\n");
        for (label, value) in &page.figures {
            let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(label), escape(value));
        }
        out.push_str("</dl>\n");
    }
    out.push_str("</header>\n");
    for section in &page.sections {
        let _ = writeln!(out, "<section>\n<h2>{}</h2>", escape(&section.heading));
        for part in &section.parts {
            self::part(part, &mut out);
        }
        out.push_str("</section>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn part(part: &Part, out: &mut String) {
    match part {
        Part::Text(text) => {
            let _ = writeln!(out, "<p>{}</p>", escape(text));
        }
        Part::List(items) => {
            out.push_str("<ul>\n");
            for item in items {
                let _ = writeln!(out, "<li>{}</li>", escape(item));
            }
            out.push_str("</ul>\n");
        }
        Part::Code(code) => {
            let _ = writeln!(out, "<pre><code>{}</code></pre>", escape(code));
        }
        Part::Table(rows) => table(rows, out),
        Part::Drawing(drawing, rows) => {
            let _ = writeln!(out, "<figure>\n{}</figure>", svg::render(drawing));
            if !rows.rows.is_empty() {
                out.push_str("<details>\n<summary>as a table</summary>\n");
                table(rows, out);
                out.push_str("</details>\n");
            }
        }
    }
}

fn table(table: &Table, out: &mut String) {
    let wide = if table.columns.len() > 9 { " class=\"wide\"" } else { "" };
    let _ = writeln!(out, "<div class=\"scroll\"><table{wide}>");
    let class = |i: usize| if table.words.contains(&i) { "" } else { " class=\"n\"" };
    if table.columns.iter().any(|column| !column.is_empty()) {
        out.push_str("<thead><tr>");
        for (i, column) in table.columns.iter().enumerate() {
            let _ = write!(out, "<th{}>{}</th>", class(i), escape(column));
        }
        out.push_str("</tr></thead>\n");
    }
    out.push_str("<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (i, cell) in row.iter().enumerate() {
            let tag = if i == 0 { "th scope=\"row\"" } else { "td" };
            let end = if i == 0 { "th" } else { "td" };
            let _ = write!(out, "<{tag}{}>{}</{end}>", class(i), escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
}

/// Text as it may stand in an element or an attribute.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::Section;

    #[test]
    fn what_a_node_wrote_cannot_become_markup() {
        let evil = "</style><script>alert(1)</script>".to_owned();
        let mut table = Table::new(&["a"], 0..1);
        table.row([evil.clone()]);
        let parts = vec![
            Part::Text(evil.clone()),
            Part::List(vec![evil.clone()]),
            Part::Code(evil.clone()),
            Part::Table(table.clone()),
            Part::Drawing(svg::Drawing { title: evil.clone(), ..Default::default() }, table),
        ];
        let page = Page {
            title: evil.clone(),
            verdict: evil.clone(),
            figures: vec![(evil.clone(), evil.clone())],
            sections: vec![Section { heading: evil, parts }],
            grade: None,
        };
        let html = render(&page);
        assert!(!html.contains("<script"));
        assert_eq!(html.matches("</style>").count(), 1);
        assert!(!html.contains("http"), "the page is offline");
    }
}
