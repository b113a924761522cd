use serde::{Deserialize, Serialize};
use stir_basis::Library;
use stir_controller::Step;
use stir_core::{
    Addition, Engine, HookPoint, Lane, Output, Request, RequestError, Row, SamplingError, SegmentCounter, Sequence,
    Session, SettingError, Vocab,
};

use super::{
    context::Question,
    error::MethodError,
    lane::{AnswerLane, LaneResult, Method},
    reply::Reply,
    settings::of,
};

const NAME: &str = "constant_vector";

/// The settings of a constant steering vector, in the manner of SEAL (Chen et al. 2025, "SEAL: Steerable reasoning
/// calibration of large language models for free"): at every layer of the library, the mean of its vectors there is
/// added, whatever the state, and stays in the cache.
///
/// The controller's variant `static_vector` is another baseline: one layer, the control points of STIR only, and an
/// impulse that lives for one segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConstantVector {
    /// The factor of the mean vectors.
    pub scale: f64,
    /// The tokens at which the vectors are added.
    pub at: StaticAt,
    /// True to steer a model with a library that was mined on another quantisation or number type of it.
    // Left out where it is false, as settings of earlier versions do not have it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_requantised: bool,
}

/// The tokens at which a constant vector is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StaticAt {
    /// The token that ends a segment, at every segment boundary.
    Boundary,
    /// Every generated token.
    Token,
}

impl Default for ConstantVector {
    fn default() -> Self {
        Self { scale: 1.0, at: StaticAt::Boundary, allow_requantised: false }
    }
}

impl ConstantVector {
    pub(super) fn validate(&self) -> Result<(), MethodError> {
        SettingError::not_negative("scale", self.scale).map_err(of(NAME))
    }
}

/// A constant vector on an engine.
pub(super) struct Constant<'m, E> {
    engine: &'m E,
    library: &'m Library,
    settings: ConstantVector,
    /// The vectors that are added, `[hidden_size]` each, and the points where they are added.
    vectors: Vec<(HookPoint, Vec<f32>)>,
}

impl<'m, E: Engine> Constant<'m, E> {
    pub(super) fn new(engine: &'m E, library: &'m Library, settings: ConstantVector) -> Result<Self, MethodError> {
        let refused = |source| MethodError::Controller { method: NAME, source };
        let foreign = |source| refused(stir_controller::ControllerError::Library(source));
        library.check(engine.fingerprint(), settings.allow_requantised).map_err(foreign)?;
        let scale = settings.scale;
        let mut vectors = Vec::new();
        for layer in library.layers() {
            let Some(mean) = library.mean_delta(layer) else { continue };
            if !mean.iter().all(|x| (scale as f32 * x).is_finite()) {
                return Err(MethodError::NotFinite { method: NAME, layer, scale });
            }
            vectors.push((HookPoint::ResidPost(layer), mean));
        }
        match vectors.is_empty() {
            true => Err(refused(stir_controller::ControllerError::NoVector)),
            false => Ok(Self { engine, library, settings, vectors }),
        }
    }
}

impl<E: Engine> Method<E> for Constant<'_, E> {
    fn lane<'a>(&'a self, _: &'a Question, request: Request) -> Result<AnswerLane<'a, E>, RequestError> {
        let mut lane = StaticLane {
            method: self,
            session: self.engine.session(),
            sequence: Sequence::new(self.engine, &request, 0)?,
            counter: SegmentCounter::new(self.library.delimiter().clone()),
            steering: false,
            steps: Vec::new(),
        };
        lane.begin(self.settings.at == StaticAt::Token);
        Ok(AnswerLane::new(lane))
    }
}

struct StaticLane<'a, E: Engine> {
    method: &'a Constant<'a, E>,
    /// May lag behind the sequence.
    session: E::Session,
    sequence: Sequence,
    counter: SegmentCounter,
    /// True if the vector is added where the last token is encoded.
    steering: bool,
    steps: Vec<Step>,
}

impl<E: Engine> StaticLane<'_, E> {
    /// A segment begins, steered or not.
    fn begin(&mut self, steered: bool) {
        let scale = if steered { self.method.settings.scale as f32 } else { 0.0 };
        // Of several layers none can be named.
        let layer = match &self.method.vectors[..] {
            [(point, _)] if scale != 0.0 => Some(point.layer()),
            _ => None,
        };
        self.steps.push(Step {
            segment: self.counter.count() + 1,
            chosen: None,
            layer,
            score: 0.0,
            null_score: 0.0,
            scale,
            tokens: 0,
            retrieved: Vec::new(),
            candidates: Vec::new(),
        });
    }
}

impl<E: Engine> Lane<E::Session> for StaticLane<'_, E> {
    type Done = LaneResult<E>;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, E::Session>>) {
        let position = self.sequence.tokens().len() - 1;
        let scale = self.method.settings.scale as f32;
        let additions = self.method.vectors.iter().filter(|_| self.steering);
        let additions = additions.map(|(point, vector)| Addition { point: *point, position, vector, scale }).collect();
        let tokens = &self.sequence.tokens()[self.session.len()..];
        rows.push(Row { session: &mut self.session, tokens, additions, capture: &[], logits: true });
    }

    fn absorb(&mut self, vocab: &Vocab, mut outputs: Vec<Output>) -> Result<Option<LaneResult<E>>, SamplingError> {
        self.sequence.count_pass();
        self.sequence.draw(vocab, &outputs.pop().unwrap_or_default().logits)?;
        if let Some(step) = self.steps.last_mut() {
            step.tokens += 1;
        }
        if self.sequence.finish().is_some() {
            let reply = Reply::generated(vocab, self.sequence.generated());
            return Ok(Some(Ok(reply.with_steps(vocab, std::mem::take(&mut self.steps)))));
        }
        let completed = self.sequence.tokens().last().map_or(0, |&token| self.counter.push(vocab.bytes(token)));
        self.steering = completed > 0 || self.method.settings.at == StaticAt::Token;
        if completed > 0 {
            self.begin(true);
        }
        Ok(None)
    }
}
