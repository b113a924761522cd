use crate::{
    Grade, Judge, Verdict,
    extract::{Extractor, conclusion, head, is_letter, number, strip_markup, tail},
};

/// Adjectives that make a statement about an option one that chooses it.
const PRAISES: [&str; 12] = [
    "correct",
    "right",
    "best",
    "answer",
    "true",
    "valid",
    "accurate",
    "appropriate",
    "suitable",
    "likely",
    "final",
    "choice",
];

/// Verbs that begin a statement about an option.
const VERBS: [&str; 17] = [
    "is", "isn", "was", "wasn", "can", "cannot", "could", "couldn", "would", "wouldn", "should", "shouldn", "must",
    "does", "doesn", "will", "won",
];
/// Words with which a statement denies; the letter is what is left of "isn't".
const DENIALS: [&str; 10] = ["not", "t", "never", "cannot", "wrong", "incorrect", "false", "invalid", "neither", "nor"];

/// A judge of multiple-choice questions: ARC, OpenBookQA, CommonsenseQA.
///
/// An answer is the letter of an option in any of the usual spellings (`B`, `(B)`, `**B. the moon**`,
/// `\boxed{\text{B}}`, `option B`), its number counted from 1, or its text. A judge that does not know the texts of the
/// options accepts letters and numbers only. The judge looks where [`Extractor::words`] looks, then in statements ("B is
/// correct", "I choose B"), in a line with a single letter, and in a first or last line that is an option. Two options
/// at once are no answer.
///
/// ```
/// use stir_grade::{ChoiceJudge, Judge};
/// let judge = ChoiceJudge::new(["the sun", "the moon", "a star"]);
/// assert_eq!(judge.extract("It shines at night.\n\n**Answer: (B) the moon**").as_deref(), Some("B"));
/// assert_eq!(judge.extract("The answer is the moon.").as_deref(), Some("B"));
/// assert_eq!(judge.extract("A star is a sun"), None);
/// assert!(judge.judge("B", "\\boxed{2}").correct());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceJudge {
    /// The extractor of marked answers; [`Extractor::words`] by default.
    pub extractor: Extractor,
    /// The number of options.
    count: usize,
    /// The texts of the options in canonical spelling; empty if they are unknown.
    options: Vec<String>,
}

impl ChoiceJudge {
    /// The largest number of options, one for each letter.
    pub const MOST: usize = 26;

    /// Creates a judge of these options, of which the first is A. Options beyond the 26th have no letter and are
    /// dropped.
    pub fn new<T: AsRef<str>>(options: impl IntoIterator<Item = T>) -> Self {
        let options: Vec<String> = options.into_iter().take(Self::MOST).map(|text| spelling(text.as_ref())).collect();
        Self { count: options.len(), options, ..Self::letters(0) }
    }

    /// Creates a judge of `count` options (26 at most) whose texts are unknown.
    pub fn letters(count: usize) -> Self {
        Self { extractor: Extractor::words(), count: count.min(Self::MOST), options: Vec::new() }
    }

    /// Returns the letter of the option at `place`, counted from 0, or `?` beyond the 26th.
    ///
    /// ```
    /// use stir_grade::ChoiceJudge;
    /// assert_eq!((ChoiceJudge::letter_at(0), ChoiceJudge::letter_at(25)), ('A', 'Z'));
    /// ```
    pub fn letter_at(place: usize) -> char {
        ('A'..='Z').nth(place).unwrap_or('?')
    }

    /// Returns the letter that an answer means.
    fn read(&self, answer: &str) -> Option<char> {
        let bare = unwrapped(answer);
        // A capital alone is a label, also where it is the text of another option.
        if let Some(letter) = self.read_lone(bare).or_else(|| self.read_text(bare, |option, answer| option == answer)) {
            return Some(letter);
        }
        if let Some((letter, rest)) = self.label(bare) {
            return (!self.names_another(letter, rest) && !self.is_denied(letter, rest)).then_some(letter);
        }
        let is_named = |option: &str, said: &str| contains_words(option, said) && !denies(option, said);
        self.read_number(bare).or_else(|| self.read_text(bare, is_named))
    }

