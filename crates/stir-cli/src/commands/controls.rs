//! `stir controls`: problems for which it is known what steering must and must not do, on a small model that is trained
//! for them (see `stir::eval::control_problems`).
//!
//! ```text
//! stir controls --out runs/controls
//! ```

mod cell;
mod claim;
mod sound;

use std::{fs, path::PathBuf, time::Instant};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use miette::{IntoDiagnostic, Result, WrapErr, ensure};
use stir::{
    eval::control_problems::Family,
    induction::Contrast,
    model::{DeviceSpec, Lm},
};

use self::{
    cell::{Answered, Setting, answer},
    claim::{Claim, Way},
};
use super::train_tiny;
use crate::{
    embedded,
    lessons::Lessons,
    model::ModelArgs,
    output::{show, tell},
    typed::named,
};

/// Check on a model made for it that steering helps where it can, and does nothing or no harm where it cannot
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder for everything that is made
    #[arg(long, value_name = "DIR", default_value = "runs/controls")]
    out: PathBuf,
    /// Controls to run
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Control::ALL)]
    only: Vec<Control>,
    /// Number of problems to mine for each control
    #[arg(long, value_name = "N", default_value_t = 40)]
    mined_problems: usize,
    /// Number of other problems that the entries of the sounder settings are validated on
    #[arg(long, value_name = "N", default_value_t = 60)]
    validated_problems: usize,
    /// Number of problems to compare on in each control
    #[arg(long, value_name = "N", default_value_t = 400)]
    compared_problems: usize,
    /// Samples per mined problem (K)
    #[arg(long, value_name = "N", default_value_t = 8)]
    samples: usize,
    /// What the sounder settings contrast: reward (as published) or forked (continuations of the same state)
    #[arg(long, default_value = "reward",
        value_parser = PossibleValuesParser::new(["forked", "reward"]).try_map(named::<Contrast>))]
    contrast: Contrast,
    /// Strengths that they try, as shares of the stream's length, separated by commas
    #[arg(long, value_name = "X,..", value_delimiter = ',', default_values_t = [0.4, 0.8, 1.6])]
    strengths: Vec<f64>,
    /// Optimizer steps of the model's training
    #[arg(long, value_name = "N", default_value_t = 400)]
    steps: usize,
    /// Folder of a model made by `train-tiny --problems controls --from ..` [default: one is trained into OUT/model, in five to ten
    /// minutes on two cores]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Device to compute on
    #[arg(long, default_value_t = DeviceSpec::default())]
    device: DeviceSpec,
    /// Seed of everything drawn at random
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// A control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Control {
    /// No habit is right: nothing can be gained
    Negative,
    /// Contexts that need opposite vectors: their mean gains nothing, retrieval does
    TwoHabits,
    /// Right solutions are further along, and to be pushed along is wrong
    Progress,
    /// Samples differ by more than what is to be found
    FewSamples,
}

impl Control {
    const ALL: [Self; 4] = [Self::Negative, Self::TwoHabits, Self::Progress, Self::FewSamples];

    fn name(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::TwoHabits => "two-habits",
            Self::Progress => "progress",
            Self::FewSamples => "few-samples",
        }
    }

    fn family(self) -> Family {
        match self {
            Self::Negative => Family::Chance,
            Self::TwoHabits => Family::Opposite,
            Self::Progress => Family::Progress,
            Self::FewSamples => Family::Noise,
        }
    }

    /// What must hold.
    fn claims(self) -> &'static [Claim] {
        use Claim::{Better, NotWorse, Same, Worse};
        use Way::{Plain, Published, Sound, Static};
        match self {
            // What the published settings do here is shown, and nothing is claimed of it.
            Self::Negative => &[Same(Sound, Plain)],
            Self::TwoHabits => &[Same(Static, Plain), Better(Published, Plain), Better(Sound, Plain)],
            Self::Progress => &[Worse(Published, Plain), NotWorse(Sound, Plain)],
            Self::FewSamples => &[NotWorse(Sound, Plain)],
        }
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let start = Instant::now();
    for (name, value) in [
        ("mined_problems", args.mined_problems),
        ("validated_problems", args.validated_problems),
        ("compared_problems", args.compared_problems),
        ("samples", args.samples),
        ("steps", args.steps),
    ] {
        ensure!(value > 0, "{name} is 0, must be >= 1");
    }
    let lm = open(&args)?;
    let mut rows = Vec::new();
    for &control in &args.only {
        tell!("{}:", control.name());
        let setting = Setting {
            lm: &lm,
            out: args.out.join(control.name()),
            mined: args.mined_problems,
            validated: args.validated_problems,
            compared: args.compared_problems,
            samples: args.samples,
            seed: args.seed,
            contrast: args.contrast,
            strengths: args.strengths.clone(),
        };
        rows.push((control, answer(&setting, control.family())?));
    }
    let failed = table(&rows)?;
    tell!("all in {:.0} s; everything is in {}", start.elapsed().as_secs_f64(), args.out.display());
    ensure!(failed == 0, "{failed} of what must hold does not");
    Ok(())
}

/// Loads the model of the controls; it is trained where there is none.
fn open(args: &Args) -> Result<Lm> {
    let model = match &args.model {
        Some(folder) => folder.clone(),
        None => trained(args)?,
    };
    let model = ModelArgs { model: Some(model), device: args.device, ..ModelArgs::default() };
    model.open()?.load()
}

/// Returns the folder of a model that was trained to the end.
fn trained(args: &Args) -> Result<PathBuf> {
    let (model, begun) = (args.out.join("model"), args.out.join("model.unfinished"));
    if !model.exists() {
        let (steps, device) = (args.steps, args.device);
        train_tiny::run(train_tiny::Args::further(
            begun.clone(),
            Lessons::Controls,
            embedded::folder()?,
            steps,
            device,
        ))?;
        fs::rename(&begun, &model).into_diagnostic().wrap_err_with(|| model.display().to_string())?;
    }
    Ok(model)
}

/// Shows all controls, what must hold in each, and whether it does. Returns the number of claims that do not hold.
fn table(rows: &[(Control, Vec<Answered>)]) -> Result<usize> {
    let mut failed = 0;
    let ways = Way::ALL.map(|way| format!("{:>9}", way.name())).join(" ");
    show!("{:<12} {:<32} {ways} {:>7} {:>8}", "control", "must hold", "W/L", "p")?;
    for (control, answered) in rows {
        let percents = answered.iter().map(|way| format!("{:>8.1}%", way.percent())).collect::<Vec<_>>().join(" ");
        for claim in control.claims() {
            let right = |way| answered.iter().find(|answered| answered.way == way).map_or(&[][..], |a| &a.right);
            let test = claim.test(claim.ways().map(right));
            failed += usize::from(!test.holds);
            let (wins, losses, p) = (test.wins, test.losses, test.p);
            let verdict = if test.holds { "passed" } else { "FAILED" };
            let name = control.name();
            show!(
                "{name:<12} {:<32} {percents} {:>7} {p:>8.2e} {verdict}",
                claim.to_string(),
                format!("{wins}/{losses}")
            )?;
        }
    }
    for (control, answered) in rows {
        let tokens = answered.iter().map(|way| format!("{} {:.1}", way.way.name(), way.tokens)).collect::<Vec<_>>();
        show!("{:<12} tokens an answer: {}", control.name(), tokens.join(", "))?;
    }
    Ok(failed)
}
