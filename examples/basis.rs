//! Stage 3: a compact library is selected from the mined pairs: good entries that differ from each other. No model
//! takes part.
//!
//! ```text
//! cargo run --release --example basis      # after the examples rollout and induce
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use stir::basis::{Action, BasisConfig, MinedPairs, select};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mined = MinedPairs::load("runs/examples/candidates.stir")?;

    // Every pair offers two entries: one steers where the model was wrong, the other says to stay where it was right.
    // The four best entries of each control point come first; the rest of the budget goes to entries that are good and
    // unlike those already chosen.
    let config = BasisConfig { budget: 32, min_per_control_point: 4, ..BasisConfig::default() };
    let library = select(&mined, &config)?;
    for entry in library.entries() {
        let action = match &entry.action {
            Action::Steer(_) => "steer",
            Action::Stay => "stay",
        };
        println!("control point {}, layer {}, quality {:.3}: {action}", entry.m, entry.layer, entry.quality);
    }
    println!("{} entries of {} offered", library.entries().len(), 2 * mined.pairs.len());

    // The library names the model that it was mined on, and `Controller::new` refuses any other.
    library.save("runs/examples/library.stir")?;
    Ok(())
}