    /// Returns the letter in `B`, `B. the moon`, `(B)`, `option B` and what follows it, but not the article in "A
    /// star".
    fn label<'a>(&self, bare: &'a str) -> Option<(char, &'a str)> {
        let opened = bare.trim_start_matches(|c: char| !is_letter(c));
        let first = opened.chars().next()?;
        let rest = &opened[first.len_utf8()..];
        let letter = first.to_ascii_uppercase();
        // `B-cells` and `B's` are words.
        let is_word = rest.strip_prefix(['\'', '\u{2019}']).is_some_and(|rest| rest.starts_with(is_letter));
        if !self.is_label(letter) || rest.starts_with(is_letter) || rest.starts_with('-') || is_word {
            return None;
        }
        let closed = rest.trim_start_matches(['*', '}', '$', '"', '\'', '\u{2019}', '>']);
        let is_marked = closed.is_empty() || closed.starts_with([')', ']', '.', ':', ',', '\n']);
        let is_sentence = first.is_ascii_uppercase() && !(first == 'A' || first == 'I') || closed.starts_with(" is ");
        let is_label =
            is_marked || is_sentence && closed.starts_with(' ') || self.is_followed_by_its_text(letter, closed);
        is_label.then_some((letter, closed))
    }

    /// Returns whether what follows a letter denies it or leaves it open: "is wrong", "the moon is not it", "or the
    /// sun".
    fn is_denied(&self, letter: char, rest: &str) -> bool {
        let line = rest.trim_start_matches(|c: char| !is_letter(c)).lines().next().unwrap_or_default();
        let said = spelling(head(line, 200));
        let own = self.options.get(letter as usize - 'A' as usize).filter(|option| !option.is_empty());
        let said = own.and_then(|own| said.strip_prefix(own.as_str())).unwrap_or(&said);
        let said = said.trim_start_matches(|c: char| !is_letter(c));
        if let Some(other) = said.strip_prefix("or ").or_else(|| said.strip_prefix("and ")) {
            let names = |option: &String| !option.is_empty() && other.starts_with(option.as_str());
            let is_own = own.is_some_and(names);
            return !is_own && (said.starts_with("or ") || self.options.iter().any(names));
        }
        let sentence = said.split(['.', ';', ',']).next().unwrap_or_default();
        let words: Vec<&str> = sentence.split(|c: char| !is_letter(c)).filter(|word| !word.is_empty()).collect();
        let is_verb = words.first().is_some_and(|word| VERBS.contains(word));
        is_verb && words.iter().any(|word| DENIALS.contains(word))
    }

    fn is_followed_by_its_text(&self, letter: char, rest: &str) -> bool {
        let option = self.options.get(letter as usize - 'A' as usize);
        option.is_some_and(|option| !option.is_empty() && spelling(rest).starts_with(option.as_str()))
    }

    /// Returns whether a list continues after its first letter: `B and C`, `B, C`, `B or C`, `B/C`.
    fn names_another(&self, letter: char, rest: &str) -> bool {
        let list = rest.trim_start_matches([' ', ')', ',', '/', '&', '(']);
        let joined = rest.trim_start().starts_with([',', '/', '&', ')']) && list.len() < rest.len();
        let list = match ["and ", "or "].iter().find_map(|word| list.strip_prefix(word)) {
            Some(list) => list.trim_start_matches(['(', ' ']),
            None if joined => list,
            None => return false,
        };
        let mut chars = list.chars();
        let Some(other) = chars.next() else { return false };
        let ends = !chars.as_str().starts_with(|c: char| is_letter(c) || c == ' ');
        other.is_ascii_uppercase() && self.is_label(other) && other != letter && ends
    }

    /// Reads `2`, `(2)`, `2.`: a number from 1.
    fn read_number(&self, bare: &str) -> Option<char> {
        let digits = bare.trim_matches(|c: char| matches!(c, '(' | ')' | '[' | ']' | '.' | ' ' | '}'));
        // With options like "2 cm" it is not clear what "2" means.
        if self.options.iter().any(|option| option.contains(|c: char| c.is_ascii_digit())) {
            return None;
        }
        let number: usize = digits.parse().ok()?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) || !(1..=self.count).contains(&number) {
            return None;
        }
        Some(Self::letter_at(number - 1))
    }

    /// Returns the one option that fits what is said; of options that contain each other, the longest.
    fn read_text(&self, said: &str, fits: impl Fn(&str, &str) -> bool) -> Option<char> {
        if self.options.is_empty() || said.len() > 4096 {
            return None;
        }
        let said = spelling(said);
        let fit = |option: &&String| !option.is_empty() && fits(option, &said);
        let best = self.options.iter().filter(fit).max_by_key(|option| option.len())?;
        let others = self.options.iter().filter(fit).filter(|option| *option != best);
        let is_only = others.into_iter().all(|other| contains_words(other, best));
        let place = self.options.iter().position(|option| option == best)?;
        let is_unique = self.options.iter().filter(|option| *option == best).count() == 1;
        (is_only && is_unique).then(|| Self::letter_at(place))
    }

    /// Returns the option that a part of a text chooses without saying "answer".
    fn read_unmarked(&self, part: &str) -> Option<char> {
        self.read_statement(part)
            .or_else(|| {
                let lone = |line: &str| self.read_lone(unwrapped(conclusion(strip_markup(line))));
                part.lines().rev().find_map(lone)
            })
            .or_else(|| {
                let lines: Vec<&str> = part.lines().map(strip_markup).filter(|line| !line.is_empty()).collect();
                let labelled = |line: &&str| self.read_labelled(line);
                let mut labels: Vec<char> = lines.iter().filter_map(labelled).collect();
                labels.dedup();
                let ends = [lines.first()?, lines.last()?];
                let label = labels.first().copied().filter(|_| labels.len() == 1);
                label
                    .filter(|_| ends.iter().any(|line| labelled(line).is_some()))
                    .or_else(|| ends.iter().rev().find_map(|line| self.read_text(line, |option, line| option == line)))
            })
    }

    /// Reads "B is correct", "the correct option is B", "I choose B"; the last one.
    fn read_statement(&self, part: &str) -> Option<char> {
        let mut found = None;
        for (at, c) in part.char_indices() {
            if !self.is_label(c) || !c.is_ascii_uppercase() {
                continue;
            }
            let (before, after) = (&part[..at], &part[at + 1..]);
            if before.ends_with(is_letter) || after.starts_with(is_letter) {
                continue;
            }
            if is_praised(after) || is_chosen(before, after) {
                found = Some(c);
            }
        }
        found
    }

    /// Returns a line with one letter and nothing else.
    fn read_lone(&self, line: &str) -> Option<char> {
        let bare = strip_markup(line).trim_matches(['(', ')', '[', ']', '.']);
        let mut chars = bare.chars();
        let letter = chars.next().filter(|c| chars.as_str().is_empty() && c.is_ascii_uppercase())?;
        self.is_label(letter).then_some(letter)
    }

    /// Returns a line of the form `B. the moon`, `B) the moon`, `(B) the moon`, `B - the moon`.
    fn read_labelled(&self, line: &str) -> Option<char> {
        let inside = line.trim_start_matches(['*', '(', '[']);
        let letter = inside.chars().next().filter(|&c| c.is_ascii_uppercase() && self.is_label(c))?;
        (inside[1..].starts_with(['.', ')', ']', ':']) || inside[1..].starts_with(" - ")).then_some(letter)
    }

    fn is_label(&self, c: char) -> bool {
        ('A'..='Z').take(self.count).any(|label| label == c)
    }
}

