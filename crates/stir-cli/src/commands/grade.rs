//! `stir grade` judges pairs of a gold answer and a model's: JSON lines in, the same with verdicts out.
//!
//! ```text
//! stir grade --task math500 < pairs.jsonl > verdicts.jsonl
//! ```

use std::io::{self, BufReader, BufWriter};

use miette::{IntoDiagnostic, Result, bail};
use stir::{
    eval::task::answer_form,
    grade::{AnswerForm, equality::Options, extract::Fallback, pairs::Pairs},
};

use crate::output::tell;

/// Grade pairs of a gold answer and a model's
///
/// Each line of the input is a JSON object with `gold` and `pred`; the output has the same lines with
/// `equal` (true, false, or null where the rules do not decide), `rule`, `answer`, and `why` where it is null.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A built-in task, such as math500, or what answers look like: math, number, choice or yes_no
    #[arg(long, value_name = "NAME", value_parser = form)]
    task: AnswerForm,
    /// `pred` is a whole text; find the answer in it first
    #[arg(long)]
    text: bool,
    /// Let the last number count where a text gives no answer
    #[arg(long, requires = "text")]
    last_number: bool,
    /// Formulas: the order of a list without brackets counts
    #[arg(long)]
    ordered_lists: bool,
    /// Formulas: what only one of the two says counts, such as a unit or a degree sign; null where all else is equal
    #[arg(long)]
    complete: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let fallback = if args.last_number { Fallback::LastNumber } else { Fallback::None };
    let options = Options { ordered_lists: args.ordered_lists, complete: args.complete };
    if args.task != AnswerForm::Math && options != Options::default() {
        bail!("--ordered-lists and --complete are for tasks whose answers are formulas");
    }
    let pairs = Pairs { form: args.task, is_text: args.text, fallback, options };
    let (input, output) = (BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock()));
    let counts = pairs.grade(input, output).into_diagnostic()?;
    tell!("{} equal, {} different, {} unclear", counts.equal, counts.different, counts.unclear);
    Ok(())
}

fn form(name: &str) -> Result<AnswerForm, String> {
    answer_form(name).map_err(|error| error.to_string())
}
