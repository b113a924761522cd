use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use stir_basis::BasisConfig;
use stir_induction::InductionConfig;

use super::{error::CalibrationError, verdict::Verdict};
use crate::{
    FormatError,
    experiment::{AnswerSettings, Recipe, RolloutSettings},
    method::MethodConfig,
};

/// The result of a calibration as settings: what to use, and what was tested. A TOML file.
///
/// `method` is the setting that was tested if the verdict is to use it, and else plain decoding, which needs no library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The name of the calibration.
    pub calibration: String,
    /// The name of the model.
    pub model: String,
    /// What the test says.
    pub verdict: Verdict,
    /// The same in words.
    pub sentence: String,
    /// What is to be known of the problems, where sets have some in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The library to use; relative to the folder of the preset. `None` for plain decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<PathBuf>,
    /// The method to use.
    pub method: MethodConfig,
    /// The settings that all answers shared.
    pub answers: AnswerSettings,
    /// The setting that was tested, to be used or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<TestedSetting>,
}

/// The setting that was tested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestedSetting {
    /// Its name in tables.
    pub name: String,
    /// Its library, relative to the folder of the preset.
    pub library: PathBuf,
    /// The method.
    pub method: MethodConfig,
    /// How the rollouts were drawn.
    pub rollout: RolloutSettings,
    /// What was contrasted.
    pub induction: InductionConfig,
    /// How the library was selected.
    pub basis: BasisConfig,
}

impl TestedSetting {
    pub(super) fn new(name: String, library: String, method: MethodConfig, recipe: &Recipe) -> Self {
        let Recipe { rollout, induction, basis, .. } = recipe.clone();
        Self { name, library: library.into(), method, rollout, induction, basis }
    }
}

impl Preset {
    /// Reads a preset from TOML.
    ///
    /// # Errors
    /// [`CalibrationError::Format`] with the line.
    pub fn parse(text: &str) -> Result<Self, CalibrationError> {
        toml::from_str(text).map_err(|error| format("the preset", error))
    }

    /// Reads a preset from a file. Libraries have paths relative to its folder, which are completed.
    ///
    /// # Errors
    /// [`CalibrationError::Format`] with the file, and the line.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CalibrationError> {
        let path = path.as_ref();
        let what = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| format(&what, error))?;
        let mut preset: Self = toml::from_str(&text).map_err(|error| format(&what, error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let tested = preset.tested.as_mut().map(|tested| &mut tested.library);
        for library in preset.library.as_mut().into_iter().chain(tested) {
            *library = folder.join(&*library);
        }
        Ok(preset)
    }

    /// Returns the text of the preset, the sentence as a comment at its head.
    ///
    /// # Errors
    /// [`CalibrationError::Format`] for a setting that TOML does not have.
    pub fn to_toml(&self) -> Result<String, CalibrationError> {
        let text = toml::to_string(self).map_err(|error| format("the preset", error))?;
        let label = self.label.iter().map(|label| format!("# {label}\n")).collect::<String>();
        Ok(format!("# {}\n{label}{text}", self.sentence))
    }
}

fn format(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> CalibrationError {
    CalibrationError::Format { what: what.to_owned(), source: FormatError::new(error) }
}

#[cfg(test)]
mod tests {
    use stir_controller::ControllerConfig;
    use stir_core::Sampling;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let method =
            MethodConfig::Stir(ControllerConfig { max_m: Some(3), k_scale: 0.1, ..ControllerConfig::default() });
        let sampling = Sampling { temperature: 0.7, ..Sampling::GREEDY };
        let rollout = RolloutSettings { stop: vec!["\n\"".into()], ..RolloutSettings::default() };
        let preset = Preset {
            calibration: "a \"b\"\nc".into(),
            model: "m".into(),
            verdict: Verdict::UseIt,
            sentence: "use it (+4.0 points)".into(),
            label: Some("mined on problems that it is evaluated on".into()),
            library: Some("libraries/1/library.stir".into()),
            method: method.clone(),
            answers: AnswerSettings { sampling, ..AnswerSettings::default() },
            tested: Some(TestedSetting {
                name: "stir".into(),
                library: "libraries/1/library.stir".into(),
                method,
                rollout,
                induction: InductionConfig::default(),
                basis: BasisConfig::default(),
            }),
        };
        let text = preset.to_toml().unwrap();
        assert!(text.starts_with("# use it (+4.0 points)\n# mined on"), "{text}");
        assert_eq!(Preset::parse(&text).unwrap(), preset);
        let path = folder.path().join("preset.toml");
        fs::write(&path, &text).unwrap();
        let library = folder.path().join("libraries/1/library.stir");
        let read = Preset::load(&path).unwrap();
        assert_eq!((read.library.as_ref(), &read.tested.unwrap().library), (Some(&library), &library));

        let typo = text.replace("k_scale", "kscale");
        let error = Preset::parse(&typo).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains("the preset") && source.contains("kscale"), "{error}: {source}");
        fs::write(&path, typo).unwrap();
        assert!(Preset::load(&path).unwrap_err().to_string().contains("preset.toml"));
    }
}
