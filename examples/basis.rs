//! Stage 3: of the mined pairs a compact library is selected, good entries that differ from each other. No model takes
//! part.
//!
//! ```text
//! cargo run --release --example basis      # after the examples rollout and induce
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use stir::basis::{Action, BasisConfig, MinedPairs, select};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mined = MinedPairs::load("runs/examples/candidates.stir")?;

    // Every pair offers two entries: one that steers where the model was wrong, and one that holds back where it was
    // right. Half of the budget goes to the best of each control point, the rest to what is good and new.
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

    // The library knows the model that it was mined on, and a controller refuses every other one.
    library.save("runs/examples/library.stir")?;
    Ok(())
}
