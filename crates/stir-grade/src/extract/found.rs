use std::borrow::Cow;

/// The answer that one marker finds in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<'t> {
    /// An answer, perhaps with markup around it.
    Answer(Cow<'t, str>),
    /// The text breaks off within an answer, or takes its answer back.
    Unfinished,
    /// The text does not use the marker.
    Nothing,
}
