//! STIR: make a frozen language model reason better and shorter by steering its residual stream.

pub use stir_basis as basis;
pub use stir_controller as controller;
pub use stir_core as core;
pub use stir_eval as eval;
pub use stir_induction as induction;
pub use stir_model as model;
pub use stir_rollout as rollout;
