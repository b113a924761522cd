//! From the answer of a server to a sample, checked.

use stir_core::{Choice as Pushed, Generated, Request, Sequence, TokenId, Vocab};

use super::{
    ReplyError, Tokens,
    client::beginning,
    error::JsonError,
    protocol::{Choice, Completion, TokenSource},
};
use crate::FailureReason;

/// Reads an answer.
pub(super) fn parse(body: &[u8]) -> Result<Completion, ReplyError> {
    serde_json::from_slice(body).map_err(|source| {
        let start = beginning(&String::from_utf8_lossy(&body[..body.len().min(4096)]));
        ReplyError::NoCompletion { start, source: JsonError(source) }
    })
}

/// Makes a sample of the answer to `request`. It ends where one that is generated here would: at the first end token or
/// with the token that completes a stop string (servers treat the tokens of stop strings in different ways, so none is sent
/// to them).
pub(super) fn sample<T: Tokens>(
    model: &T,
    request: &Request,
    mut completion: Completion,
    from: TokenSource,
) -> Result<Generated, FailureReason<T::Error>> {
    let returned = completion.take_tokens();
    let choice = match completion.choices.as_slice() {
        [choice] => choice,
        choices => return Err(ReplyError::Choices { found: choices.len() }.into()),
    };
    let usage = completion.usage.as_ref();
    check_prompt(request, choice, usage.and_then(|usage| usage.prompt_tokens))?;
    let stopped = match choice.finish_reason.as_deref() {
        Some("stop") => true,
        Some("length") => false,
        other => return Err(ReplyError::Finish { found: other.unwrap_or_default().into() }.into()),
    };

    let vocab = model.vocab();
    let (mut tokens, counted) = match (from, returned) {
        (TokenSource::Returned, Some(ids)) => (within(&ids, model.shape().vocab_size)?, Some(ids.len())),
        (TokenSource::Returned, None) => return Err(ReplyError::NoTokens.into()),
        (TokenSource::Retokenised, _) => {
            let tokens = model.encode(&choice.text).map_err(FailureReason::Encode)?;
            (tokens, usage.and_then(|usage| usage.completion_tokens))
        }
    };
    check_text(vocab, &tokens, &choice.text)?;

    let mut sequence = Sequence::of(model.shape(), vocab, request, 0).map_err(FailureReason::Request)?;
    let budget = sequence.budget();
    let finish = if stopped { "stop" } else { "length" };
    // Some servers do not count the end token.
    if let Some(found) = counted.filter(|&n| n > budget || (!stopped && n < budget)) {
        return Err(ReplyError::Length { found, budget, finish }.into());
    }
    if stopped && !tokens.last().is_some_and(|&last| vocab.is_eos(last)) {
        tokens.push(end_token(vocab, &tokens, choice)?);
    }
    for token in tokens {
        // Log-probabilities were not asked for, and a rollout holds none.
        sequence.push(vocab, Pushed { token, log_prob: 0.0 });
    }
    Ok(sequence.generated())
}

/// Checks that the server continued the prompt that was meant, as far as it says what it read.
fn check_prompt(request: &Request, choice: &Choice, counted: Option<usize>) -> Result<(), ReplyError> {
    let sent = request.prompt.len();
    let is_same = match &choice.prompt_token_ids {
        Some(ids) => ids.iter().copied().eq(request.prompt.iter().map(|&id| i64::from(id))),
        None => counted.is_none_or(|counted| counted == sent),
    };
    let read = choice.prompt_token_ids.as_ref().map_or(counted.unwrap_or_default(), Vec::len);
    if is_same { Ok(()) } else { Err(ReplyError::Prompt { sent, read }) }
}

fn within(ids: &[i64], vocab_size: usize) -> Result<Vec<TokenId>, ReplyError> {
    let token = |&id: &i64| {
        let token = TokenId::try_from(id).ok().filter(|&token| (token as usize) < vocab_size);
        token.ok_or(ReplyError::Token { token: id, vocab_size })
    };
    ids.iter().map(token).collect()
}

