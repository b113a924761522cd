use super::canvas::{Anchor, Canvas, FONT, width};

/// Puts names next to points so that they hide neither each other nor the points.
pub(crate) struct Labels {
    /// Left, top, right and bottom of what is taken.
    taken: Vec<[f64; 4]>,
    bounds: [f64; 4],
}

impl Labels {
    pub(crate) fn new(bounds: [f64; 4]) -> Self {
        Self { taken: vec![], bounds }
    }

    /// Keeps names away from around `(x, y)`.
    pub(crate) fn keep_clear(&mut self, (x, y): (f64, f64), dx: f64, dy: f64) {
        self.taken.push([x - dx, y - dy, x + dx, y + dy]);
    }

    /// Keeps names away from a line from point to point.
    pub(crate) fn keep_clear_along(&mut self, points: &[(f64, f64)]) {
        const PARTS: usize = 16;
        for pair in points.windows(2) {
            let part = |i: usize, from: f64, to: f64| from + (to - from) * i as f64 / PARTS as f64;
            for i in 0..=PARTS {
                self.keep_clear((part(i, pair[0].0, pair[1].0), part(i, pair[0].1, pair[1].1)), 3.0, 3.0);
            }
        }
    }

    /// Writes `text` above or below the level line at `y`, where that is free.
    pub(crate) fn write_along(&mut self, canvas: &mut Canvas, y: f64, class: &str, text: &str) {
        let [left, _, right, _] = self.bounds;
        let room = (right - left - width(text, FONT) - 8.0).max(0.0);
        let places = (0..=12).flat_map(|i| {
            let x = left + 4.0 + room * f64::from(i) / 12.0;
            [(x, y - 10.0, Anchor::Start), (x, y + 11.0, Anchor::Start)]
        });
        self.put(canvas, places, class, text);
    }

    /// Writes `text` near `(x, y)`: to the right if that is free, else around, else a bit further away.
    pub(crate) fn write(&mut self, canvas: &mut Canvas, (x, y): (f64, f64), class: &str, text: &str) {
        let gap = 9.0;
        let places = [1.0, 1.9, 3.0, 4.2].into_iter().flat_map(|far| {
            let rise = 9.0 * far;
            [
                (x + gap, y - 9.0 * (far - 1.0), Anchor::Start),
                (x + gap, y + 9.0 * (far - 1.0), Anchor::Start),
                (x - gap, y - 9.0 * (far - 1.0), Anchor::End),
                (x - gap, y + 9.0 * (far - 1.0), Anchor::End),
                (x + gap, y - rise, Anchor::Start),
                (x + gap, y + rise, Anchor::Start),
                (x, y - rise - 4.0, Anchor::Middle),
                (x, y + rise + 4.0, Anchor::Middle),
            ]
        });
        if let Some((to_x, to_y)) = self.put(canvas, places, class, text)
            && (to_y - y).abs() > 16.0
        {
            // Far from its point: a line says whose name it is.
            let end = if to_y < y { to_y + 8.0 } else { to_y - 8.0 };
            canvas.line((x, y), (to_x.clamp(x - gap, x + gap), end), "lead axis");
        }
    }

    /// Writes `text` at the place that hides least, the first of several.
    fn put(
        &mut self,
        canvas: &mut Canvas,
        places: impl Iterator<Item = (f64, f64, Anchor)>,
        class: &str,
        text: &str,
    ) -> Option<(f64, f64)> {
        let wide = width(text, FONT);
        let spans = |(x, y, anchor): (f64, f64, Anchor)| {
            let left = match anchor {
                Anchor::Start => x,
                Anchor::Middle => x - wide / 2.0,
                Anchor::End => x - wide,
            };
            [left, y - 8.0, left + wide, y + 8.0]
        };
        let [left, top, right, bottom] = self.bounds;
        let cost = |place: &(f64, f64, Anchor)| {
            let [l, t, r, b] = spans(*place);
            let outside = (left - l).max(0.0) + (top - t).max(0.0) + (r - right).max(0.0) + (b - bottom).max(0.0);
            let hidden: f64 = self.taken.iter().map(|o| overlap([l, t, r, b], *o)).sum();
            200.0 * outside + hidden
        };
        let best =
            places.map(|place| (cost(&place), place)).reduce(|best, next| if next.0 < best.0 { next } else { best });
        let (_, (x, y, anchor)) = best?;
        self.taken.push(spans((x, y, anchor)));
        canvas.text((x, y + 4.5), anchor, &format!("{class} halo"), text);
        Some((x, y))
    }
}

fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let wide = a[2].min(b[2]) - a[0].max(b[0]);
    let high = a[3].min(b[3]) - a[1].max(b[1]);
    wide.max(0.0) * high.max(0.0)
}
