use stir_core::SampleRng;
use stir_diagnosis::{Boundary, DiagnosisConfig, LayerMeasures, States};

/// States of `problems` x `samples` x `points`; the first of the samples are right.
#[derive(Clone, Copy)]
pub struct Made {
    pub problems: usize,
    pub samples: usize,
    pub right: usize,
    pub points: usize,
    pub width: usize,
    pub seed: u64,
}

pub const MADE: Made = Made { problems: 20, samples: 8, right: 4, points: 3, width: 24, seed: 1 };

impl Made {
    pub fn boundaries(self) -> Vec<Boundary> {
        let mut rng = SampleRng::new(self.seed, 1);
        let mut made = Vec::new();
        for problem in 0..self.problems {
            for sample in 0..self.samples {
                let length = 60 + rng.below(200);
                for m in 1..=self.points {
                    let token = m * length / (self.points + 1);
                    made.push(Boundary { problem, sample, m, token, length, right: sample < self.right });
                }
            }
        }
        made
    }

    /// Returns states of unit noise, each changed by `plant`.
    pub fn states(self, plant: impl Fn(&Boundary, &mut [f32])) -> States {
        let boundaries = self.boundaries();
        let mut rng = SampleRng::new(self.seed, 2);
        let mut values: Vec<f32> = (0..boundaries.len() * self.width).map(|_| rng.normal() as f32).collect();
        for (boundary, state) in boundaries.iter().zip(values.chunks_mut(self.width)) {
            plant(boundary, state);
        }
        States::new(self.width, boundaries, values).unwrap()
    }
}

pub fn measure(states: &States) -> LayerMeasures {
    LayerMeasures::new(3, states, &DiagnosisConfig::default()).unwrap()
}

pub fn within(ordering: stir_diagnosis::Ordering) -> f64 {
    ordering.within.unwrap().value
}
