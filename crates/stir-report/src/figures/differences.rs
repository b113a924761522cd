use super::format::{WIDTH, percent, signed};
use crate::{
    MethodSummary,
    grouped::{Block, GroupedRuns, slug},
    stats::MeanDifference,
    svg::{Anchor, Axis, Canvas, Figure, Plot, fit},
};

/// Height of a method's line.
const LINE: f64 = 44.0;
/// Room for the headings.
const TOP: f64 = 26.0;

/// Draws how each method differs from the baseline in accuracy and in tokens, with intervals; one figure a block.
pub(crate) fn differences(runs: &GroupedRuns<'_>) -> Vec<Figure> {
    runs.blocks.iter().filter(|block| block.table.methods.len() > 1).map(|block| one(runs, block)).collect()
}

fn one(runs: &GroupedRuns<'_>, block: &Block<'_>) -> Figure {
    let methods = &block.table.methods[1..];
    let height = TOP + LINE * methods.len() as f64 + 42.0;
    let mut canvas = Canvas::new(WIDTH, height);
    let baseline = &block.table.methods[0];
    let accuracy = |m: &MethodSummary| m.paired.map(|paired| scaled(paired.accuracy_difference, 100.0));
    let tokens =
        |m: &MethodSummary| m.paired.map(|paired| scaled(paired.tokens_difference, 100.0 / baseline.tokens.max(1.0)));
    let half = WIDTH / 2.0 - 8.0;
    column(runs, &mut canvas, methods, (0.0, half), ("accuracy, points", "better \u{2192}"), &accuracy);
    column(runs, &mut canvas, methods, (half + 16.0, half), ("tokens, %", "\u{2190} better"), &tokens);
    for (place, method) in methods.iter().enumerate() {
        let class = format!("f{} strong halo", runs.look(&method.method).colour);
        let y = TOP + LINE * place as f64 + 10.0;
        canvas.text((0.0, y), Anchor::Start, &class, &fit(&method.name, WIDTH, 13.0));
    }
    let said = methods.iter().filter_map(|m| {
        let (a, t) = (accuracy(m)?, tokens(m)?);
        let span = |d: MeanDifference| {
            format!("{} ({} to {})", signed(d.mean, 1), signed(d.interval.low, 1), signed(d.interval.high, 1))
        };
        Some(format!("{}: accuracy {} points, tokens {} %", m.name, span(a), span(t)))
    });
    Figure {
        name: format!("differences-{}", slug(&runs.place(block))),
        title: format!("Difference from {}: {}", baseline.name, runs.place(block)),
        description: format!(
            "{} has {} % and {:.0} tokens. {}.",
            baseline.name,
            percent(baseline.accuracy),
            baseline.tokens,
            said.collect::<Vec<_>>().join("; ")
        ),
        canvas,
    }
}

fn scaled(difference: MeanDifference, by: f64) -> MeanDifference {
    let MeanDifference { mean, mut interval } = difference;
    (interval.low, interval.high) = (by * interval.low, by * interval.high);
    MeanDifference { mean: by * mean, interval }
}

fn column(
    runs: &GroupedRuns<'_>,
    canvas: &mut Canvas,
    methods: &[MethodSummary],
    (left, width): (f64, f64),
    (heading, direction): (&str, &str),
    difference: &dyn Fn(&MethodSummary) -> Option<MeanDifference>,
) {
    let found: Vec<(&MethodSummary, MeanDifference)> =
        methods.iter().filter_map(|m| difference(m).map(|d| (m, d))).collect();
    let values = found.iter().flat_map(|(_, d)| [d.interval.low, d.interval.high]).chain([0.0]);
    let plot = Plot {
        left: left + 18.0,
        top: TOP,
        width: width - 36.0,
        height: LINE * methods.len() as f64,
        x: Axis::holding(direction, values, 4),
        y: Axis::bare([0.0, 1.0]),
    };
    canvas.text((left, 13.0), Anchor::Start, "ink", heading);
    plot.draw(canvas);
    canvas.line((plot.x(0.0), plot.top), (plot.x(0.0), plot.bottom()), "rule");
    for (place, (method, d)) in found.iter().enumerate() {
        let look = runs.look(&method.method);
        let y = TOP + LINE * (place as f64 + 0.66);
        let stroke = format!("thick s{}", look.colour);
        canvas.line((plot.x(d.interval.low), y), (plot.x(d.interval.high), y), &stroke);
        canvas.marker(look.shape, (plot.x(d.mean), y), 5.5, &format!("f{} spaper", look.colour));
    }
}
