use stir_core::{Engine, Event, Flow, GenerateError, GenerateOptions, Request, SampleId, generate_with, stream_with};

use crate::{Controller, Place, Steered};

impl Controller {
    /// Answers `requests`, steered: returns, for each of them in order, its samples in order.
    ///
    /// ```
    /// use stir_basis::{Action, Entry, Library};
    /// use stir_controller::{Controller, ControllerConfig};
    /// use stir_core::{GenerateOptions, Request, Sampling, Text, toy::ToyEngine};
    ///
    /// let engine = ToyEngine::new(1);
    /// let wrong = Entry { layer: 1, key: [1.0; 10].into(), action: Action::Steer(vec![0.5; 10]), ..Entry::default() };
    /// let controller = Controller::unchecked(Library::from_vectors([wrong])?, ControllerConfig::default())?;
    ///
    /// let request = Request { max_tokens: 20, sampling: Sampling::GREEDY, ..Request::new(engine.encode("one")?) };
    /// let answers = controller.generate(&engine, &[request], GenerateOptions::default())?;
    /// let answer = &answers[0][0];
    /// assert_eq!(answer.steps.iter().map(|step| step.tokens).sum::<usize>(), answer.generated.tokens.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fails like [`stir_core::generate`].
    pub fn generate<E: Engine>(
        &self,
        engine: E,
        requests: &[Request],
        options: GenerateOptions<'_>,
    ) -> Result<Vec<Vec<Steered>>, GenerateError<E::Error>> {
        generate_with(engine, requests, options, |engine, session, r, k| self.resume(engine, session, r, k))
    }

    /// Answers `requests`, steered, and tells `on_event` of every token as it comes; as
    /// [`stir_core::stream`]. A token's note says which segment it belongs to and what was decided at its start.
    ///
    /// ```
    /// # use stir_basis::{Action, Entry, Library};
    /// use stir_controller::{Controller, ControllerConfig};
    /// use stir_core::{Event, Flow, GenerateOptions, Request, Text, toy::ToyEngine};
    ///
    /// # let engine = ToyEngine::new(1);
    /// # let action = Action::Steer(vec![0.5; 10]);
    /// # let library = Library::from_vectors([Entry { layer: 1, key: [1.0; 10].into(), action, ..Entry::default() }])?;
    /// let controller = Controller::unchecked(library, ControllerConfig::default())?;
    /// let request = Request { max_tokens: 40, samples: 3, ..Request::new(engine.encode("one")?) };
    /// let mut colored = 0;
    /// controller.stream(&engine, &[request], GenerateOptions::default(), |_, event| {
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
    /// Fails like [`stir_core::stream`].
    pub fn stream<E: Engine>(
        &self,
        engine: E,
        requests: &[Request],
        options: GenerateOptions<'_>,
        on_event: impl FnMut(SampleId, Event<Steered, Place>) -> Flow,
    ) -> Result<(), GenerateError<E::Error>> {
        let start = |engine: &E, session, r: &Request, k| self.resume(engine, session, r, k);
        stream_with(engine, requests, options, start, on_event)
    }
}
