//! Calls that a server makes by mistake: no batch, cancelling twice, an engine that fails once.

use std::sync::atomic::{AtomicUsize, Ordering};

use stir_core::{
    Engine, Event, Fingerprint, GenerateError, Generator, ModelShape, Output, Request, Row, Text, Vocab,
    toy::{ToyEngine, ToyError},
};

/// Fails in one pass, counted from 0.
struct FailsOnce(ToyEngine, AtomicUsize, usize);

impl Engine for FailsOnce {
    type Session = <ToyEngine as Engine>::Session;
    type Error = ToyError;

    fn shape(&self) -> ModelShape {
        self.0.shape()
    }

    fn vocab(&self) -> &Vocab {
        self.0.vocab()
    }

    fn fingerprint(&self) -> &Fingerprint {
        self.0.fingerprint()
    }

    fn session(&self) -> Self::Session {
        self.0.session()
    }

    fn forward(&self, rows: &mut [Row<'_, Self::Session>]) -> Result<Vec<Output>, ToyError> {
        if self.1.fetch_add(1, Ordering::SeqCst) == self.2 {
            return Err(ToyError::Unknown('!'));
        }
        self.0.forward(rows)
    }
}

fn request(engine: &ToyEngine, text: &str, samples: usize) -> Request {
    Request { max_tokens: 6, samples, ..Request::new(engine.encode(text).unwrap()) }
}

#[test]
fn an_engine_that_fails_once_loses_only_what_it_says() {
    let toy = ToyEngine::without_eos(3);
    for pass in 0..12 {
        let mut generator = Generator::new(FailsOnce(toy.clone(), AtomicUsize::new(0), pass), 2);
        for (text, samples) in [("abc", 3), ("d", 1), ("ef", 2)] {
            generator.push(request(&toy, text, samples)).unwrap();
        }
        let (mut ended, mut lost) = (Vec::new(), Vec::new());
        while !generator.is_empty() {
            match generator.step() {
                Ok(events) => {
                    ended.extend(events.into_iter().filter_map(|(id, event)| {
                        matches!(event, Event::Finished { .. } | Event::Failed { .. }).then_some(id)
                    }));
                }
                Err(GenerateError::Engine { lost: ids, .. }) => lost.extend(ids),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(!lost.is_empty(), "pass {pass}");
        let mut all: Vec<_> = ended.iter().chain(&lost).map(|id| (id.request, id.sample)).collect();
        all.sort_unstable();
        assert_eq!(all, [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1)], "pass {pass}");
    }
}

#[test]
fn every_sample_ends_once_however_often_it_is_cancelled() {
    let toy = ToyEngine::without_eos(3);
    for max_batch in [0, 1, 2] {
        for at in 0..4 {
            let mut generator = Generator::new(&toy, max_batch);
            for samples in [2, 1] {
                generator.push(request(&toy, "abc", samples)).unwrap();
            }
            let (mut ended, mut steps) = (Vec::new(), 0);
            while !generator.is_empty() {
                if steps == at {
                    generator.cancel_request(0);
                    generator.cancel_request(0);
                    generator.cancel_all();
                    generator.cancel_request(77);
                }
                steps += 1;
                assert!(steps < 100, "it never ends");
                let events = generator.step().unwrap().into_iter();
                ended.extend(events.filter_map(|(id, event)| {
                    matches!(event, Event::Finished { .. }).then_some((id.request, id.sample))
                }));
            }
            generator.cancel_all();
            assert!(generator.is_empty() && generator.step().unwrap().is_empty());
            ended.sort_unstable();
            assert_eq!(ended, [(0, 0), (0, 1), (1, 0)], "max_batch {max_batch}, cancelled at {at}");
        }
    }
}
