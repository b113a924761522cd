//! A worker of `tests/cluster/s3`: runs a command for every shard it can claim, or fetches the results.
//!
//! ```text
//! cloud_worker URL work SHARDS LEASE_MS PROGRAM ARGUMENT..
//! cloud_worker URL fetch FOLDER
//! ```
#![allow(clippy::print_stdout)]

use std::{error::Error, path::Path};

use stir_cloud::{Board, Place, Work, block_on};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [url, "work", shards, lease_ms, ..] => {
            let work = Work::new(arguments[4..].iter().cloned());
            let spec = work.spec(shards.parse()?, lease_ms.parse()?)?;
            let done = block_on(async {
                let name = format!("process {}", std::process::id());
                work.run(&mut Board::join(Place::open(url)?, spec, name).await?).await
            })??;
            println!("{done}");
        }
        [url, "fetch", folder] => {
            let fetched = block_on(async { Board::open(Place::open(url)?).await?.fetch(Path::new(folder)).await })??;
            fetched.iter().for_each(|(shard, folder)| println!("{shard} {}", folder.display()));
        }
        _ => {
            return Err("usage: cloud_worker URL work SHARDS LEASE_MS PROGRAM.. | cloud_worker URL fetch FOLDER".into());
        }
    }
    Ok(())
}