impl Judge for ChoiceJudge {
    /// Returns the letter of an option.
    fn extract(&self, text: &str) -> Option<String> {
        let text_of = |letter: char| letter.to_string();
        self.extractor.extract_or(
            text,
            |answer| self.read(answer).map(text_of),
            |part| self.read_unmarked(part).map(text_of),
        )
    }

    /// Compares two options; the rule is `choice`. The verdict is unclear if the gold answer is not an option.
    fn grade(&self, gold: &str, answer: &str) -> Grade {
        match self.read(gold) {
            Some(gold) => Grade::by("choice", self.read(answer) == Some(gold)),
            None => Grade {
                verdict: Verdict::Unclear,
                rule: "choice".to_owned(),
                why: Some(format!("the gold answer is none of the {} options", self.count)),
            },
        }
    }
}

/// Returns one spelling of an option: lower case, single spaces, no punctuation at its ends.
fn spelling(text: &str) -> String {
    let words: Vec<&str> = strip_markup(text).split_whitespace().collect();
    let text = words.join(" ").to_lowercase();
    let is_mark = |c: char| matches!(c, '.' | ',' | ';' | ':' | '"' | '\'');
    let rest = text.trim_end_matches(is_mark);
    let bare = rest.trim_start_matches(is_mark);
    // The point of `.5` is none at its end.
    let has_point = bare.starts_with(|c: char| c.is_ascii_digit()) && rest[..rest.len() - bare.len()].ends_with('.');
    let start = rest.len() - bare.len() - usize::from(has_point);
    rest[start..].to_owned()
}

