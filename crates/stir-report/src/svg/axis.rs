use super::canvas::{Anchor, Canvas, FONT, width};

/// A range of values and the ticks on it.
#[derive(Clone)]
pub(crate) struct Axis {
    pub(crate) label: String,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
    logarithmic: bool,
}

impl Axis {
    /// Returns an axis with about `count` round ticks that holds all of `values`; those not finite are passed over.
    pub(crate) fn holding(label: &str, values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let (low, high) = range(values);
        let step = nice((high - low).max(f64::MIN_POSITIVE) / count as f64);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let ticks = (0..=(last - first) as usize).map(|i| (first + i as f64) * step);
        Self {
            label: label.to_owned(),
            low: first * step,
            high: last * step,
            ticks: ticks.map(|tick| (tick, number(tick, decimals))).collect(),
            logarithmic: false,
        }
    }

    /// Works like [`holding`](Self::holding), but on a logarithmic scale where positive values differ by more than a
    /// factor of 5.
    pub(crate) fn wide(label: &str, values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let (low, high) = range(values.iter().copied());
        if low <= 0.0 || high <= 5.0 * low {
            return Self::holding(label, values, count);
        }
        let round = |decade: i32| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade));
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let all: Vec<f64> = decades.flat_map(round).collect();
        let first = all.iter().rposition(|&tick| tick <= low).unwrap_or(0);
        let last = all.iter().position(|&tick| tick >= high).unwrap_or(all.len() - 1);
        let ticks = all[first..=last].iter().map(|&tick| (tick, number(tick, if tick < 1.0 { 2 } else { 0 })));
        let label = format!("{label} (log scale)");
        Self { label, low: all[first], high: all[last], ticks: ticks.collect(), logarithmic: true }
    }

    /// Returns an axis with ticks at `values` and nowhere else.
    pub(crate) fn at(label: &str, values: &[(f64, String)]) -> Self {
        let (low, high) = range(values.iter().map(|(value, _)| *value));
        let margin = 0.06 * (high - low);
        Self {
            label: label.to_owned(),
            low: low - margin,
            high: high + margin,
            ticks: values.to_vec(),
            logarithmic: false,
        }
    }

    /// Returns a scale without ticks and with a little air.
    pub(crate) fn bare(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        let margin = 0.05 * (high - low);
        Self { label: String::new(), low: low - margin, high: high + margin, ticks: vec![], logarithmic: false }
    }

    pub(crate) fn high(&self) -> f64 {
        self.high
    }

    /// Returns where `value` lies: 0 at the low end, 1 at the high one.
    fn part(&self, value: f64) -> f64 {
        let scaled = |value: f64| if self.logarithmic { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let part = (scaled(value) - scaled(self.low)) / (scaled(self.high) - scaled(self.low));
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Returns the least and the greatest of the finite values, apart from each other; 0 and 1 where there are none.
fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    // What is finite by a hair has differences that are not.
    let finite = values.into_iter().filter(|value| value.abs() < 1e300);
    let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    match high - low {
        d if d < 0.0 => (0.0, 1.0),
        d if d <= 1e-9 * high.abs() => (low - 0.5, high + 0.5),
        _ => (low, high),
    }
}

/// Returns the smallest of 1, 2, 5, 10, .. that is at least `step`.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|&nice| nice >= step * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// Returns a number with commas between thousands.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, part)| (whole, Some(part)));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = text.chars().all(|c| c == '0' || c == '.');
    let sign = if value < 0.0 && !is_zero { "\u{2212}" } else { "" };
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

/// A rectangle of a canvas with two axes.
pub(crate) struct Plot {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Plot {
    /// Returns the plot that fills the canvas between `top` and `bottom`, with room for the axes' numbers and labels.
    pub(crate) fn within(canvas: &Canvas, (top, bottom): (f64, f64), x: Axis, y: Axis) -> Self {
        let numbers = y.ticks.iter().map(|(_, text)| width(text, FONT)).fold(0.0, f64::max);
        let left = if y.ticks.is_empty() { 10.0 } else { numbers + 12.0 };
        let right = x.ticks.last().map_or(10.0, |(_, text)| (width(text, FONT) / 2.0).max(12.0));
        let above = if y.label.is_empty() { 8.0 } else { 24.0 };
        let below = if x.ticks.is_empty() { 8.0 } else { 20.0 } + if x.label.is_empty() { 0.0 } else { 20.0 };
        let height = bottom - top - above - below;
        Self { left, top: top + above, width: canvas.width - left - right, height, x, y }
    }

    pub(crate) fn x(&self, value: f64) -> f64 {
        self.left + self.x.part(value) * self.width
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        self.top + (1.0 - self.y.part(value)) * self.height
    }

    pub(crate) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x(x), self.y(y))
    }

    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Draws horizontal grid lines, ticks with their numbers, and the labels: the vertical axis' above it, where it
    /// reads without turning one's head.
    pub(crate) fn draw(&self, canvas: &mut Canvas) {
        for (value, text) in &self.y.ticks {
            let y = self.y(*value);
            canvas.line((self.left, y), (self.right(), y), "grid");
            canvas.text((self.left - 7.0, y + 4.5), Anchor::End, "muted", text);
        }
        if !self.x.ticks.is_empty() {
            canvas.line((self.left, self.bottom()), (self.right(), self.bottom()), "axis");
        }
        let mut free_from = f64::MIN;
        for (value, text) in &self.x.ticks {
            let (x, half) = (self.x(*value), width(text, FONT) / 2.0);
            canvas.line((x, self.bottom()), (x, self.bottom() + 4.0), "axis");
            if x - half >= free_from {
                canvas.text((x, self.bottom() + 18.0), Anchor::Middle, "muted", text);
                free_from = x + half + 4.0;
            }
        }
        if !self.x.label.is_empty() {
            canvas.text((self.right(), self.bottom() + 37.0), Anchor::End, "ink", &self.x.label);
        }
        if !self.y.label.is_empty() {
            canvas.text((0.0, self.top - 11.0), Anchor::Start, "ink", &self.y.label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        assert_eq!(texts(&Axis::holding("", [3.0, 97.0], 5)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(texts(&Axis::holding("", [-0.12, 0.31], 4)), ["\u{2212}0.2", "0.0", "0.2", "0.4"]);
        assert_eq!(texts(&Axis::holding("", [9_000.0, 31_000.0], 4)), ["0", "10,000", "20,000", "30,000", "40,000"]);
        assert_eq!(texts(&Axis::wide("", [30.0, 900.0], 4)), ["20", "50", "100", "200", "500", "1,000"]);
        assert_eq!(texts(&Axis::wide("", [0.0, 900.0], 3)), ["0", "500", "1,000"]);
    }

    #[test]
    fn any_values_make_an_axis() {
        for values in [vec![], vec![f64::NAN], vec![f64::INFINITY, f64::NEG_INFINITY], vec![5.0], vec![0.0, 0.0]] {
            for axis in [Axis::holding("", values.clone(), 5), Axis::wide("", values.clone(), 5), Axis::bare(values)] {
                assert!(axis.low < axis.high && axis.ticks.len() < 20, "{:?}", texts(&axis));
                assert!((0.0..=1.0).contains(&axis.part(f64::NAN)) && (0.0..=1.0).contains(&axis.part(1e300)));
            }
        }
        let extreme = Axis::holding("", [-1e300, 1e300], 5);
        assert!(extreme.ticks.len() < 20 && extreme.low.is_finite());
    }
}
