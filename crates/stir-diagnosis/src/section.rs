//! A diagnosis as a section of a report.

use stir_report::{Appendix, AppendixTable, Dot, DotChart};

use crate::{Diagnosis, DiagnosisError, Estimate, LayerMeasures, Origin, RELIABLE, Replay, ReplaySide, Retrieval};

/// The mark in place of a missing value.
const NONE: &str = "\u{2013}";

/// Numbers with their names; those that could not be measured are left out of a chart.
type Named = Vec<(String, Option<Estimate>)>;

impl Diagnosis {
    /// Returns the diagnosis as a section for [`Report::with_appendix`](stir_report::Report::with_appendix).
    pub fn appendix(&self) -> Appendix {
        let several = self.layers.len() > 1;
        let place = |layer: &LayerMeasures, what: String| match several {
            true => format!("layer {}, {what}", layer.layer),
            false => what,
        };
        let each = |of: &dyn Fn(&LayerMeasures) -> Named| -> Vec<Dot> {
            let dots = self.layers.iter().enumerate().flat_map(|(series, layer)| {
                let found = of(layer).into_iter().filter_map(|(label, estimate)| Some((label, estimate?)));
                found.map(move |(label, e)| Dot {
                    label: place(layer, label),
                    value: e.value,
                    interval: e.interval(),
                    series,
                })
            });
            dots.collect()
        };
        let by_point = |of: fn(&crate::PointMeasures) -> Option<Estimate>| {
            each(&|layer| layer.points.iter().map(|point| (format!("control point {}", point.m), of(point))).collect())
        };
        // Halves that agree this well make a whole of reliability RELIABLE.
        let reliable = RELIABLE / (2.0 - RELIABLE);
        let charts = [
            DotChart {
                name: "reliability".into(),
                title: "How well deltas of two halves of the samples agree".into(),
                axis: "cosine".into(),
                mark: Some((reliable, format!("{:.0} % of a delta is real", 100.0 * RELIABLE))),
                dots: by_point(|point| point.split_half),
            },
            DotChart {
                name: "orderings".into(),
                title: "How often right comes before wrong, same problem and control point".into(),
                axis: "share of pairs (AUC)".into(),
                mark: Some((0.5, "chance".into())),
                dots: each(&orderings),
            },
            DotChart {
                name: "sharing".into(),
                title: "How well deltas of different problems agree".into(),
                axis: "cosine".into(),
                mark: Some((0.0, "nothing in common".into())),
                dots: by_point(|point| point.between),
            },
        ];
        Appendix {
            id: "diagnosis".into(),
            title: "Diagnosis".into(),
            paragraphs: [
                Some(self.verdict.outlook.to_string()),
                Some(
                    "Intervals are of about 95 %, over problems. A delta is the mean state of right rollouts of a problem \
                     at a control point less that of wrong ones."
                        .into(),
                ),
                self.origin.as_ref().map(described),
            ]
            .into_iter()
            .flatten()
            .collect(),
            points: self.verdict.reasons.iter().map(ToString::to_string).collect(),
            tables: [self.layer_table(), self.point_table(), self.replay_table()]
                .into_iter()
                .filter(|table| !table.rows.is_empty())
                .collect(),
            charts: charts.into_iter().filter(|chart| !chart.dots.is_empty()).collect(),
        }
    }

    /// Renders the diagnosis as a page of its own.
    ///
    /// # Errors
    /// [`DiagnosisError::Page`].
    pub fn to_html(&self, title: &str) -> Result<String, DiagnosisError> {
        Ok(self.appendix().page(title)?)
    }

