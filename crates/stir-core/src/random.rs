use rand::{Rng, SeedableRng, rngs::ChaCha8Rng};

/// The random numbers of one sample: ChaCha8, one stream per sample of a seed.
///
/// Two samples of one seed are independent, and a sample's numbers do not depend on what else is running.
///
/// ```
/// use stir_core::SampleRng;
/// let draw = |seed, stream| SampleRng::new(seed, stream).uniform();
/// assert_eq!(draw(1, 2), draw(1, 2));
/// assert_ne!(draw(1, 2), draw(1, 3));
/// ```
#[derive(Debug)]
pub struct SampleRng(ChaCha8Rng);

impl SampleRng {
    /// Returns the generator of `stream` under `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Returns a number uniform in [0, 1) with 53 random bits. The conversion is made here so that the numbers do not
    /// change with a library's version.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Returns a number uniform in `0..bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of the product is below bound / 2^53.
        (self.uniform() * bound as f64) as usize
    }

    /// Returns a standard normal number (Box-Muller, the cosine half).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

impl Clone for SampleRng {
    /// Returns a generator that continues with the same numbers.
    fn clone(&self) -> Self {
        let mut rng = ChaCha8Rng::from_seed(self.0.get_seed());
        rng.set_stream(self.0.get_stream());
        rng.set_word_pos(self.0.get_word_pos());
        Self(rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stream is part of every result's reproducibility: a change of generator must show.
    #[test]
    fn the_stream_is_pinned() {
        let mut rng = SampleRng::new(0, 1);
        let first: Vec<u64> = (0..2).map(|_| (rng.uniform() * 1e6) as u64).collect();
        assert_eq!(first, PINNED);
        let mut normals = SampleRng::new(5, 0);
        let mean = (0..20_000).map(|_| normals.normal()).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03);
    }

    #[test]
    fn a_clone_continues_with_the_same_numbers() {
        let mut rng = SampleRng::new(3, 4);
        for _ in 0..100 {
            let mut clone = rng.clone();
            assert_eq!([(); 3].map(|()| clone.uniform()), [(); 3].map(|()| rng.uniform()));
        }
    }

    const PINNED: [u64; 2] = [755_531, 738_116];
}
