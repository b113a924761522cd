use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::BasisError;

/// How a library is chosen from candidates; the defaults are the published ones.
///
/// ```
/// use stir_basis::{BasisConfig, Method};
/// let config = BasisConfig { budget: 64, method: Method::Random { seed: 3 }, ..BasisConfig::default() };
/// assert!(config.validate().is_ok());
/// let config = BasisConfig { lambda: -1.0, ..BasisConfig::default() };
/// assert_eq!(config.validate().unwrap_err().to_string(), "lambda is -1, must be finite and >= 0");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasisConfig {
    /// Most entries in the library (B); a pair counts as two.
    pub budget: usize,
    /// Weight of diversity against quality; used by [`Method::Dpp`].
    pub lambda: f64,
    /// Added to the kernel's diagonal, so that equal keys are discouraged and not impossible; used by [`Method::Dpp`].
    pub epsilon: f64,
    /// How many entries of highest quality every control point gets before `method` fills the rest, whichever method
    /// that is: methods then differ only in what they are compared on. 0 leaves everything to the method.
    pub min_per_control_point: usize,
    /// Whether [`Method::Dpp`] chooses the rest to differ from the quota's entries too, and not only among itself. The
    /// published selection does not.
    pub condition_on_quota: bool,
    /// What fills the rest.
    pub method: Method,
}

impl Default for BasisConfig {
    fn default() -> Self {
        Self {
            budget: 256,
            lambda: 0.5,
            epsilon: 1e-4,
            min_per_control_point: 8,
            condition_on_quota: false,
            method: Method::Dpp,
        }
    }
}

impl BasisConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`BasisError::Setting`] with the first field outside its bound.
    pub fn validate(&self) -> Result<(), BasisError> {
        let out = |field, value, bound| Err(BasisError::Setting { field, value, bound });
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        match self.method {
            _ if self.budget == 0 => out("budget", 0.0, ">= 1"),
            _ if !not_negative(self.lambda) => out("lambda", self.lambda, "finite and >= 0"),
            _ if !not_negative(self.epsilon) => out("epsilon", self.epsilon, "finite and >= 0"),
            // linfa compares in f32, where a smaller tolerance would be zero.
            Method::Dbscan { tolerance, .. } if !(tolerance.is_finite() && tolerance as f32 > 0.0) => {
                out("tolerance", tolerance, "finite and > 0")
            }
            Method::Dbscan { min_points, .. } if min_points < 2 => out("min_points", min_points as f64, ">= 2"),
            _ => Ok(()),
        }
    }
}

/// What fills a library once every control point has its quota.
///
/// As text it is its name alone; parsed, it has default parameters.
///
/// ```
/// use stir_basis::Method;
/// assert_eq!("random".parse::<Method>()?, Method::Random { seed: 0 });
/// assert_eq!(Method::KMeans { seed: 5 }.to_string(), "kmeans");
/// assert!("best".parse::<Method>().is_err());
/// # Ok::<(), stir_basis::BasisError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Method {
    /// Greedy maximisation of quality and diversity together, see [`greedy_dpp`](crate::greedy_dpp).
    #[default]
    Dpp,
    /// Highest quality, ties to the lower index.
    Top,
    /// Uniformly at random.
    Random {
        /// Of the draw.
        seed: u64,
    },
    /// As many k-means clusters of the keys as there is room; of each the key nearest its centroid. Clusters can turn
    /// out empty (equal keys), and the library smaller than the budget.
    KMeans {
        /// Of the initial centroids (k-means++).
        seed: u64,
    },
    /// Density clusters of the keys: of each the key nearest its centroid, then what lies in no cluster, both by
    /// quality and while there is room.
    Dbscan {
        /// Largest Euclidean distance between neighbours; `sqrt(2 - 2 s)` at cosine similarity `s`.
        tolerance: f64,
        /// Neighbours, itself included, that make a key the core of a cluster.
        min_points: usize,
    },
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dpp => "dpp",
            Self::Top => "top",
            Self::Random { .. } => "random",
            Self::KMeans { .. } => "kmeans",
            Self::Dbscan { .. } => "dbscan",
        })
    }
}

impl FromStr for Method {
    type Err = BasisError;

    fn from_str(name: &str) -> Result<Self, BasisError> {
        match name {
            "dpp" => Ok(Self::Dpp),
            "top" => Ok(Self::Top),
            "random" => Ok(Self::Random { seed: 0 }),
            "kmeans" => Ok(Self::KMeans { seed: 0 }),
            // Neighbours at cosine similarity 0.98 and above.
            "dbscan" => Ok(Self::Dbscan { tolerance: 0.2, min_points: 3 }),
            _ => Err(BasisError::UnknownMethod { name: name.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_named() {
        let ok = BasisConfig::default();
        let dbscan = |tolerance, min_points| Method::Dbscan { tolerance, min_points };
        for (config, name) in [
            (BasisConfig { budget: 0, ..ok.clone() }, "budget"),
            (BasisConfig { lambda: f64::NAN, ..ok.clone() }, "lambda"),
            (BasisConfig { epsilon: -1e-9, ..ok.clone() }, "epsilon"),
            (BasisConfig { method: dbscan(0.0, 2), ..ok.clone() }, "tolerance"),
            (BasisConfig { method: dbscan(0.1, 1), ..ok }, "min_points"),
        ] {
            let error = config.validate().unwrap_err();
            assert!(matches!(error, BasisError::Setting { field, .. } if field == name), "{error}");
        }
    }

    #[test]
    fn names_and_settings_are_data() {
        for name in ["dpp", "top", "random", "kmeans", "dbscan"] {
            assert_eq!(name.parse::<Method>().unwrap().to_string(), name);
        }
        let config: BasisConfig = serde_json::from_str(r#"{"budget": 9, "method": {"kmeans": {"seed": 1}}}"#).unwrap();
        assert_eq!(config, BasisConfig { budget: 9, method: Method::KMeans { seed: 1 }, ..BasisConfig::default() });
        for typo in [r#"{"bugdet": 9}"#, r#"{"method": {"kmeans": {"seed": 1, "k": 2}}}"#] {
            assert!(serde_json::from_str::<BasisConfig>(typo).is_err());
        }
    }
}
