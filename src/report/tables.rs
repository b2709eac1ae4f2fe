//! The tables of a report: every number that a plot shows, and more.

use super::model::{Figures, Worker};
use super::table::{Cell, Table};

/// Round by round.
pub fn rounds(figures: &Figures) -> Table {
    let mut sums = [0u64; 3];
    let rows = figures.rounds.iter().map(|r| {
        let before = sums;
        for (sum, more) in sums.iter_mut().zip([r.tokens, r.bytes, r.paid_msat]) {
            *sum = sum.saturating_add(more);
        }
        vec![
            Cell::of(r.round),
            Cell::decimal(r.loss, 4),
            Cell::of(before[0]),
            Cell::of(before[1]),
            Cell::of(before[2]),
            Cell::of(r.assigned),
            Cell::of(r.updates),
            Cell::of(r.counting),
            Cell::of(r.exact),
            Cell::of(r.mismatches),
            Cell::of(r.bytes),
            Cell::maybe(figures.dense(r.updates)),
            Cell::of(r.locked_msat),
            Cell::of(r.entitled_msat),
            Cell::of(r.paid_msat),
            Cell::of(r.claimed_msat),
        ]
    });
    let unit = &figures.unit;
    Table {
        name: "rounds",
        caption: format!(
            "Rounds: the loss (nats/{unit}) of the model that each begins with, what had gone into it before, and the round's own"
        ),
        rows: rows.collect(),
        ranked: false,
        heads: vec![
            "round",
            "loss",
            "tokens before",
            "bytes before",
            "paid msat before",
            "assigned",
            "updates",
            "counting",
            "exact",
            "mismatches",
            "bytes",
            "bytes as float32",
            "locked msat",
            "entitled msat",
            "paid msat",
            "claimed msat",
        ],
    }
}

/// Worker by worker.
pub fn workers(figures: &Figures) -> Table {
    let mut workers: Vec<&Worker> = figures.workers.iter().collect();
    // Names stand in order by themselves.
    workers.sort_by_key(|w| std::cmp::Reverse(w.paid_msat.max(w.entitled_msat)));
    let rows = workers.into_iter().map(|w| {
        vec![
            Cell::text(&w.worker),
            Cell::of(w.assigned),
            Cell::of(w.updates),
            Cell::of(w.counting),
            Cell::of(w.exact),
            Cell::of(w.mismatches),
            Cell::decimal(Some(w.gain), 4),
            Cell::of(w.bytes),
            Cell::of(w.locked_msat),
            Cell::of(w.entitled_msat),
            Cell::of(w.paid_msat),
            Cell::of(w.claimed_msat),
        ]
    });
    Table {
        name: "workers",
        caption: format!("Workers, all rounds together; gains in nats/{}", figures.unit),
        rows: rows.collect(),
        ranked: true,
        heads: vec![
            "worker",
            "rounds",
            "updates",
            "counting",
            "exact",
            "mismatches",
            "gain",
            "bytes",
            "locked msat",
            "entitled msat",
            "paid msat",
            "claimed msat",
        ],
    }
}

/// Who was caught by what.
pub fn caught(figures: &Figures) -> Table {
    let rows = figures.caught.iter().map(|c| {
        vec![
            Cell::text(&c.worker),
            Cell::text(c.by.words()),
            Cell::text(&c.reason),
            Cell::of(c.rounds),
            Cell::of(c.first),
            Cell::of(c.last),
            Cell::of(c.returned_msat),
        ]
    });
    Table {
        name: "caught",
        caption: "What did not count, by worker and reason, and what was locked for it and goes back".into(),
        rows: rows.collect(),
        ranked: true,
        heads: vec!["worker", "by", "reason", "rounds", "first", "last", "returned msat"],
    }
}

