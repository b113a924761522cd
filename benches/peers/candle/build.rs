//! Tells the program which candle it was built with.
fn main() {
    let lock = std::fs::read_to_string("Cargo.lock").expect("Cargo.lock is committed");
    let version = lock.split("name = \"candle-core\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    println!("cargo::rustc-env=CANDLE_VERSION={}", version.expect("candle-core is locked"));
    println!("cargo::rerun-if-changed=Cargo.lock");
}
