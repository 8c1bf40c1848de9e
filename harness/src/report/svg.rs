//! Bars as inline SVG: prints, needs no script, takes its colours from the page.

use std::fmt::Write;

use super::html::escape;

/// Horizontal bars below one another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    /// What it shows, for those who cannot see it.
    pub title: String,
    /// Meaning of the filled and of the light part.
    pub legend: Option<(String, String)>,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bar {
    /// Left of it.
    pub label: String,
    /// Where it starts, 0 to 1.
    pub start: f64,
    /// How long it is, 0 to 1.
    pub length: f64,
    /// The part of it that is filled, 0 to 1.
    pub filled: f64,
    /// Right of it.
    pub value: String,
    /// Shown when pointed at.
    pub note: String,
}

const WIDTH: f64 = 760.0;
/// Room for labels; longer ones take what they need.
const LABEL: f64 = 170.0;
/// Width of a character of a label, on average, at the page's size of letters.
const LETTER: f64 = 6.6;
const VALUE: f64 = 130.0;
const ROW: f64 = 24.0;
const THICK: f64 = 14.0;

/// The drawing as an `svg` element.
pub fn render(drawing: &Drawing) -> String {
    let longest = drawing.bars.iter().map(|bar| bar.label.chars().count().min(40)).max().unwrap_or(0);
    let label = LABEL.max(LETTER * longest as f64 + 10.0);
    let span = WIDTH - label - VALUE;
    let height = ROW * drawing.bars.len() as f64 + if drawing.legend.is_some() { ROW } else { 0.0 };
    let mut out = String::new();
    let title = escape(&drawing.title);
    let _ = writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">");
    let _ = writeln!(out, "<title>{title}</title>");
    for (i, bar) in drawing.bars.iter().enumerate() {
        let y = ROW * i as f64;
        let clamp = |value: f64| if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
        let start = label + span * clamp(bar.start);
        // A hairline shows that something is there.
        let length = (span * clamp(bar.length)).max(1.0).min(label + span - start + 1.0);
        let (text_y, bar_y) = (y + 16.0, y + (ROW - THICK) / 2.0);
        let _ = writeln!(
            out,
            "<g><text class=\"label\" x=\"{}\" y=\"{text_y}\">{}</text>",
            label - 10.0,
            escape(&bar.label)
        );
        let rect = |class: &str, length: f64| {
            format!(
                "<rect class=\"{class}\" x=\"{start:.1}\" y=\"{bar_y}\" width=\"{length:.1}\" height=\"{THICK}\" rx=\"2\"/>"
            )
        };
        let _ = write!(out, "{}", rect("bar", length));
        if bar.filled > 0.0 {
            let _ = write!(out, "{}", rect("fill", (length * clamp(bar.filled)).max(1.0)));
        }
        if !bar.note.is_empty() {
            let _ = write!(out, "<title>{}</title>", escape(&bar.note));
        }
        let _ = writeln!(out, "<text class=\"value\" x=\"{WIDTH}\" y=\"{text_y}\">{}</text></g>", escape(&bar.value));
    }
    if let Some((filled, light)) = &drawing.legend {
        let y = ROW * drawing.bars.len() as f64;
        let text_y = y + 18.0;
        let box_y = y + 8.0;
        let (second, x) = (label + 250.0, label);
        let _ = writeln!(
            out,
            "<rect class=\"fill\" x=\"{x}\" y=\"{box_y}\" width=\"12\" height=\"12\" rx=\"2\"/>\
             <text class=\"legend\" x=\"{}\" y=\"{text_y}\">{}</text>\
             <rect class=\"bar\" x=\"{second}\" y=\"{box_y}\" width=\"12\" height=\"12\" rx=\"2\"/>\
             <text class=\"legend\" x=\"{}\" y=\"{text_y}\">{}</text>",
            x + 18.0,
            escape(filled),
            second + 18.0,
            escape(light)
        );
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_labels_and_lengths_stay_inside_the_drawing() {
        let bar = Bar {
            label: "<script>".into(),
            start: 0.9,
            length: f64::INFINITY,
            filled: 7.0,
            value: "&".into(),
            note: "\"".into(),
        };
        let svg = render(&Drawing { title: "a\"b".into(), legend: None, bars: vec![bar] });
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;") && svg.contains("a&quot;b"));
        assert!(!svg.contains("inf") && !svg.contains("NaN"));
    }
}
