//! `l402 selftest`: does this machine compute what every other does?

use super::checks::{CheckArgs, Checks, Outcome};
use super::device::{Choice, DeviceArgs};
use crate::artifact::canonical;
use crate::device::cuda::Cuda;
use crate::device::{Device, suite};
use crate::engine::Engine;
use crate::engine::exp::{Function, worst_ulp};
use crate::error::{Error, Result};
use crate::ui::{Page, Ui, print};
use crate::verify::check_machine;

/// Compute every operator on fixed inputs, and compare the digests with the golden ones.
///
/// A machine that passes belongs to the same equivalence class as every other that does: what it trains replays to
/// equality there. Every instruction set that the processor has is checked. `train` and `replay` begin with this test.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    device: DeviceArgs,
    /// Also check exp, log and sigmoid on all 2^32 inputs, and a GPU's operators on sixteen times as many: minutes
    #[arg(long)]
    exhaustive: bool,
    /// Print JSON, one line an operator and instruction set
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    checks: CheckArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let mut checks = Checks::begin("selftest", "operators");
    let done = test(args, &mut checks, ui);
    args.checks.tell(&checks, ui)?;
    done
}

fn test(args: &Args, checks: &mut Checks, ui: &Ui) -> Result<()> {
    let mut wrong = 0;
    for engine in Engine::available() {
        for check in check_machine(engine)? {
            let verdict = if check.holds() { "equal" } else { "DIFFERS" };
            wrong += usize::from(!check.holds());
            let isa = engine.name();
            let outcome = match check.golden {
                _ if check.holds() => Outcome::Passed,
                Some(golden) => Outcome::Failed(format!("expected {golden}, found {}", check.digest)),
                None => Outcome::Failed("it has no golden digest".into()),
            };
            checks.add(format!("{} {isa}", check.name), outcome);
            let mut page = Page::default();
            if args.json {
                let golden = check.golden.map(|d| d.to_string());
                let digest = check.digest.to_string();
                let record =
                    serde_json::json!({ "digest": digest, "golden": golden, "isa": isa, "operator": check.name });
                page.json(&canonical::json(&record));
            } else {
                page.line(format!("{isa:11} {:20} {} {verdict}", check.name, check.digest));
            }
            page.print()?;
        }
    }
    if wrong > 0 {
        return Err(Error::refused(format!(
            "{wrong} digests differ from the golden ones: this machine cannot be verified"
        )));
    }
    for choice in [&args.device.device.first].into_iter().chain(&args.device.device.beside) {
        match *choice {
            Choice::Cpu => {}
            Choice::Cuda(number) => gpu(number, args, checks)?,
            Choice::Auto => match Cuda::open(0) {
                Ok(_) => gpu(0, args, checks)?,
                Err(error) => ui.say(format!("no GPU was checked: {error}")),
            },
        }
    }
    if args.exhaustive {
        let done = exhaustive(ui);
        checks.ended("exp, log and sigmoid on all inputs", &done);
        done?;
    }
    ui.say("selftest passed");
    Ok(())
}

/// Every operator of a GPU beside the processor's, which has the golden digests.
fn gpu(number: usize, args: &Args, checks: &mut Checks) -> Result<()> {
    let device = Device::new(Cuda::open(number)?);
    let (name, mut wrong) = (device.name(), 0);
    for seed in 0..if args.exhaustive { EXHAUSTIVE_SEEDS } else { 1 } {
        suite::check(&device, seed, |operator, differs| {
            wrong += usize::from(differs.is_some());
            let outcome = differs.map_or(Outcome::Passed, |what| Outcome::Failed(what.into()));
            checks.add(format!("{operator} cuda:{number} inputs {seed}"), outcome);
            let mut page = Page::default();
            if args.json {
                let record = serde_json::json!({
                    "device": name, "differs": differs, "inputs": seed, "operator": operator
                });
                page.json(&canonical::json(&record));
            } else {
                page.line(format!("cuda:{number:<6} {operator:20} {}", differs.unwrap_or("equal")));
            }
            page.print()
        })?;
    }
    match wrong {
        0 => Ok(()),
        _ => Err(Error::refused(format!(
            "{name}: {wrong} checks differ from the processor: nothing it makes can be verified"
        ))),
    }
}

/// Inputs of a GPU's operators, one set a seed, where all is checked.
const EXHAUSTIVE_SEEDS: u32 = 16;

/// The bound of the contract (A5), in units in the last place.
const BOUND: f64 = 1.0;

fn exhaustive(ui: &Ui) -> Result<()> {
    for (name, function) in [("exp", Function::Exp), ("log", Function::Log), ("sigmoid", Function::Sigmoid)] {
        ui.say(format!("{name}: all 2^32 inputs"));
        let (worst, at) = worst_ulp(Engine::detect(), function, 1);
        print(format!("{name}: at most {worst:.4} ULP, at {at:e}"))?;
        if worst >= BOUND {
            return Err(Error::refused(format!("{name}: expected below {BOUND} ULP, found {worst} at {at:e}")));
        }
    }
    Ok(())
}
