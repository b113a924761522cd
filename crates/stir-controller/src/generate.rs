use std::sync::atomic::AtomicBool;

use stir_core::{DriveError, Engine, Event, Flow, Request, SampleId, generate_all_with, stream_with};

use crate::{Controller, Place, Steered};

impl Controller {
    /// Generates what `requests` ask for, steered, up to `max_batch` sequences at a time. Returns the samples of each
    /// request, in the order of the requests.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use stir_basis::{Action, Entry, Library, normalize};
    /// use stir_controller::{Controller, ControllerConfig};
    /// use stir_core::{Delimiter, Engine, Request, Sampling, toy::ToyEngine};
    ///
    /// let engine = ToyEngine::new(1);
    /// let wrong = Entry {
    ///     problem: "p1".into(), m: 1, layer: 1, quality: 0.8,
    ///     key: normalize(&[1.0; 10]).expect("not zero").into(), action: Action::Steer(vec![0.5; 10]),
    /// };
    /// let model = engine.fingerprint().clone();
    /// let library = Library::from_entries(model, Delimiter::default(), vec![wrong], BTreeMap::new())?;
    /// let controller = Controller::new(library, engine.fingerprint(), ControllerConfig::default())?;
    ///
    /// let request = Request { max_tokens: 20, sampling: Sampling::GREEDY, ..Request::new(engine.encode("one")?) };
    /// let answers = controller.generate(&engine, &[request], 8)?;
    /// let answer = &answers[0][0];
    /// assert_eq!(answer.steps.iter().map(|step| step.tokens).sum::<usize>(), answer.generated.tokens.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`stir_core::generate_all`].
    pub fn generate<E: Engine>(
        &self,
        engine: &E,
        requests: &[Request],
        max_batch: usize,
    ) -> Result<Vec<Vec<Steered>>, DriveError<E::Error>> {
        generate_all_with(engine, requests, max_batch, |session, r, k| self.resume(engine, session, r, k))
    }

    /// Generates what `requests` ask for, steered, and tells `on_event` of every token as it comes; as
    /// [`stir_core::stream`]. A token's note says where it stands and what was decided there.
    ///
    /// ```
    /// use std::{collections::BTreeMap, sync::atomic::AtomicBool};
    /// use stir_basis::{Action, Entry, Library, normalize};
    /// use stir_controller::{Controller, ControllerConfig};
    /// use stir_core::{Delimiter, Engine, Event, Flow, Request, toy::ToyEngine};
    ///
    /// # let engine = ToyEngine::new(1);
    /// # let wrong = Entry {
    /// #     problem: "p1".into(), m: 1, layer: 1, quality: 0.8,
    /// #     key: normalize(&[1.0; 10]).expect("not zero").into(), action: Action::Steer(vec![0.5; 10]),
    /// # };
    /// # let model = engine.fingerprint().clone();
    /// # let library = Library::from_entries(model, Delimiter::default(), vec![wrong], BTreeMap::new())?;
    /// let controller = Controller::new(library, engine.fingerprint(), ControllerConfig::default())?;
    /// let request = Request { max_tokens: 40, samples: 3, ..Request::new(engine.encode("one")?) };
    /// let mut colored = 0;
    /// controller.stream(&engine, &[request], 4, &AtomicBool::new(false), |_, event| {
    ///     if let Event::Token(token) = event {
    ///         colored += token.text.len() * usize::from(token.note.steered());
    ///         if let Some(step) = token.note.step {
    ///             println!("segment {}: entry {:?}, scale {}", step.segment, step.chosen, step.scale);
    ///         }
    ///     }
    ///     Flow::Continue
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`stir_core::stream`].
    pub fn stream<E: Engine>(
        &self,
        engine: &E,
        requests: &[Request],
        max_batch: usize,
        cancel: &AtomicBool,
        on_event: impl FnMut(SampleId, Event<Steered, Place>) -> Flow,
    ) -> Result<(), DriveError<E::Error>> {
        stream_with(engine, requests, max_batch, cancel, |session, r, k| self.resume(engine, session, r, k), on_event)
    }
}
