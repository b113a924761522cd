use super::format::{WIDTH, percent};
use crate::{
    grouped::{Block, GroupedRuns, slug},
    svg::{Axis, Canvas, Figure, Labels, Plot, fit, number},
};

/// Draws accuracy against tokens, one figure a block: where the methods lie, how sure that is, and which of them are on
/// the Pareto front. A hollow mark shows what an answer costs with probes and discarded samples.
pub(crate) fn cost(runs: &GroupedRuns<'_>) -> Vec<Figure> {
    runs.blocks.iter().map(|block| one(runs, block)).collect()
}

fn one(runs: &GroupedRuns<'_>, block: &Block<'_>) -> Figure {
    let methods = &block.table.methods;
    let mut canvas = Canvas::new(WIDTH, 330.0);
    let tokens = methods.iter().flat_map(|m| [m.tokens_ci95.low, m.tokens_ci95.high, m.spent()]);
    let accuracies = methods.iter().flat_map(|m| [100.0 * m.ci95.low, 100.0 * m.ci95.high]);
    let x = Axis::wide("tokens per answer", tokens, 5);
    let y = Axis::holding("accuracy, %", accuracies, 5);
    let plot = Plot::within(&canvas, (0.0, 330.0), x, y);
    plot.draw(&mut canvas);
    canvas.polyline(&staircase(&plot, &front(methods)), "front");
    let mut labels = Labels::new([plot.left, plot.top - 8.0, plot.right(), plot.bottom()]);
    for m in methods {
        let (colour, (x, y)) = (runs.look(&m.method).colour, plot.at(m.tokens, 100.0 * m.accuracy));
        let stroke = format!("thin s{colour}");
        canvas.line((x, plot.y(100.0 * m.ci95.low)), (x, plot.y(100.0 * m.ci95.high)), &stroke);
        canvas.line((plot.x(m.tokens_ci95.low), y), (plot.x(m.tokens_ci95.high), y), &stroke);
        labels.keep_clear((x, y), 7.0, 7.0);
        labels.keep_clear((x, y), 1.5, (plot.y(100.0 * m.ci95.low) - plot.y(100.0 * m.ci95.high)) / 2.0);
        if m.spent() > 1.01 * m.tokens {
            let all = plot.x(m.spent());
            canvas.line((x, y), (all, y), &format!("dots s{colour}"));
            labels.keep_clear(((x + all) / 2.0, y), (all - x) / 2.0 + 6.0, 2.0);
        }
    }
    for m in methods {
        let look = runs.look(&m.method);
        let (x, y) = plot.at(m.tokens, 100.0 * m.accuracy);
        if m.spent() > 1.01 * m.tokens {
            canvas.marker(look.shape, (plot.x(m.spent()), y), 4.5, &format!("hollow s{}", look.colour));
        }
        canvas.marker(look.shape, (x, y), 5.5, &format!("f{} spaper", look.colour));
    }
    for m in methods {
        let at = plot.at(m.tokens, 100.0 * m.accuracy);
        let name = fit(&m.name, 0.45 * plot.width, 13.0);
        labels.write(&mut canvas, at, &format!("f{} strong", runs.look(&m.method).colour), &name);
    }
    let said: Vec<String> = methods
        .iter()
        .map(|m| {
            let [low, high] = [m.ci95.low, m.ci95.high].map(percent);
            let tokens = number(m.tokens, 0);
            format!(
                "{}: {} % ({low} to {high}) at {tokens} tokens, {} with all that was thrown away",
                m.name,
                percent(m.accuracy),
                number(m.spent(), 0)
            )
        })
        .collect();
    Figure {
        name: format!("cost-{}", slug(&runs.place(block))),
        title: format!("Accuracy against tokens: {}", runs.place(block)),
        description: said.join("; ") + ".",
        canvas,
    }
}

/// Returns the methods that no other beats in accuracy at equal or lower cost, as tokens and accuracy, by rising
/// tokens.
fn front(methods: &[crate::MethodSummary]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = methods.iter().map(|m| (m.tokens, m.accuracy)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut best = f64::MIN;
    points.retain(|&(_, accuracy)| {
        let better = accuracy > best;
        best = best.max(accuracy);
        better
    });
    points
}

/// Returns the accuracy that can be had for up to so many tokens.
fn staircase(plot: &Plot, front: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut points = vec![];
    for (place, &(tokens, accuracy)) in front.iter().enumerate() {
        points.push(plot.at(tokens, 100.0 * accuracy));
        let until = front.get(place + 1).map_or(plot.x.high(), |next| next.0);
        points.push(plot.at(until, 100.0 * accuracy));
    }
    points
}
