//! What happens in a seed, and in which order: a function of the seed alone, whatever comes of it.

use std::fmt;

use super::draw::Draw;

/// Who runs verbs, each in a run folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// Coordinates and judges.
    Judge,
    /// Pays, where the judge does not.
    Payer,
    Ann,
    Bob,
}

pub use Party::{Ann, Bob, Judge, Payer};

pub const WORKERS: [Party; 2] = [Ann, Bob];

impl Party {
    /// Its name, as a folder and in a roster.
    pub fn name(self) -> &'static str {
        match self {
            Judge => "coordinator",
            Payer => "payer",
            Ann => "ann",
            Bob => "bob",
        }
    }
}

/// A verb of the round, or files that travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Offer,
    Issue(Party),
    Lock,
    Held(Party),
    Train(Party),
    Commit(Party),
    Close,
    Reveal(Party),
    Replay(Party),
    Score,
    Settle,
    Claim(Party),
    Paid,
    Aggregate,
    /// Everything that the one may send to the other by now; again and again.
    Carry(Party, Party),
}

pub use Step::*;

impl Step {
    /// Whether its verb asks a node.
    pub fn asks(self) -> bool {
        matches!(self, Offer | Issue(_) | Lock | Held(_) | Commit(_) | Close | Settle | Claim(_) | Paid)
    }
}

/// What goes wrong while a verb runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// kill -9 of the verb at a call.
    Kill {
        at: usize,
        after: bool,
    },
    /// The call, or its answer, is lost.
    Drop {
        at: usize,
        after: bool,
    },
    /// kill -9 of a node at a call.
    Node {
        node: usize,
        at: usize,
        after: bool,
    },
    /// So much room on the disk behind the journal.
    Disk {
        room: u64,
    },
    /// The same verb in two shells at once.
    Twice,
    /// Another verb of the same party at once.
    Beside(Step),
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Do(Step, Fault),
    Mine(u64),
    Kill(usize),
    /// A node dies at a named point, when it comes there so often.
    Arm(usize, &'static str, u32),
    /// Every node that is dead comes back.
    Up,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub seed: u64,
    /// Whether somebody else than the judge pays.
    pub apart: bool,
    /// Of the offers, from the height at which they are made.
    pub heights: [u64; 4],
    pub moves: Vec<Move>,
}

/// Nodes: the payer's, the workers', and that of a judge who does not pay.
pub const NODES: [usize; 4] = [1, 2, 3, 4];

/// Where a node of the devnet may die.
const POINTS: [&str; 10] = [
    "before-manager",
    "after-manager",
    "before-monitor",
    "after-monitor",
    "after-hold-row",
    "after-invoice-row",
    "after-pay-row",
    "after-paid-row",
    "after-claim",
    "after-pay",
];

/// The round as it goes when nothing goes wrong.
pub fn in_order(apart: bool) -> Vec<Step> {
    let mut steps = vec![Offer];
    let each = |steps: &mut Vec<Step>, step: fn(Party) -> Step| steps.extend(WORKERS.map(step));
    let to_payer = |steps: &mut Vec<Step>, from: Party| steps.extend(apart.then_some(Carry(from, Payer)));
    each(&mut steps, |w| Carry(Judge, w));
    to_payer(&mut steps, Judge);
    for w in WORKERS {
        steps.extend([Issue(w), Carry(w, Judge)]);
        to_payer(&mut steps, w);
    }
    steps.push(Lock);
    each(&mut steps, Held);
    each(&mut steps, Train);
    for w in WORKERS {
        steps.extend([Commit(w), Carry(w, Judge)]);
    }
    steps.push(Close);
    for w in WORKERS {
        steps.extend([Carry(Judge, w), Reveal(w), Carry(w, Judge), Replay(w)]);
    }
    steps.extend([Score, Settle]);
    for w in WORKERS {
        steps.extend([Carry(Judge, w), Claim(w), Carry(w, Judge)]);
        to_payer(&mut steps, w);
    }
    steps.extend([Paid, Aggregate]);
    if apart {
        steps.push(Carry(Payer, Judge));
    }
    steps
}

/// Verbs of one party, for two shells of it.
fn of(party: Party, apart: bool) -> Vec<Step> {
    match party {
        Judge if apart => vec![Offer, Close, Settle, Aggregate, Replay(Ann), Replay(Bob)],
        Judge => vec![Offer, Close, Settle, Aggregate, Lock, Paid],
        Payer => vec![Lock, Paid],
        w => vec![Issue(w), Held(w), Commit(w), Reveal(w), Claim(w), Train(w)],
    }
}

