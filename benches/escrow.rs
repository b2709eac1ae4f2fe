//! What an invoice costs, over the number of workers: time a rung and step, and how long the devnet takes to stand.
//!
//! Each worker has four rungs and a channel of its own. `offer`, `lock` and `settle` are one call for all workers;
//! `issue`, `status` and `claim` one a worker, each a process of its own.

#[path = "../tests/common/mod.rs"]
mod common;

use common::crowd::Crowd;

fn main() {
    println!("milliseconds a rung; devnet: seconds to stand");
    println!("| workers | rungs | devnet | offer | issue | lock | status | settle | claim |");
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for workers in [10, 30, 100] {
        let (crowd, up) = Crowd::gather(workers);
        let times = crowd.play();
        let rungs = 4 * workers;
        let cells = times.steps.iter().map(|(_, t)| format!("{:.2}", 1000.0 * t.as_secs_f64() / rungs as f64));
        println!("| {workers} | {rungs} | {:.2} s | {} |", up.as_secs_f64(), cells.collect::<Vec<_>>().join(" | "));
    }
}
