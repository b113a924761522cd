use super::format::WIDTH;
use crate::{
    DotChart,
    grouped::slug,
    svg::{Anchor, Axis, COLOURS, Canvas, Figure, Plot, fit, number},
};

/// Height of a dot's line.
const LINE: f64 = 40.0;
/// Room for the name of the mark.
const TOP: f64 = 22.0;

/// Draws numbers as dots on one axis, each with its name above it and its interval through it.
pub(crate) fn dots(section: &str, chart: &DotChart) -> Figure {
    let dots: Vec<_> = chart.dots.iter().filter(|dot| dot.value.is_finite()).collect();
    let mut canvas = Canvas::new(WIDTH, TOP + LINE * dots.len() as f64 + 44.0);
    let values = dots.iter().flat_map(|dot| [Some(dot.value), dot.interval.map(|i| i.0), dot.interval.map(|i| i.1)]);
    let values = values.flatten().chain(chart.mark.iter().map(|(value, _)| *value));
    let plot = Plot {
        left: 18.0,
        top: TOP,
        width: WIDTH - 36.0,
        height: LINE * dots.len() as f64,
        x: Axis::holding(&chart.axis, values, 5),
        y: Axis::bare([0.0, 1.0]),
    };
    plot.draw(&mut canvas);
    if let Some((value, name)) = &chart.mark {
        let x = plot.x(*value);
        canvas.line((x, plot.top), (x, plot.bottom()), "rule");
        let anchor = if x > WIDTH / 2.0 { Anchor::End } else { Anchor::Start };
        canvas.text((x, 13.0), anchor, "muted", &fit(name, WIDTH / 2.0, 13.0));
    }
    let mut said = vec![];
    for (place, dot) in dots.iter().enumerate() {
        let line = TOP + LINE * place as f64;
        let (x, y, colour) = (plot.x(dot.value), line + 0.68 * LINE, dot.series % COLOURS);
        canvas.text(
            (0.0, line + 12.0),
            Anchor::Start,
            &format!("f{colour} strong halo"),
            &fit(&dot.label, WIDTH, 13.0),
        );
        let mut words = format!("{}: {}", dot.label, number(dot.value, 2));
        if let Some((low, high)) = dot.interval {
            canvas.line((plot.x(low), y), (plot.x(high), y), &format!("thick s{colour}"));
            words += &format!(" ({} to {})", number(low, 2), number(high, 2));
        }
        canvas.marker(dot.series, (x, y), 5.5, &format!("f{colour} spaper"));
        said.push(words);
    }
    let mark = chart.mark.as_ref().map_or(String::new(), |(value, name)| format!(" {name}: {}.", number(*value, 2)));
    Figure {
        name: slug(&format!("{section}-{}", chart.name)),
        title: chart.title.clone(),
        description: format!("{}. {}.{mark}", chart.axis, said.join("; ")),
        canvas,
    }
}