/// Every worker in every round.
pub fn works(figures: &Figures) -> Table {
    let rows = figures.works.iter().map(|w| {
        vec![
            Cell::of(w.round),
            Cell::text(&figures.workers[w.worker].worker),
            Cell::text(w.outcome.words()),
            w.reason.as_ref().map_or(Cell::None, Cell::text),
            w.finding.map_or(Cell::None, Cell::text),
            Cell::decimal(w.gain, 6),
            Cell::of(w.bytes),
            Cell::of(w.locked_msat),
            Cell::of(w.entitled_msat),
            Cell::of(w.paid_msat),
            Cell::of(w.claimed_msat),
        ]
    });
    Table {
        name: "work",
        caption: format!("Every worker in every round; gains in nats/{}", figures.unit),
        rows: rows.collect(),
        ranked: false,
        heads: vec![
            "round",
            "worker",
            "outcome",
            "reason",
            "finding",
            "gain",
            "bytes",
            "locked msat",
            "entitled msat",
            "paid msat",
            "claimed msat",
        ],
    }
}

/// Heights of the escrow.
pub fn escrow(figures: &Figures) -> Table {
    let paid = figures.rounds.iter().filter_map(|r| Some((r, r.heights?)));
    let rows = paid.map(|(r, h)| {
        vec![
            Cell::of(r.round),
            Cell::of(h.offered_at.into()),
            Cell::of(h.lock_by.into()),
            Cell::of(h.commit_by.into()),
            Cell::of(h.reveal_by.into()),
            Cell::of(h.claim_by.into()),
            Cell::maybe(r.closed_at),
            Cell::maybe(r.judged_at),
            Cell::maybe(r.claimed_at.map(|c| c.0)),
            Cell::maybe(r.claimed_at.map(|c| c.1)),
        ]
    });
    Table {
        name: "escrow",
        caption: "Block heights of the escrow: what the offers set, and what happened".into(),
        rows: rows.collect(),
        ranked: false,
        heads: vec![
            "round",
            "offered",
            "lock by",
            "commit by",
            "verdict by",
            "claim by",
            "closed",
            "last verdict",
            "first claim",
            "last claim",
        ],
    }
}

/// What the logs say, worker by worker.
pub fn logs(figures: &Figures) -> Table {
    let rows = figures.logs.iter().map(|log| {
        let speed = (log.seconds > 0.0).then(|| log.tokens as f64 / log.seconds);
        vec![
            Cell::text(&log.worker),
            Cell::of(log.seen),
            Cell::decimal(log.steps.first().map(|s| s.loss), 4),
            Cell::decimal(log.steps.last().map(|s| s.loss), 4),
            Cell::of(log.tokens),
            Cell::decimal(Some(log.seconds), 1),
            Cell::decimal(speed, 1),
            if log.memory_bytes > 0 { Cell::of(log.memory_bytes) } else { Cell::None },
        ]
    });
    Table {
        name: "training",
        caption: "Training, by the workers' own logs".into(),
        rows: rows.collect(),
        ranked: false,
        heads: vec![
            "worker",
            "steps",
            "first loss",
            "last loss",
            "tokens",
            "seconds",
            "tokens a second",
            "memory bytes",
        ],
    }
}

/// The steps that are kept of the logs.
pub fn steps(figures: &Figures) -> Table {
    let rows = figures.logs.iter().flat_map(|log| {
        log.steps.iter().map(|s| {
            let (loss, speed) = (Cell::decimal(Some(s.loss), 6), Cell::decimal(s.speed, 1));
            vec![Cell::of(s.at), Cell::of(s.round), Cell::text(&log.worker), loss, speed]
        })
    });
    Table {
        name: "steps",
        caption: "Steps of the logs".into(),
        rows: rows.collect(),
        ranked: false,
        heads: vec!["step", "round", "worker", "loss", "tokens a second"],
    }
}

/// All of them.
pub fn all(figures: &Figures) -> Vec<Table> {
    let tables = [rounds, workers, caught, works, escrow, logs, steps];
    tables.iter().map(|table| table(figures)).collect()
}
