use serde::{Deserialize, Serialize};
use stir_basis::{Library, cosine};
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
    /// Adds a layer's vector only where the cosine of the angle between it and the stream is below this, in the manner of
    /// ALS (Egbuna et al. 2025, "Amortized latent steering: Low-cost alternative to test-time optimization"): where the
    /// model has drifted away from the direction of its successes. The stream is read without the vectors, which takes
    /// one more pass at each token where they are then added. `None` adds them everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_below: Option<f64>,
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
        Self { scale: 1.0, at: StaticAt::Boundary, gate_below: None, allow_requantised: false }
    }
}

impl ConstantVector {
    pub(super) fn validate(&self) -> Result<(), MethodError> {
        SettingError::not_negative("scale", self.scale).map_err(of(NAME))?;
        match self.gate_below {
            Some(gate) => SettingError::finite("gate_below", gate).map_err(of(NAME)),
            None => Ok(()),
        }
    }
}

/// A constant vector on an engine.
pub(super) struct Constant<'m, E> {
    engine: &'m E,
    library: &'m Library,
    settings: ConstantVector,
    /// The vectors that are added, `[hidden_size]` each, and the points where they are added.
    vectors: Vec<(HookPoint, Vec<f32>)>,
    /// The points that are read where a gate decides.
    points: Vec<HookPoint>,
}

impl<'m, E: Engine> Constant<'m, E> {
    pub(super) fn new(engine: &'m E, library: &'m Library, settings: ConstantVector) -> Result<Self, MethodError> {
        let refused = |source| MethodError::Controller { method: NAME, source };
        let foreign = |source| refused(stir_controller::ControllerError::Library(source));
        library.check(engine.fingerprint(), settings.allow_requantised).map_err(foreign)?;
        let scale = settings.scale;
        let mut vectors = Vec::new();
        for (layer, mean) in library.constant_vectors() {
            if !mean.iter().all(|x| (scale as f32 * x).is_finite()) {
                return Err(MethodError::NotFinite { method: NAME, layer, scale });
            }
            vectors.push((HookPoint::ResidPost(layer), mean));
        }
        match vectors.is_empty() {
            true => Err(refused(stir_controller::ControllerError::NoVector)),
            false => {
                let points = vectors.iter().map(|(point, _)| *point).collect();
                Ok(Self { engine, library, settings, vectors, points })
            }
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
            next: Pass::Plain,
            steps: Vec::new(),
        };
        lane.begin();
        Ok(AnswerLane::new(lane))
    }
}

struct StaticLane<'a, E: Engine> {
    method: &'a Constant<'a, E>,
    /// May lag behind the sequence.
    session: E::Session,
    sequence: Sequence,
    counter: SegmentCounter,
    next: Pass,
    steps: Vec<Step>,
}

/// What the pass that encodes the last token does.
enum Pass {
    Plain,
    /// Reads the streams that the gate looks at.
    Read,
    /// Adds the vectors for which this is true, one for each layer.
    Add(Vec<bool>),
}

impl<E: Engine> StaticLane<'_, E> {
    /// A segment begins.
    fn begin(&mut self) {
        let segment = self.counter.count() + 1;
        self.steps.push(Step { segment, ..Step::default() });
    }

    /// The vectors are added at the last token, or the gate is asked.
    fn steer(&mut self) {
        self.next = match self.method.settings.gate_below {
            Some(_) => Pass::Read,
            None => self.add(vec![true; self.method.vectors.len()]),
        };
    }

    fn add(&mut self, open: Vec<bool>) -> Pass {
        if let Some(step) = self.steps.last_mut() {
            step.scale = self.method.settings.scale as f32;
            // Of several layers none can be named.
            let mut layers = self.method.points.iter().zip(&open).filter(|(_, open)| **open);
            step.layer = layers.next().map(|(point, _)| point.layer()).filter(|_| step.scale != 0.0);
            step.layer = step.layer.filter(|_| self.method.points.len() == 1);
        }
        Pass::Add(open)
    }

    /// Asks the gate; returns whether the last token is to be encoded again, with vectors.
    fn opens(&mut self, streams: &[Vec<f32>]) -> bool {
        let Some(gate) = self.method.settings.gate_below else { return false };
        let open = |((_, vector), stream): (&(HookPoint, Vec<f32>), &Vec<f32>)| cosine(vector, stream) < gate;
        let open: Vec<bool> = self.method.vectors.iter().zip(streams).map(open).collect();
        if !open.contains(&true) {
            return false;
        }
        self.session.rewind(self.sequence.tokens().len() - 1);
        self.next = self.add(open);
        true
    }
}

impl<E: Engine> Lane<E::Session> for StaticLane<'_, E> {
    type Done = LaneResult<E>;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, E::Session>>) {
        let position = self.sequence.tokens().len() - 1;
        let scale = self.method.settings.scale as f32;
        let open: &[bool] = if let Pass::Add(open) = &self.next { open } else { &[] };
        let additions = self.method.vectors.iter().zip(open).filter(|(_, open)| **open);
        let additions =
            additions.map(|((point, vector), _)| Addition { point: *point, position, vector, scale }).collect();
        let capture = if matches!(self.next, Pass::Read) { &self.method.points[..] } else { &[] };
        let tokens = &self.sequence.tokens()[self.session.len()..];
        rows.push(Row { session: &mut self.session, tokens, additions, capture, logits: true });
    }

    fn absorb(&mut self, vocab: &Vocab, mut outputs: Vec<Output>) -> Result<Option<LaneResult<E>>, SamplingError> {
        self.sequence.count_pass();
        let output = outputs.pop().unwrap_or_default();
        if matches!(self.next, Pass::Read) && self.opens(&output.captures) {
            return Ok(None);
        }
        self.sequence.draw(vocab, &output.logits)?;
        if let Some(step) = self.steps.last_mut() {
            step.tokens += 1;
        }
        if self.sequence.finish().is_some() {
            let reply = Reply::generated(vocab, self.sequence.generated());
            return Ok(Some(Ok(reply.with_steps(vocab, std::mem::take(&mut self.steps)))));
        }
        let completed = self.sequence.tokens().last().map_or(0, |&token| self.counter.push(vocab.bytes(token)));
        if completed > 0 {
            self.begin();
        }
        self.next = Pass::Plain;
        if completed > 0 || self.method.settings.at == StaticAt::Token {
            self.steer();
        }
        Ok(None)
    }
}
