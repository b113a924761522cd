use super::format::{WIDTH, percent};
use crate::{
    grouped::{Block, GroupedRuns, slug},
    seeds::Group,
    svg::{Anchor, Axis, Canvas, Figure, Plot, fit, number, width},
};

/// Height of a method's histogram.
const ROW: f64 = 70.0;
/// Bins, about.
const BINS: usize = 30;

/// Draws how long the answers are: a histogram a method, that of the baseline drawn behind; one figure a block.
pub(crate) fn lengths(runs: &GroupedRuns<'_>) -> Vec<Figure> {
    runs.blocks.iter().map(|block| one(runs, block)).collect()
}

fn one(runs: &GroupedRuns<'_>, block: &Block<'_>) -> Figure {
    let rows: Vec<(Vec<usize>, _)> = block.shown().map(|(group, summary)| (tokens(group), summary)).collect();
    let longest = rows.iter().flat_map(|(tokens, _)| tokens).max().copied().unwrap_or(0);
    let bin = bin_width(longest);
    let counts: Vec<Vec<f64>> = rows.iter().map(|(tokens, _)| shares(tokens, bin, longest)).collect();
    let highest = counts.iter().flatten().copied().fold(0.0, f64::max);
    let height = ROW * rows.len() as f64 + 50.0;
    let mut canvas = Canvas::new(WIDTH, height);
    let plot = Plot {
        left: 8.0,
        top: 6.0,
        width: WIDTH - 32.0,
        height: ROW * rows.len() as f64,
        x: Axis::holding("tokens per answer", [0.0, longest as f64 + 1.0], 5),
        y: Axis::bare([0.0, 1.0]),
    };
    plot.draw(&mut canvas);
    for (row, ((_, summary), shares)) in rows.iter().zip(&counts).enumerate() {
        let base = plot.top + ROW * (row + 1) as f64;
        let edge = |i: usize| plot.x(i as f64 * bin as f64);
        let outline = |shares: &[f64]| -> Vec<(f64, f64)> {
            let rise = |share: f64| base - (ROW - 24.0) * share / highest.max(f64::MIN_POSITIVE);
            let step = |(i, &share): (usize, &f64)| [(edge(i), rise(share)), (edge(i + 1), rise(share))];
            let ends = [(edge(0), base), (edge(shares.len()), base)];
            std::iter::once(ends[0]).chain(shares.iter().enumerate().flat_map(step)).chain([ends[1]]).collect()
        };
        let colour = runs.look(&summary.method).colour;
        canvas.polyline(&outline(shares), &format!("f{colour} faint"));
        if row > 0 {
            canvas.polyline(&outline(&counts[0]), "thin s0");
        }
        canvas.line((plot.left, base), (plot.right(), base), "axis");
        let mean = plot.x(summary.tokens);
        canvas.line((mean, base), (mean, base - ROW + 22.0), &format!("thick s{colour}"));
        let cut =
            if summary.cut_off > 0.0 { format!(", {} % cut off", percent(summary.cut_off)) } else { String::new() };
        let facts = format!("mean {}{cut}", number(summary.tokens, 0));
        canvas.text((plot.right(), base - ROW + 18.0), Anchor::End, "muted", &facts);
        let name = fit(&summary.name, WIDTH - 40.0 - width(&facts, 13.0), 13.0);
        canvas.text((plot.left, base - ROW + 18.0), Anchor::Start, &format!("f{colour} strong halo"), &name);
    }
    let said = block.shown().map(|(group, m)| {
        let mut sorted = tokens(group);
        sorted.sort_unstable();
        let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        format!(
            "{}: mean {}, median {middle}, longest {}",
            m.name,
            number(m.tokens, 0),
            sorted.last().copied().unwrap_or(0)
        )
    });
    Figure {
        name: format!("lengths-{}", slug(&runs.place(block))),
        title: format!("Tokens per answer: {}", runs.place(block)),
        description: said.collect::<Vec<_>>().join("; ") + ".",
        canvas,
    }
}

fn tokens(group: &Group<'_>) -> Vec<usize> {
    group.iter().flat_map(|run| &run.records).map(|record| record.tokens).collect()
}

/// Returns a round width that makes about [`BINS`] of `0..=longest`.
fn bin_width(longest: usize) -> usize {
    let mut power = 1usize;
    loop {
        if let Some(digit) = [1, 2, 5].into_iter().find(|digit| longest / power.saturating_mul(*digit) < BINS) {
            return power.saturating_mul(digit);
        }
        power = power.saturating_mul(10);
    }
}

/// Returns the share of the answers that falls into each bin.
fn shares(tokens: &[usize], bin: usize, longest: usize) -> Vec<f64> {
    let mut shares = vec![0.0; longest / bin + 1];
    tokens.iter().for_each(|&length| shares[length / bin] += 1.0 / tokens.len() as f64);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_round_and_few() {
        for (longest, width) in
            [(0, 1), (29, 1), (30, 2), (300, 20), (899, 50), (usize::MAX, 1_000_000_000_000_000_000)]
        {
            assert_eq!(bin_width(longest), width, "{longest}");
        }
        assert_eq!(shares(&[0, 1, 5, 4], 2, 5), [0.5, 0.0, 0.5]);
    }
}
