//! Figures and their shapes.

use std::fmt::Write;

use super::style::style;

/// The average width of a letter as a share of its size, measured on common sans-serif fonts and slightly generous.
const LETTER: f64 = 0.56;
/// The size of the letters in units of the figure.
pub(crate) const FONT: f64 = 13.0;

/// A figure, with a description in words for readers who cannot see it.
#[derive(Debug)]
pub(crate) struct Figure {
    /// Name of its file, without the ending; unique in a report.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) canvas: Canvas,
}

impl Figure {
    /// Returns the figure for a page that has the [`style`].
    pub(crate) fn inline(&self) -> String {
        self.render("", "")
    }

    /// Returns the figure as a file of its own.
    pub(crate) fn standalone(&self) -> String {
        let background = format!("<style>{}</style><rect class=\"paper\" width=\"100%\" height=\"100%\"/>", style());
        format!("{}\n", self.render(" xmlns=\"http://www.w3.org/2000/svg\"", &background))
    }

    fn render(&self, namespace: &str, background: &str) -> String {
        let Self { name, title, description, canvas: Canvas { width, height, body } } = self;
        let (title, description) = (escape(title), escape(description));
        format!(
            "<svg{namespace} class=\"figure\" role=\"img\" aria-labelledby=\"{name}-t\" aria-describedby=\"{name}-d\" \
             width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\"><title id=\"{name}-t\">{title}</title>\
             <desc id=\"{name}-d\">{description}</desc>{background}{body}</svg>"
        )
    }
}

/// Shapes in the order in which they are drawn.
#[derive(Debug)]
pub(crate) struct Canvas {
    pub(crate) width: f64,
    pub(crate) height: f64,
    body: String,
}

/// The end of a text that is at its position.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

// Writing to a string cannot fail, so the results of `write!` carry nothing.
impl Canvas {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height: height.ceil(), body: String::new() }
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let (x1, y1, x2, y2) = (short(from.0), short(from.1), short(to.0), short(to.1));
        let _ = write!(self.body, "<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>");
    }

    pub(crate) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points.iter().map(|&(x, y)| format!("{} {}", short(x), short(y))).collect();
        let _ = write!(self.body, "<path class=\"{class}\" d=\"M{}\"/>", points.join("L"));
    }

    pub(crate) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str, opacity: f64) {
        let (x, y, width, height) = (short(x), short(y), short(width), short(height));
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{}/>",
            if opacity < 1.0 { format!(" fill-opacity=\"{opacity:.2}\"") } else { String::new() }
        );
    }

    pub(crate) fn circle(&mut self, (x, y): (f64, f64), r: f64, class: &str) {
        let (x, y, r) = (short(x), short(y), short(r));
        let _ = write!(self.body, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>");
    }

    /// Draws one of several shapes of equal weight, so that colour is not all that tells methods apart.
    pub(crate) fn marker(&mut self, shape: usize, (x, y): (f64, f64), r: f64, class: &str) {
        let corners: &[(f64, f64)] = match shape % 6 {
            0 => return self.circle((x, y), r, class),
            1 => &[(-0.89, -0.89), (0.89, -0.89), (0.89, 0.89), (-0.89, 0.89)],
            2 => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            3 => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            4 => &[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
            _ => &[(0.0, -1.1), (1.05, -0.34), (0.65, 0.9), (-0.65, 0.9), (-1.05, -0.34)],
        };
        let points: Vec<String> =
            corners.iter().map(|(dx, dy)| format!("{} {}", short(x + r * dx), short(y + r * dy))).collect();
        let _ = write!(self.body, "<path class=\"{class}\" d=\"M{}Z\"/>", points.join("L"));
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y, text) = (short(x), short(y), escape(text));
        let _ = write!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>");
    }

    /// An arrow, its head a short triangle.
    pub(crate) fn arrow(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.line(from, to, class);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        if length < 6.0 {
            return;
        }
        let (ux, uy) = (4.5 * dx / length, 4.5 * dy / length);
        let wing = |side: f64| (to.0 - ux - side * 0.45 * uy, to.1 - uy + side * 0.45 * ux);
        self.polyline(&[wing(1.0), to, wing(-1.0)], class);
    }
}

/// Escapes text for XML and HTML. Characters that XML forbids become U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\x1f' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Returns the width of `text` in letters of `size`, roughly; letters outside ASCII may be twice as wide.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| if c.is_ascii() { LETTER } else { 2.0 * LETTER }).sum::<f64>() * size
}

/// Returns `text`, cut to what fits in `room`.
pub(crate) fn fit(text: &str, room: f64, size: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        cut.push(character);
        if width(&cut, size) + LETTER * size > room {
            cut.pop();
            break;
        }
    }
    cut + "\u{2026}"
}

/// Returns a coordinate with one decimal, where it has one.
fn short(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0 + 0.0; // no -0
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(title: &str) -> Figure {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.text((1.0, 2.0), Anchor::End, "ink", title);
        canvas.marker(3, (-0.01, 4.0), 2.0, "f1");
        Figure { name: "one".into(), title: title.into(), description: "A point.".into(), canvas }
    }

    #[test]
    fn text_cannot_leave_its_place() {
        let svg = figure("<script>alert('&\0\u{ffff}\"')</script>").standalone();
        assert!(svg.contains("&lt;script&gt;alert(&#39;&amp;\u{fffd}\u{fffd}&quot;&#39;)&lt;/script&gt;"), "{svg}");
        assert!(!svg.contains("<script>") && !svg.contains('\0'));
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, -0.01, 2.349, 1e6].map(short), ["1", "0", "2.3", "1000000"]);
        assert_eq!(fit("a long name of a method", 60.0, 10.0), "a long na\u{2026}");
        assert_eq!(fit("short", 60.0, 10.0), "short");
    }

    #[test]
    fn figures_name_themselves() {
        let svg = figure("Points").inline();
        assert!(svg.starts_with("<svg class=\"figure\" role=\"img\" aria-labelledby=\"one-t\""), "{svg}");
        assert!(svg.contains("<title id=\"one-t\">Points</title><desc id=\"one-d\">A point.</desc>"), "{svg}");
        assert!(!svg.contains("<style>"));
    }
}
