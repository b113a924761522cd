use std::{collections::VecDeque, sync::Arc};

use stir_core::{Engine, Row, Session, TokenId};

/// Encoded prompts, for requests that begin as earlier ones did: conversations, and questions with a common preamble.
///
/// It is bounded by the number of positions; those used longest ago go first.
pub(crate) struct PrefixCache<S> {
    /// Tokens and the session that holds them, the one used last at the end.
    kept: VecDeque<(Arc<[TokenId]>, S)>,
    positions: usize,
    limit: usize,
    /// The number of tokens of a prompt that are encoded at once.
    part: usize,
}

impl<S: Session> PrefixCache<S> {
    /// Returns a cache of `limit` positions that encodes prompts in parts of `part` tokens.
    pub(crate) fn new(limit: usize, part: usize) -> Self {
        Self { kept: VecDeque::new(), positions: 0, limit, part }
    }

    /// Returns the number of positions kept.
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }

    /// Returns a session that holds what is known of `prompt`, without its last token.
    pub(crate) fn find<E: Engine<Session = S>>(&mut self, engine: &E, prompt: &[TokenId]) -> S {
        let head = head(prompt);
        let common = |tokens: &[TokenId]| tokens.iter().zip(head).take_while(|(a, b)| a == b).count();
        let longest = self.kept.iter().map(|(tokens, _)| common(tokens)).enumerate().max_by_key(|(_, common)| *common);
        let (place, known) = longest.filter(|(_, common)| *common > 0).unzip();
        let used = place.and_then(|place| self.kept.remove(place));
        let mut session = used.as_ref().map_or_else(|| engine.session(), |(_, session)| session.fork());
        self.kept.extend(used);
        session.rewind(known.unwrap_or(0));
        session
    }

    /// Encodes the next part of `prompt`, and keeps it once only its last token is left; returns whether that is so.
    pub(crate) fn extend<E: Engine<Session = S>>(
        &mut self,
        engine: &E,
        prompt: &[TokenId],
        session: &mut S,
    ) -> Result<bool, E::Error> {
        let head = head(prompt);
        let left = &head[session.len().min(head.len())..];
        if left.is_empty() {
            return Ok(true);
        }
        let tokens = &left[..left.len().min(self.part)];
        let row = Row { session, tokens, additions: Vec::new(), capture: &[], logits: false };
        engine.forward(&mut [row])?;
        let is_whole = tokens.len() == left.len();
        if is_whole {
            self.keep(head, session.fork());
        }
        Ok(is_whole)
    }

    fn keep(&mut self, head: &[TokenId], session: S) {
        if head.len() > self.limit {
            return;
        }
        // What is a beginning of it is in it.
        self.kept.retain(|(tokens, _)| !head.starts_with(tokens));
        self.kept.push_back((head.into(), session));
        self.positions = self.kept.iter().map(|(tokens, _)| tokens.len()).sum();
        while self.positions > self.limit
            && let Some((tokens, _)) = self.kept.pop_front()
        {
            self.positions -= tokens.len();
        }
    }
}

/// Returns what of a prompt is encoded before its answers begin.
fn head(prompt: &[TokenId]) -> &[TokenId] {
    &prompt[..prompt.len().saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use stir_core::{
        Text, prefill,
        toy::{ToyEngine, Watched},
    };

    use super::*;

    #[test]
    fn what_is_common_is_encoded_once_and_what_is_kept_is_bounded() {
        let encoded = AtomicUsize::new(0);
        let engine = Watched::new(ToyEngine::new(1), |rows, _| {
            encoded.fetch_add(rows.iter().map(|row| row.tokens.len()).sum(), Relaxed);
        });
        let mut cache = PrefixCache::new(20, 4);
        for (prompt, known, kept) in [
            ("abcdefgh", 0, 7),
            ("abcdefgh", 7, 7),
            ("abcdefghij", 7, 9),
            ("abcxyz", 3, 14),
            // No room for all three: the one used longest ago goes.
            ("0123456789", 0, 14),
            ("abcdefgh", 3, 12),
            ("a", 0, 12),
            // Longer than the cache.
            ("abcdefghijklmnopqrstuvwxyz", 7, 12),
        ] {
            let tokens = engine.encode(prompt).unwrap();
            encoded.store(0, Relaxed);
            let mut session = cache.find(&engine, &tokens);
            let found = session.len();
            let parts = (tokens.len() - 1 - found).div_ceil(4).max(1);
            for part in 1..=parts {
                assert_eq!(cache.extend(&engine, &tokens, &mut session).unwrap(), part == parts, "{prompt}");
            }
            assert_eq!((found, cache.positions()), (known, kept), "{prompt}");
            assert_eq!(
                (session.len(), encoded.load(Relaxed)),
                (tokens.len() - 1, tokens.len() - 1 - known),
                "{prompt}"
            );
            let fresh = prefill(&engine, &tokens).unwrap();
            let logits = [session, fresh].map(|mut session| {
                let tokens = &tokens[tokens.len() - 1..];
                let row = Row { session: &mut session, tokens, additions: Vec::new(), capture: &[], logits: true };
                engine.forward(&mut [row]).unwrap()
            });
            assert_eq!(logits[0], logits[1], "{prompt}");
        }
    }
}
