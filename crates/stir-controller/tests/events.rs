//! Every decision at a control point is one event, and what is not finite is one more.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use crate::common::{batch, library, max_batch, prompts};
use stir_controller::{ControlState, Controller, ControllerConfig, LayerState, Step, Variant};
use stir_core::{Engine, Sampling, toy::ToyEngine};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Level and fields of every event.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Named>>>);

/// The level of an event and the names of its fields.
type Named = (Level, Vec<&'static str>);

#[derive(Default)]
struct Names(Vec<&'static str>);

impl Visit for Names {
    fn record_debug(&mut self, field: &Field, _: &dyn Debug) {
        self.0.push(field.name());
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut names = Names::default();
        event.record(&mut names);
        self.0.lock().unwrap().push((*event.metadata().level(), names.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_decision_is_an_event_with_its_numbers() {
    let engine = ToyEngine::without_eos(17);
    let library = Arc::new(library(&engine, &[0, 1], "\n\n", 8, 5));
    for (variant, _) in Variant::ALL {
        let config = ControllerConfig { variant, k_scale: 1.5, ..ControllerConfig::default() };
        let controller = Controller::new(library.clone(), engine.fingerprint(), config).unwrap();
        let heard = Heard::default();
        let requests = batch(&prompts(6, 8, 1), 50, Sampling::GREEDY, 3);
        let answers = tracing::subscriber::with_default(heard.clone(), || {
            controller.generate(&engine, &requests, max_batch(3)).unwrap().concat()
        });
        let steps: Vec<&Step> = answers.iter().flat_map(|answer| answer.steps.iter().skip(1)).collect();
        // What never acts decides nothing, and neither does anybody after the last control point.
        let acts = |step: &&&Step| variant != Variant::NoMemory && step.segment <= 8;
        let events = heard.0.lock().unwrap();
        let decisions = events.iter().filter(|(level, _)| *level == Level::DEBUG);
        let named = |fields: &[&str]| -> bool {
            ["sequence", "m", "score", "null_score", "scale", "candidates"].iter().all(|name| fields.contains(name))
        };
        assert!(decisions.clone().all(|(_, fields)| named(fields)), "{events:?}");
        let chosen = decisions.clone().filter(|(_, fields)| fields.contains(&"chosen")).count();
        assert_eq!(chosen, steps.iter().filter(|step| step.chosen.is_some()).count(), "{variant}");
        assert_eq!(decisions.count(), steps.iter().filter(acts).count(), "{variant}");
    }
}

#[test]
fn what_is_not_finite_is_a_warning() {
    let engine = ToyEngine::without_eos(17);
    let library = library(&engine, &[0, 1], "\n\n", 8, 5);
    let controller = Controller::new(library, engine.fingerprint(), ControllerConfig::default()).unwrap();
    let heard = Heard::default();
    tracing::subscriber::with_default(heard.clone(), || {
        let states = vec![LayerState { layer: 1, values: vec![f32::NAN; 10] }];
        controller.plan(&ControlState { sequence: 4, m: 1, states });
    });
    let warnings = heard.0.lock().unwrap().iter().filter(|(level, _)| *level == Level::WARN).count();
    assert_eq!(warnings, 1);
}