impl Schedule {
    /// Nothing goes wrong.
    pub fn calm(seed: u64, apart: bool) -> Schedule {
        Schedule { seed, apart, heights: [6, 12, 18, 24], moves: Vec::new() }
    }

    pub fn draw(seed: u64) -> Schedule {
        let mut draw = Draw::new(seed);
        let apart = draw.percent(50);
        // How far out of order, how much goes wrong, and how fast the chain is, differ from seed to seed.
        let (disorder, trouble, pace) =
            (draw.pick(&[1, 1, 2, 4, 8]), draw.pick(&[8, 25, 45]), draw.pick(&[1, 1, 3, 9]));
        let mut heights = [0; 4];
        let mut at = 0;
        for height in &mut heights {
            at += draw.within(3, 8);
            *height = at;
        }
        let order = in_order(apart);
        let mut placed = Vec::new();
        let last = order.len() as u64 * 100;
        for (i, step) in order.iter().enumerate() {
            let due = i as u64 * 100;
            let mut place = |from: u64, draw: &mut Draw| placed.push((from + draw.below(disorder * 100), *step));
            place(due, &mut draw);
            if draw.percent(35) {
                place(due + draw.below(900), &mut draw);
            }
            if draw.percent(2 * disorder) {
                place(draw.below(last), &mut draw);
            }
        }
        placed.sort();
        let mut moves = Vec::new();
        for (_, step) in placed {
            if draw.percent(6 + pace) {
                moves.push(Move::Mine(draw.within(1, pace)));
            }
            let fault = if draw.percent(trouble) { fault(&mut draw, step, apart) } else { Fault::None };
            moves.push(Move::Do(step, fault));
            let mut down = matches!(fault, Fault::Node { .. });
            if draw.below(600) < trouble {
                let node = draw.pick(&NODES);
                moves.push(match draw.percent(30) {
                    true => Move::Kill(node),
                    false => Move::Arm(node, draw.pick(&POINTS), draw.within(1, 3) as u32),
                });
                down = true;
            }
            if down && draw.percent(70) || draw.percent(8) {
                moves.push(Move::Up);
            }
        }
        // Deadlines pass, and sometimes everything that is held comes to its end.
        if draw.percent(12) {
            let burst = Move::Mine(draw.within(heights[3] / 3, 3 * heights[3]));
            let place = draw.below(moves.len() as u64) as usize;
            moves.insert(place, burst);
        }
        if draw.percent(5) {
            let burst = Move::Mine(draw.within(60, 130));
            let place = draw.below(moves.len() as u64) as usize;
            moves.insert(place, burst);
        }
        Schedule { seed, apart, heights, moves }
    }
}

fn fault(draw: &mut Draw, step: Step, apart: bool) -> Fault {
    let (at, after) = (draw.below(14) as usize, draw.percent(50));
    let party = super::seat::party(step, apart);
    let kinds: &[u8] = if step.asks() { &[0, 0, 1, 1, 2, 2, 3, 4, 5] } else { &[3, 4, 5] };
    match (draw.pick(kinds), step) {
        (_, Carry(..)) => Fault::None,
        (0, _) => Fault::Kill { at, after },
        (1, _) => Fault::Drop { at, after },
        (2, _) => {
            let own = super::seat::node(party, apart);
            Fault::Node { node: if draw.percent(60) { own } else { draw.pick(&NODES) }, at, after }
        }
        (3, _) => Fault::Disk { room: draw.below(1500) },
        (4, _) => Fault::Twice,
        _ => {
            let others: Vec<Step> = of(party, apart).into_iter().filter(|other| *other != step).collect();
            Fault::Beside(draw.pick(&others))
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = |after: &bool| if *after { "after" } else { "before" };
        match self {
            Fault::None => Ok(()),
            Fault::Kill { at, after } => write!(f, " [killed {} call {at}]", when(after)),
            Fault::Drop { at, after } => write!(f, " [cut off {} call {at}]", when(after)),
            Fault::Node { node, at, after } => write!(f, " [n{node} killed {} call {at}]", when(after)),
            Fault::Disk { room } => write!(f, " [disk with {room} bytes left]"),
            Fault::Twice => write!(f, " [in two shells]"),
            Fault::Beside(other) => write!(f, " [beside {other:?}]"),
        }
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::Do(step, fault) => write!(f, "{step:?}{fault}"),
            Move::Mine(blocks) => write!(f, "mine {blocks}"),
            Move::Kill(node) => write!(f, "kill n{node}"),
            Move::Arm(node, point, times) => write!(f, "n{node} will die {point} {times}"),
            Move::Up => write!(f, "up"),
        }
    }
}
