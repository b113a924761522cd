use stir_controller::Controller;
use stir_core::{Decode, Engine, Request, RequestError, Sampling};

use super::{
    context::Question,
    lane::{AnswerLane, Method},
    reply::Reply,
};

/// Decoding without further ado, as the request says or as the method does.
pub(super) struct Plain<'m, E> {
    pub(super) engine: &'m E,
    pub(super) sampling: Option<Sampling>,
}

impl<E: Engine> Method<E> for Plain<'_, E> {
    fn lane<'a>(&'a self, _: &'a Question, request: Request) -> Result<AnswerLane<'a, E>, RequestError> {
        let request = Request { sampling: self.sampling.unwrap_or(request.sampling), ..request };
        Ok(AnswerLane::map(Decode::new(self.engine, &request, 0)?, Reply::generated))
    }
}

/// Steering by the controller, whatever its variant.
pub(super) struct Stir<'m, E> {
    pub(super) engine: &'m E,
    pub(super) controller: Controller,
}

impl<E: Engine> Method<E> for Stir<'_, E> {
    fn lane<'a>(&'a self, _: &'a Question, request: Request) -> Result<AnswerLane<'a, E>, RequestError> {
        Ok(AnswerLane::map(self.controller.lane(self.engine, &request, 0)?, Reply::steered))
    }
}
