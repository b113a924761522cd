//! Runs that are divided among processes which know nothing of each other.

mod assemble;
mod environment;
mod error;
mod merge;
mod seal;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub use assemble::{Part, assemble};
pub use environment::SHARDS_VARIABLE;
pub use error::{MergeError, ShardError};
pub use merge::{merge_folders, merge_logs};
pub use seal::{Seal, Share};

/// One of the parts into which a run is divided, written `I/N`: part `I` of `N`, counted from 0.
///
/// The item in place `p` of the whole run belongs to part `p mod N`. So parts are disjoint and complete, they differ in
/// size by one item at most, and the hard problems at the end of a sorted data set do not all fall to one of them.
///
/// ```
/// use stir_files::{Shard, ShardError};
/// let shard: Shard = "1/3".parse()?;
/// assert_eq!(shard.of(["a", "b", "c", "d", "e"]).collect::<Vec<_>>(), ["b", "e"]);
/// assert_eq!((shard.len_of(5), shard.to_string()), (2, "1/3".to_owned()));
/// assert!(matches!("3/3".parse::<Shard>(), Err(ShardError::Index { index: 3, count: 3 })));
/// assert!(matches!("0/0".parse::<Shard>(), Err(ShardError::NoShards)));
/// # Ok::<(), ShardError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Returns part `index`, from 0, of `count`.
    ///
    /// # Errors
    /// [`ShardError::NoShards`] and [`ShardError::Index`].
    pub fn new(index: usize, count: usize) -> Result<Self, ShardError> {
        match count {
            0 => Err(ShardError::NoShards),
            _ if index >= count => Err(ShardError::Index { index, count }),
            _ => Ok(Self { index, count }),
        }
    }

    /// Returns all parts of a run that is divided into `count`; none for 0.
    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { index, count })
    }

    /// Returns the number of this part, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// Returns the number of parts.
    pub fn count(self) -> usize {
        self.count
    }

    /// Returns whether the item in this place of the whole run, from 0, belongs to this part.
    pub fn contains(self, place: usize) -> bool {
        place % self.count == self.index
    }

    /// Returns the items of this part, in order.
    pub fn of<T>(self, items: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
        items.into_iter().skip(self.index).step_by(self.count)
    }

    /// Returns how many of `total` items this part has.
    pub fn len_of(self, total: usize) -> usize {
        total.saturating_sub(self.index).div_ceil(self.count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let wrong = || ShardError::Form { text: text.to_owned() };
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let number = |digits: &str| digits.parse::<usize>().map_err(|_| wrong());
        Self::new(number(index)?, number(count)?)
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, ShardError> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_disjoint_complete_and_even(total in 0usize..200, count in 1usize..40) {
            let mut owner = vec![None; total];
            for shard in Shard::all(count) {
                let own: Vec<usize> = shard.of(0..total).collect();
                prop_assert_eq!(own.len(), shard.len_of(total));
                prop_assert!(own.len() >= total / count && own.len() <= total.div_ceil(count));
                for place in own {
                    prop_assert!(shard.contains(place));
                    prop_assert_eq!(owner[place].replace(shard.index()), None);
                }
            }
            prop_assert!(owner.iter().all(Option::is_some));
        }

        #[test]
        fn texts_round_trip(index in 0usize..1000, more in 1usize..1000) {
            let shard = Shard::new(index, index + more).unwrap();
            prop_assert_eq!(shard.to_string().parse(), Ok(shard));
            let json = serde_json::to_string(&shard).unwrap();
            prop_assert_eq!(serde_json::from_str::<Shard>(&json).unwrap(), shard);
        }
    }

    #[test]
    fn what_is_no_shard_is_refused_by_name() {
        for text in ["", "1", "1/", "/2", "a/b", "-1/2", "1/2/3", "0x1/2", "1 / 2", "99999999999999999999/3"] {
            assert_eq!(text.parse::<Shard>(), Err(ShardError::Form { text: text.into() }), "{text}");
        }
        let error = "8/8".parse::<Shard>().unwrap_err();
        assert_eq!(error.to_string(), "there is no shard 8 of 8: shards are counted from 0, so it must be < 8");
        assert!(serde_json::from_str::<Shard>("\"2/2\"").unwrap_err().to_string().contains("there is no shard 2 of 2"));
    }
}
