use std::fmt::Write;

/// The number of colours for methods; the first is that of the baseline.
pub(crate) const COLOURS: usize = 8;

/// The colours of a theme. Methods keep 4.5:1 to the background, as their names are written in them, and stay apart for
/// the common kinds of colour blindness (after Okabe and Ito 2008, made darker for white and lighter for black).
struct Theme {
    paper: &'static str,
    ink: &'static str,
    muted: &'static str,
    grid: &'static str,
    /// Better and worse than the baseline.
    better: &'static str,
    worse: &'static str,
    methods: [&'static str; COLOURS],
}

const LIGHT: Theme = Theme {
    paper: "#ffffff",
    ink: "#1c2128",
    muted: "#57606a",
    grid: "#e4e7eb",
    better: "#0a6bb5",
    worse: "#c2480b",
    methods: ["#5b6470", "#0a6bb5", "#c2480b", "#087f5b", "#9b3a86", "#856404", "#3f51b5", "#a61e4d"],
};

const DARK: Theme = Theme {
    paper: "#14181d",
    ink: "#e8ebee",
    muted: "#a3adb8",
    grid: "#2c333b",
    better: "#5cb3f0",
    worse: "#ff9d5c",
    methods: ["#a9b2bc", "#5cb3f0", "#ff9d5c", "#4fd1a1", "#e79bd3", "#e3c04d", "#9fb0ff", "#ff8fb0"],
};

/// Returns the style sheet of figures: light, and dark where the reader prefers that.
pub(crate) fn style() -> String {
    let shapes = "\
.figure{font:13px/1.2 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif}\
.figure .grid,.figure .axis,.figure .rule,.figure .front,.figure .lead,.figure .thin,.figure .thick,.figure .dots{fill:none}\
.figure .grid,.figure .axis,.figure .rule{stroke-width:1}\
.figure .thin{stroke-width:1.25}\
.figure .front{stroke-width:4;stroke-linejoin:round;opacity:.3}\
.figure .thick{stroke-width:2;stroke-linejoin:round}\
.figure .dots{stroke-width:1.25;stroke-dasharray:2 3}\
.figure .faint{opacity:.55}\
.figure .hollow{stroke-width:1.5}\
.figure .small{font-size:11.5px}\
.figure .strong{font-weight:600}";
    format!("{shapes}{}@media(prefers-color-scheme:dark){{{}}}", colours(&LIGHT), colours(&DARK))
}

fn colours(theme: &Theme) -> String {
    let Theme { paper, ink, muted, grid, better, worse, methods } = theme;
    let mut css = format!(
        ".figure .paper,.figure .hollow{{fill:{paper}}}.figure .halo{{stroke:{paper};stroke-width:3;paint-order:stroke}}\
         .figure .ink{{fill:{ink}}}.figure .muted{{fill:{muted}}}.figure .grid{{stroke:{grid}}}\
         .figure .axis,.figure .front{{stroke:{muted}}}.figure .rule{{stroke:{ink}}}\
         .figure .better{{fill:{better}}}.figure .worse{{fill:{worse}}}\
         .figure .sbetter{{stroke:{better}}}.figure .sworse{{stroke:{worse}}}.figure .spaper{{stroke:{paper}}}"
    );
    for (index, colour) in methods.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(css, ".figure .f{index}{{fill:{colour}}}.figure .s{index}{{stroke:{colour}}}");
        let _ = write!(css, ".chip{index}{{background:{colour}}}");
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the relative luminance of `#rrggbb` (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn what_is_written_can_be_read() {
        for theme in [LIGHT, DARK] {
            let written = theme.methods.into_iter().chain([theme.ink, theme.muted, theme.better, theme.worse]);
            for colour in written {
                assert!(contrast(colour, theme.paper) >= 4.5, "{colour} on {}", theme.paper);
            }
        }
        assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 1e-9);
    }
}
