//! A verb in a party's shell, with what goes wrong meanwhile.

use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::bank::Bank;
use super::schedule::*;
use super::seat::{Seat, node, party};
use crate::common::proxy::{Fault as Planned, Proxy, When, kill};

/// How a verb ended.
pub struct Ended {
    pub args: String,
    pub output: Output,
    /// Whether the fault came to pass.
    pub happened: bool,
    /// The call at which it did.
    pub method: Option<String>,
}

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// What it said last.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).trim().to_owned()
    }
}

/// A verb takes no longer than that.
const MOST: Duration = Duration::from_secs(90);

/// Runs a step's verb with a fault; the other shell's verb too, where there are two.
pub fn run(bank: &Bank, seat: &Seat, step: Step, fault: Fault, args: &dyn Fn(Step) -> String) -> Vec<Ended> {
    let who = party(step, seat.apart);
    let begin = |step: Step| (args(step), start(seat, who, &args(step), None));
    let end =
        |(args, child): (String, Child), happened: bool| Ended { args, output: wait(child), happened, method: None };
    match fault {
        Fault::None => vec![end(begin(step), false)],
        Fault::Twice => {
            let both = [begin(step), begin(step)];
            both.map(|one| end(one, true)).into()
        }
        Fault::Beside(other) => {
            let both = [begin(step), begin(other)];
            both.map(|one| end(one, true)).into()
        }
        Fault::Disk { room } => {
            let written = seat.journal(who).filter(|_| step.asks());
            let written = written.and_then(|path| path.metadata().ok()).map_or(0, |m| m.len());
            let child = start(seat, who, &args(step), Some(written + room));
            vec![end((args(step), child), true)]
        }
        Fault::Kill { at, after } => {
            let pid = Arc::new(Mutex::new(None::<u32>));
            vec![through(bank, seat, step, &args(step), (at, after), kill(Arc::clone(&pid)), &|child| {
                *pid.lock().unwrap() = Some(child.id());
            })]
        }
        Fault::Drop { at, after } => {
            vec![through(bank, seat, step, &args(step), (at, after), Box::new(|| {}), &|_| {})]
        }
        Fault::Node { node, at, after } => {
            let pid = std::fs::read_to_string(bank.devnet.node(node).join("pid")).unwrap_or_default();
            let alive = bank.alive(node);
            let action = move || {
                if alive {
                    kill_and_wait(pid.trim());
                }
            };
            vec![through(bank, seat, step, &args(step), (at, after), Box::new(action), &|_| {})]
        }
    }
}

/// kill -9, and nothing of it is left.
fn kill_and_wait(pid: &str) {
    let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
    for _ in 0..2000 {
        // A zombie has let go of everything.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.rsplit(')').next().is_none_or(|rest| rest.trim().is_empty() || rest.trim().starts_with('Z')) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// kill -9 of a node between two verbs.
pub fn kill_node(bank: &Bank, node: usize) {
    if bank.alive(node) {
        kill_and_wait(std::fs::read_to_string(bank.devnet.node(node).join("pid")).unwrap().trim());
    }
}

fn through(
    bank: &Bank,
    seat: &Seat,
    step: Step,
    args: &str,
    (at, after): (usize, bool),
    action: Box<dyn Fn() + Send + Sync>,
    started: &dyn Fn(&Child),
) -> Ended {
    let who = party(step, seat.apart);
    let socket = bank.devnet.socket(node(who, seat.apart)).0;
    let when = if after { When::After } else { When::Before };
    let proxy = Proxy::new(socket.clone(), Planned { at, when, action, ..Planned::unknown(&[]) });
    seat.link(who, &proxy.path());
    let child = start(seat, who, args, None);
    started(&child);
    let output = wait(child);
    seat.link(who, &socket);
    let method = proxy.happened();
    Ended { args: args.to_owned(), output, happened: method.is_some(), method }
}

/// `l402 ARGS` in a party's run folder; no file grows beyond `limit`.
pub fn start(seat: &Seat, who: Party, args: &str, limit: Option<u64>) -> Child {
    let mut command = match limit {
        Some(limit) => {
            let mut command = Command::new("prlimit");
            command.arg(format!("--fsize={limit}")).arg(env!("CARGO_BIN_EXE_l402"));
            command
        }
        None => Command::new(env!("CARGO_BIN_EXE_l402")),
    };
    command.args(args.split_whitespace()).current_dir(seat.run(who));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for its end; one that hangs is killed, which no exit status of ours looks like.
pub fn wait(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > MOST {
            let _ = child.kill();
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}
