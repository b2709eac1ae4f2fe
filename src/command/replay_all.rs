//! `l402 replay N --all`: every update of a round, one after another.

use super::checks::{Check, Checks, Outcome};
use super::replay::{Args, replay_one};
use crate::error::{Error, Kind, Result};
use crate::ui::Ui;

/// Replays what each assigned worker has sent. Who has sent nothing is named; an update that cannot be replayed is no reason to
/// leave the others out.
pub fn run(args: &Args, ui: &Ui, one: &dyn Fn(&str) -> Result<Args>) -> Result<()> {
    let (path, assignments) = args.assigned(ui)?;
    let folder = path.parent().unwrap_or(path);
    let round = assignments.first().map_or(0, |assignment| assignment.round);
    let mut checks = Checks::begin("replay", format!("round {round}"));
    let (mut replayed, mut mismatches, mut broken) = (0, 0, None);
    for worker in assignments.iter().map(|assignment| &assignment.worker) {
        if !folder.join(format!("{worker}.update")).is_file() {
            ui.say(format!("round {round}: no update of {worker}"));
            checks.add(worker, Outcome::Skipped("no update".into()));
            continue;
        }
        let done = one(worker).and_then(|args| replay_one(&args, ui));
        replayed += 1;
        say(checks.ended(worker, &done), ui);
        match done {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Refused => mismatches += 1,
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    args.checks.tell(&checks, ui)?;
    match (broken, mismatches) {
        (Some(error), _) => Err(error),
        (None, 0) if replayed == 0 => {
            Err(Error::missing(format!("{}: round {round}: no update to replay", folder.display())))
        }
        (None, 0) => Ok(()),
        (None, n) => Err(Error::refused(format!("round {round}: {n} updates are not what their work makes"))),
    }
}

fn say(check: &Check, ui: &Ui) {
    let (name, seconds) = (&check.name, check.time.as_secs_f64());
    ui.say(match &check.outcome {
        Outcome::Passed => format!("{name}: exact, {seconds:.1} s"),
        Outcome::Failed(why) | Outcome::Broken(why) | Outcome::Skipped(why) => format!("{name}: {seconds:.1} s: {why}"),
    });
}
