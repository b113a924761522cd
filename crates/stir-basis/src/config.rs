use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use stir_core::SettingError;

/// The settings of the choice of a library from mined pairs; the defaults are the published ones.
///
/// The fields `budget`, `lambda` and `epsilon` are `B`, `lambda` and `epsilon` of the method's description.
///
/// ```
/// use stir_basis::{BasisConfig, SelectionMethod};
/// let config = BasisConfig { budget: 64, method: SelectionMethod::Random { seed: 3 }, ..BasisConfig::default() };
/// assert!(config.validate().is_ok());
/// let config = BasisConfig { lambda: -1.0, ..BasisConfig::default() };
/// assert_eq!(config.validate().unwrap_err().to_string(), "lambda is -1, must be finite and >= 0");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasisConfig {
    /// The most entries in the library; a pair counts as two.
    pub budget: usize,
    /// The weight of diversity against quality; used by [`SelectionMethod::Dpp`].
    pub lambda: f64,
    /// The number added to the kernel's diagonal, so that equal keys are discouraged and not impossible; used by [`SelectionMethod::Dpp`].
    pub epsilon: f64,
    /// The number of entries of highest quality that every control point gets before `method` fills the rest, whichever
    /// method that is: methods then differ only in what they are compared on. 0 leaves everything to the method.
    pub min_per_control_point: usize,
    /// Makes [`SelectionMethod::Dpp`] choose the rest to differ from the quota's entries too, and not only among itself.
    /// The published selection does not.
    pub condition_on_quota: bool,
    /// The method that fills the rest.
    pub method: SelectionMethod,
}

impl Default for BasisConfig {
    fn default() -> Self {
        Self {
            budget: 256,
            lambda: 0.5,
            epsilon: 1e-4,
            min_per_control_point: 8,
            condition_on_quota: false,
            method: SelectionMethod::Dpp,
        }
    }
}

impl BasisConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`SettingError`] with the first setting outside its bound.
    pub fn validate(&self) -> Result<(), SettingError> {
        SettingError::positive("budget", self.budget)?;
        SettingError::not_negative("lambda", self.lambda)?;
        SettingError::not_negative("epsilon", self.epsilon)?;
        if let SelectionMethod::Dbscan { tolerance, min_points } = self.method {
            // Distances are compared in f32, where a smaller tolerance would be zero.
            let positive = tolerance.is_finite() && tolerance as f32 > 0.0;
            SettingError::check(positive, "tolerance", tolerance, "finite and > 0")?;
            SettingError::check(min_points >= 2, "min_points", min_points, ">= 2")?;
        }
        Ok(())
    }
}

/// A method that fills a library once every control point has its quota.
///
/// [`KMeans`](Self::KMeans) and [`Dbscan`](Self::Dbscan) need the feature `clustering` when they are run.
///
/// Its text form is its name alone; when parsed, it has default parameters.
///
/// ```
/// use stir_basis::SelectionMethod;
/// assert_eq!("random".parse::<SelectionMethod>()?, SelectionMethod::Random { seed: 0 });
/// assert_eq!(SelectionMethod::KMeans { seed: 5 }.to_string(), "kmeans");
/// assert!("best".parse::<SelectionMethod>().is_err());
/// # Ok::<(), stir_core::SettingError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum SelectionMethod {
    /// Maximises quality and diversity together, greedily; see [`greedy_dpp`](crate::greedy_dpp).
    #[default]
    Dpp,
    /// Takes the highest quality, ties to the lower index.
    Top,
    /// Draws uniformly at random.
    Random {
        /// The seed of the draw.
        seed: u64,
    },
    /// Forms as many k-means clusters of the keys as there is room, and takes the key nearest the centroid of each.
    /// Clusters can turn out empty (equal keys), and the library smaller than the budget.
    KMeans {
        /// The seed of the initial centroids (k-means++).
        seed: u64,
    },
    /// Forms density clusters of the keys, and takes the key nearest the centroid of each, then what lies in no cluster,
    /// both by quality and while there is room.
    Dbscan {
        /// The largest Euclidean distance between neighbours; `sqrt(2 - 2 s)` at cosine similarity `s`.
        tolerance: f64,
        /// The number of neighbours, itself included, that make a key the core of a cluster.
        min_points: usize,
    },
}

impl SelectionMethod {
    /// Returns the name of the method.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dpp => "dpp",
            Self::Top => "top",
            Self::Random { .. } => "random",
            Self::KMeans { .. } => "kmeans",
            Self::Dbscan { .. } => "dbscan",
        }
    }
}

impl fmt::Display for SelectionMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SelectionMethod {
    type Err = SettingError;

    fn from_str(name: &str) -> Result<Self, SettingError> {
        match name {
            "dpp" => Ok(Self::Dpp),
            "top" => Ok(Self::Top),
            "random" => Ok(Self::Random { seed: 0 }),
            "kmeans" => Ok(Self::KMeans { seed: 0 }),
            // Neighbours at cosine similarity 0.98 and above.
            "dbscan" => Ok(Self::Dbscan { tolerance: 0.2, min_points: 3 }),
            _ => Err(SettingError::new("method", name, "dpp, top, random, kmeans or dbscan")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_named() {
        let ok = BasisConfig::default();
        let dbscan = |tolerance, min_points| SelectionMethod::Dbscan { tolerance, min_points };
        for (config, name) in [
            (BasisConfig { budget: 0, ..ok.clone() }, "budget"),
            (BasisConfig { lambda: f64::NAN, ..ok.clone() }, "lambda"),
            (BasisConfig { epsilon: -1e-9, ..ok.clone() }, "epsilon"),
            (BasisConfig { method: dbscan(0.0, 2), ..ok.clone() }, "tolerance"),
            (BasisConfig { method: dbscan(0.1, 1), ..ok }, "min_points"),
        ] {
            let error = config.validate().unwrap_err();
            assert_eq!(error.setting, name);
        }
    }

    #[test]
    fn names_and_settings_are_data() {
        for name in ["dpp", "top", "random", "kmeans", "dbscan"] {
            assert_eq!(name.parse::<SelectionMethod>().unwrap().to_string(), name);
        }
        let config: BasisConfig = serde_json::from_str(r#"{"budget": 9, "method": {"kmeans": {"seed": 1}}}"#).unwrap();
        assert_eq!(
            config,
            BasisConfig { budget: 9, method: SelectionMethod::KMeans { seed: 1 }, ..BasisConfig::default() }
        );
        for typo in [r#"{"bugdet": 9}"#, r#"{"method": {"kmeans": {"seed": 1, "k": 2}}}"#] {
            assert!(serde_json::from_str::<BasisConfig>(typo).is_err());
        }
    }
}