    fn layer_table(&self) -> AppendixTable {
        let columns = [
            "Layer",
            "States",
            "Mixed problems",
            "Reliability",
            "Samples for 0.5",
            "Probe AUC, across",
            "Retrieval AUC, across",
            "R\u{b2} of log remaining tokens",
            "Similarity to keys, 5 to 95 %",
            "Quality, 5 to 95 %",
            "Impulse / stream",
        ];
        let row = |l: &LayerMeasures| {
            vec![
                l.layer.to_string(),
                l.rows.to_string(),
                format!("{} of {}", l.mixed, l.problems),
                number(l.reliability.map(|r| r.full)),
                l.reliability.and_then(|r| r.samples_needed).map_or(NONE.into(), |n| format!("{:.0}", n.ceil())),
                number(l.probe.and_then(|probe| probe.across)),
                format!("{}, centred {}", across(&l.retrieval), across(&l.retrieval_centred)),
                number(l.remaining_r2),
                l.retrieval.similarity.map_or(NONE.into(), |s| format!("{:.2} to {:.2}", s.low, s.high)),
                l.pairs.as_ref().map_or(NONE.into(), |p| format!("{:.4} to {:.4}", p.quality.low, p.quality.high)),
                l.pairs.as_ref().map_or(NONE.into(), |p| format!("{:.2}", p.impulse.median)),
            ]
        };
        AppendixTable {
            caption: "Layers".into(),
            columns: columns.map(Into::into).to_vec(),
            rows: self.layers.iter().map(row).collect(),
        }
    }

    fn replay_table(&self) -> AppendixTable {
        let columns = ["Layer", "Added where it was mined", "From wrong rollouts", "p", "From right rollouts", "p"];
        let side = |side: Option<ReplaySide>| match side {
            Some(s) => {
                [format!("{} of {}, {} without", s.steered, s.boundaries, s.plain), format!("{:.3}", s.mcnemar_p)]
            }
            None => [NONE.into(), NONE.into()],
        };
        let row = |layer: usize, replay: &Replay| {
            let [rescue, rescue_p] = side(replay.rescue);
            let [harm, harm_p] = side(replay.harm);
            vec![layer.to_string(), replay.intervention.clone(), rescue, rescue_p, harm, harm_p]
        };
        let rows = self.layers.iter().flat_map(|l| l.replays.iter().map(move |replay| row(l.layer, replay)));
        AppendixTable {
            caption: "Right answers when replayed".into(),
            columns: columns.map(Into::into).to_vec(),
            rows: rows.collect(),
        }
    }

    fn point_table(&self) -> AppendixTable {
        let columns = [
            "Layer and control point",
            "States",
            "Mixed problems",
            "Norm of states",
            "Norm of deltas",
            "Cosine between problems",
            "Without noise",
            "Reliability of their mean",
            "Probe AUC",
            "Retrieval AUC, centred",
        ];
        let rows = self.layers.iter().flat_map(|l| {
            l.points.iter().map(move |p| {
                vec![
                    format!("{}, {}", l.layer, p.m),
                    p.rows.to_string(),
                    format!("{} of {}", p.mixed, p.problems),
                    number(Some(p.stream_norm)),
                    number(p.delta_norm),
                    number(p.between.map(|e| e.value)),
                    number(p.between_corrected),
                    number(p.pooled_reliability),
                    number(p.probe_within.map(|e| e.value)),
                    number(p.retrieval_within.map(|e| e.value)),
                ]
            })
        });
        AppendixTable {
            caption: "Control points".into(),
            columns: columns.map(Into::into).to_vec(),
            rows: rows.collect(),
        }
    }
}

/// Names the model and the settings.
fn described(origin: &Origin) -> String {
    let Origin { model, config, delimiter, max_control_points } = origin;
    format!(
        "Model: {} with {} layers, width {}, weights {}. Control points 1 to {max_control_points}, segments end with {:?}; \
         {} splits, seed {}.",
        model.architecture,
        model.n_layers,
        model.hidden_size,
        model.weights,
        delimiter.as_str(),
        config.splits,
        config.seed
    )
}

fn orderings(layer: &LayerMeasures) -> Named {
    vec![
        ("linear probe".into(), layer.probe.and_then(|probe| probe.within)),
        ("fewest remaining tokens".into(), layer.shortness_within),
        ("nearest keys".into(), layer.retrieval.ordering.within),
        ("nearest keys, states centred".into(), layer.retrieval_centred.ordering.within),
    ]
}

fn across(retrieval: &Retrieval) -> String {
    number(retrieval.ordering.across)
}

fn number(value: Option<f64>) -> String {
    value.map_or(NONE.into(), |value| format!("{value:.2}"))
}
