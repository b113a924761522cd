use std::collections::BTreeMap;

use stir_basis::Pair;

use super::{
    format::{WIDTH, percent},
    projection::{Gram, Plane},
};
use crate::{
    grouped::slug,
    svg::{Anchor, Axis, Canvas, Figure, Plot},
};

/// Draws mean states of failures and of successes in two dimensions, joined by the vectors that lead from one to the
/// other: by principal components and by t-SNE. Shown are the best `limit` pairs of the layer that has most, as the
/// states of different layers lie in different places whatever they are.
pub(crate) fn map(label: &str, pairs: &[Pair], limit: usize) -> Vec<Figure> {
    let mut layers: BTreeMap<usize, Vec<&Pair>> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| usable(pair, pairs)) {
        layers.entry(pair.layer).or_default().push(pair);
    }
    let Some((layer, chosen)) = layers.into_iter().rev().max_by_key(|(_, pairs)| pairs.len()) else { return vec![] };
    let total = chosen.len();
    let chosen = &chosen[..total.min(limit)];
    let points: Vec<&[f32]> = chosen.iter().flat_map(|pair| [&pair.mu_minus[..], &pair.mu_plus[..]]).collect();
    let gram = Gram::new(&points);
    let (plane, explained) = gram.principal();
    let shown = match chosen.len() < total {
        true => format!("the best {} of {total} pairs of layer {layer}", chosen.len()),
        false => format!("{total} pairs of layer {layer}"),
    };
    let [first, second] = explained.map(percent);
    let components = format!("Principal components ({first} and {second} % of the variance); {shown}");
    let mut figures = vec![draw(label, "pca", &components, &plane)];
    if let Some(plane) = gram.neighbours(&plane) {
        figures.push(draw(label, "tsne", &format!("t-SNE, started from the principal components; {shown}"), &plane));
    }
    figures
}

/// Returns whether a pair can be drawn: finite numbers, as many as the first pair has.
fn usable(pair: &Pair, pairs: &[Pair]) -> bool {
    let width = pairs[0].mu_minus.len();
    let states = [&pair.mu_minus, &pair.mu_plus];
    states.iter().all(|state| state.len() == width && state.iter().all(|x| x.is_finite()))
}

fn draw(label: &str, kind: &str, what: &str, plane: &Plane) -> Figure {
    let (height, legend) = (WIDTH, 26.0);
    let mut canvas = Canvas::new(WIDTH, height + legend);
    let axis = |k: usize| Axis::bare(plane.iter().map(|point| point[k]));
    let plot = Plot { left: 1.0, top: legend, width: WIDTH - 2.0, height: height - 2.0, x: axis(0), y: axis(1) };
    canvas.rect((plot.left, plot.top), (plot.width, plot.height), "grid", 0.0);
    let at = |[x, y]: [f64; 2]| plot.at(x, y);
    let pairs = || plane.chunks_exact(2).map(|pair| (at(pair[0]), at(pair[1])));
    for (failure, success) in pairs() {
        // Up to the edge of the mark, so that the head shows.
        let (dx, dy) = (success.0 - failure.0, success.1 - failure.1);
        let rest = (1.0 - 5.0 / dx.hypot(dy).max(5.0)).max(0.0);
        canvas.arrow(failure, (failure.0 + rest * dx, failure.1 + rest * dy), "thin axis faint");
    }
    pairs().for_each(|(failure, _)| canvas.circle(failure, 3.2, "hollow sworse"));
    pairs().for_each(|(_, success)| canvas.circle(success, 3.4, "better spaper"));
    canvas.circle((8.0, 10.0), 4.0, "hollow sworse");
    canvas.text((17.0, 14.5), Anchor::Start, "ink", "failures, mean state");
    canvas.circle((168.0, 10.0), 4.2, "better");
    canvas.text((177.0, 14.5), Anchor::Start, "ink", "successes");
    canvas.arrow((262.0, 10.0), (286.0, 10.0), "thin axis");
    canvas.text((293.0, 14.5), Anchor::Start, "ink", "vector");
    Figure {
        name: format!("map-{kind}-{}", slug(label)),
        title: format!("Map of states, {}: {label}", if kind == "pca" { "PCA" } else { "t-SNE" }),
        description: format!("{what}. Every arrow leads from the mean state of failures to that of successes."),
        canvas,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(layer: usize, mu_minus: Vec<f32>) -> Pair {
        let mu_plus = mu_minus.iter().map(|x| x + 1.0).collect();
        Pair { problem: "p".into(), m: 1, layer, quality: 0.5, mu_plus, mu_minus, ..Pair::default() }
    }

    #[test]
    fn the_fullest_layer_is_shown_and_what_is_broken_left_out() {
        let mut pairs: Vec<Pair> = (0..20).map(|i| pair(7, vec![i as f32, (i * i) as f32 * 0.1, 1.0])).collect();
        pairs.extend((0..5).map(|i| pair(3, vec![i as f32, 2.0, 1.0])));
        pairs.push(pair(7, vec![f32::NAN, 0.0, 0.0]));
        pairs.push(pair(7, vec![1.0]));
        let figures = map("sums", &pairs, 500);
        assert_eq!(figures.len(), 2);
        assert!(figures[0].description.contains("20 pairs of layer 7"), "{}", figures[0].description);
        assert!(map("sums", &pairs, 8)[0].description.contains("the best 8 of 20 pairs"));
        assert!(map("sums", &[], 8).is_empty());
        assert_eq!(map("sums", &pairs[..1], 8).len(), 1);
    }
}