/// Checks that tokens and text are the same. A text may or may not spell out special tokens.
fn check_text(vocab: &Vocab, tokens: &[TokenId], text: &str) -> Result<(), ReplyError> {
    let without_end = match tokens.split_last() {
        Some((last, rest)) if vocab.is_eos(*last) => rest,
        _ => tokens,
    };
    let spellings = [spelled_out(vocab, without_end), spelled_out(vocab, tokens), vocab.text(tokens)];
    let [own, others @ ..] = spellings.map(|own| core(&own));
    let text = core(text);
    if own == text || others.contains(&text) {
        return Ok(());
    }
    let same = own.chars().zip(text.chars()).take_while(|(own, theirs)| own == theirs).count();
    let from = |text: &str| beginning(&text.chars().skip(same.saturating_sub(10)).collect::<String>());
    Err(ReplyError::Text { tokens: from(&own), text: from(&text) })
}

/// Returns what servers agree on in a text: some decoders drop a space at the start or in front of punctuation, and half a
/// character at the end is dropped or replaced.
fn core(text: &str) -> String {
    let text: String = text.chars().filter(|&c| c != ' ').collect();
    text.trim_end_matches(char::REPLACEMENT_CHARACTER).to_owned()
}

/// Returns the text of tokens with the names of special ones.
fn spelled_out(vocab: &Vocab, tokens: &[TokenId]) -> String {
    let mut bytes = Vec::new();
    for &token in tokens {
        let own = vocab.bytes(token);
        let named = if own.is_empty() { vocab.special_name(token).unwrap_or_default().as_bytes() } else { own };
        bytes.extend_from_slice(named);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the token that ended an answer whose tokens do not show it: the one that the server names, or the first of those
/// that end a sequence.
fn end_token(vocab: &Vocab, tokens: &[TokenId], choice: &Choice) -> Result<TokenId, ReplyError> {
    let unknown = |token| ReplyError::EndToken { token, known: vocab.eos().to_vec() };
    // A special token at the end is the one that ended it.
    if let Some(&last) = tokens.last().filter(|&&last| vocab.special_name(last).is_some()) {
        return Err(unknown(last));
    }
    match choice.end_token().map(TokenId::try_from) {
        Some(Ok(named)) if vocab.is_eos(named) => Ok(named),
        Some(named) => Err(unknown(named.unwrap_or(TokenId::MAX))),
        None => vocab.eos().first().copied().ok_or(unknown(TokenId::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_that_of_the_tokens_however_servers_spell_it() {
        // Half of an é is token 4; token 5 thinks, and 6 ends.
        let pieces = [&b"It"[..], b" is", b" 4", b" .", b"\xc3", b"", b""];
        let vocab = Vocab::new(pieces, [6]).with_special([(5, "<think>"), (6, "<end>")]);
        for (tokens, text) in [
            (&[0, 1, 2, 3, 6][..], "It is 4 ."),
            (&[0, 1, 2, 3, 6], "It is 4."),
            (&[0, 1, 2, 3, 6], "It is 4 .<end>"),
            (&[1, 2], "is 4"),
            (&[5, 0, 1], "<think>It is"),
            (&[5, 0, 1, 6], "It is"),
            (&[5, 0, 1, 6], "<think>It is<end>"),
            (&[0, 4], "It"),
            (&[0, 4], "It\u{fffd}"),
            (&[6], ""),
        ] {
            assert!(check_text(&vocab, tokens, text).is_ok(), "{text}");
        }
        for (tokens, text) in
            [(&[0, 1][..], "It was"), (&[0, 1], "It"), (&[0], "It is"), (&[5], "<end>"), (&[4, 0], "It")]
        {
            let error = check_text(&vocab, tokens, text).unwrap_err();
            assert!(matches!(error, ReplyError::Text { .. }), "{text}");
        }
    }
}