/// Returns whether `text` contains `words` as whole words. Signs and marks next to a digit belong to its word.
fn contains_words(words: &str, text: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + words.len()..]);
        !before.ends_with(is_letter)
            && !after.starts_with(is_letter)
            && (!words.starts_with(|c: char| c.is_ascii_digit() || c == '$' || c == '.')
                || number::stands_alone(before, "1", ""))
            && (!words.ends_with(|c: char| c.is_ascii_digit()) || number::stands_alone("", "1", after))
    })
}

/// Returns whether `text` denies something with a word that the option does not have itself.
fn denies(option: &str, text: &str) -> bool {
    let has = |text: &str, word: &str| text.split(|c: char| !is_letter(c)).any(|it| it == word);
    DENIALS.iter().any(|word| has(text, word) && !has(option, word))
}

/// Returns an answer without what may surround its letter: commands of LaTeX, "option", "letter".
fn unwrapped(answer: &str) -> &str {
    let mut rest = strip_markup(answer);
    loop {
        let before = rest;
        for command in ["\\text{", "\\textbf{", "\\mathbf{", "\\mathrm{", "\\mathit{", "\\mbox{", "\\textsf{"] {
            rest = rest.strip_prefix(command).unwrap_or(rest);
        }
        for word in ["option", "choice", "letter", "answer", "statement"] {
            let head = rest.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word));
            let after = head.and_then(|_| rest.get(word.len()..)).filter(|after| after.starts_with([' ', ':']));
            rest = after.unwrap_or(rest);
        }
        rest = rest.trim_start_matches([' ', ':', '\u{ff1a}', '*', '$', '(', '[', '{']);
        if rest.len() == before.len() {
            return rest;
        }
    }
}

/// Returns whether what follows a letter says that it is the answer: "is correct", ") the moon is the best choice".
fn is_praised(after: &str) -> bool {
    let rest = after.trim_start_matches([')', ']', '*', '"']);
    if rest.starts_with([':', '.', ',', '(']) || after.starts_with(')') {
        let line = rest.lines().next().unwrap_or_default();
        let sentence = head(line, 120);
        return [" is correct", " is the correct", " is the best", " is the right"]
            .iter()
            .any(|it| sentence.contains(it));
    }
    let mut words = rest.split_whitespace();
    if words.next() != Some("is") {
        return false;
    }
    let mut words = words.take(4).map(|word| word.trim_matches(|c: char| !is_letter(c)).to_ascii_lowercase());
    let told = |word: &String| !matches!(word.as_str(), "the" | "most" | "indeed" | "therefore" | "clearly" | "also");
    words.find(told).is_some_and(|word| PRAISES.contains(&word.as_str()))
}

/// Returns whether what precedes a letter chooses it: "I choose", "the correct option is", "correct choice:".
fn is_chosen(before: &str, after: &str) -> bool {
    // "A plant" is none, whatever precedes it.
    let stands_alone = after.is_empty() || after.starts_with([')', ']', '.', ',', ':', ';', '*', '\n', '"', '}']);
    let tail = tail(before, 80).trim_end_matches([' ', '(', '[', '*', '"', ':', '\n', '{']).to_ascii_lowercase();
    let sentence = tail.rsplit(['.', '\n', '!', '?']).next().unwrap_or_default();
    let words: Vec<&str> = sentence.split(|c: char| !is_letter(c)).filter(|word| !word.is_empty()).collect();
    if words.iter().any(|word| DENIALS.contains(word)) {
        return false;
    }
    match words.as_slice() {
        [.., "choose" | "select" | "pick"] | [.., "go" | "going", "with"] => true,
        [.., "choose" | "select" | "pick", "option" | "choice" | "letter" | "answer"]
        | [.., "with", "option" | "choice" | "letter" | "answer"] => true,
        [.., adjective, "option" | "choice" | "letter" | "answer", "is" | "be"]
        | [.., adjective, "option" | "choice" | "letter" | "answer"] => stands_alone && PRAISES.contains(adjective),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
