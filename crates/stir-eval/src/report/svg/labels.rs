use super::{Anchor, Canvas, FONT, width};

/// Puts names beside points so that they hide neither each other nor the points.
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

    /// Writes `text` near `(x, y)`: to the right if that is free, else around, else a bit further away.
    pub(crate) fn write(&mut self, canvas: &mut Canvas, (x, y): (f64, f64), class: &str, text: &str) {
        let (wide, gap) = (width(text, FONT), 9.0);
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
        // The first of the cheapest, in the order above.
        let best =
            places.map(|place| (cost(&place), place)).reduce(|best, next| if next.0 < best.0 { next } else { best });
        let Some((_, (to_x, to_y, anchor))) = best else { return };
        self.taken.push(spans((to_x, to_y, anchor)));
        canvas.text((to_x, to_y + 4.5), anchor, &format!("{class} halo"), text);
    }
}

fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let wide = a[2].min(b[2]) - a[0].max(b[0]);
    let high = a[3].min(b[3]) - a[1].max(b[1]);
    wide.max(0.0) * high.max(0.0)
}
