//! The plots of a report.

use std::collections::BTreeMap;

use super::chart::{Bar, BarChart, COLOURS, Line, LineChart, WIDTH, cut, sat};
use super::model::{Figures, Outcome, Round};
use super::scale::{Axis, bytes, short};
use super::svg::{Anchor, CHARACTER, Drawing};

fn first_and_last(points: &[(f64, f64)]) -> String {
    match (points.first(), points.last()) {
        (Some(first), Some(last)) => {
            format!("From {:.4} to {:.4} over {} measurements.", first.1, last.1, points.len())
        }
        _ => "Nothing was measured.".into(),
    }
}

/// What a loss is plotted against: the name of the plot, its title, the axis, and how much a round adds to it.
type Against = (&'static str, &'static str, &'static str, f64, fn(&Round) -> u64);

/// The held-out loss against rounds, tokens, bytes and pay; those against which there is something.
pub fn losses(figures: &Figures) -> Vec<Drawing> {
    let all: [Against; 4] = [
        ("loss", "Held-out loss by round", "round", 1.0, |_| 1),
        ("loss-tokens", "Loss against tokens trained on", "tokens, all workers", 1.0, |r| r.tokens),
        ("loss-bytes", "Loss against bytes sent", "bytes of updates", 1.0, |r| r.bytes),
        ("loss-pay", "Loss against pay", "sat paid", 1000.0, |r| r.paid_msat),
    ];
    let mut drawings = Vec::new();
    for (name, title, x, unit, of) in all {
        let points: Vec<(f64, f64)> = figures.losses(of).into_iter().map(|(at, loss)| (at / unit, loss)).collect();
        if points.is_empty() || name != "loss" && points.iter().all(|p| p.0 == 0.0) {
            continue;
        }
        let last = points.last().map_or(String::new(), |p| format!("{:.3}", p.1));
        let chart = LineChart {
            name,
            title: title.into(),
            description: first_and_last(&points),
            x: x.into(),
            y: format!("nats/{}", figures.unit),
            zero: false,
            whole: name == "loss",
            lines: vec![Line { label: last, class: "s0", points }],
        };
        drawings.push(chart.draw());
    }
    drawings
}

/// Cumulative pay of those who earned most; the others in grey.
pub fn pay(figures: &Figures) -> Option<Drawing> {
    if figures.sum(|r| r.paid_msat) == 0 {
        return None;
    }
    let mut by_worker: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for work in figures.works.iter().filter(|work| work.outcome != Outcome::Open) {
        let points = by_worker.entry(work.worker).or_insert_with(|| vec![(0.0, 0.0)]);
        let before = points.last().map_or(0.0, |p| p.1);
        points.push((work.round as f64 + 1.0, before + work.paid_msat as f64 / 1000.0));
    }
    let mut order: Vec<usize> = by_worker.keys().copied().collect();
    order.sort_by_key(|i| std::cmp::Reverse(figures.workers[*i].paid_msat));
    let named = if order.len() <= COLOURS.len() { order.len() } else { 5 };
    let lines = order.iter().take(LINES).enumerate().map(|(place, worker)| Line {
        label: if place < named { figures.workers[*worker].worker.clone() } else { String::new() },
        class: if place < named { COLOURS[place] } else { "mute" },
        points: by_worker[worker].clone(),
    });
    let paid = figures.sum(|r| r.paid_msat);
    Some(
        LineChart {
            name: "pay",
            title: "Paid so far, by worker".into(),
            description: format!("{} sat in all, to {} workers.", sat(paid), order.len()),
            x: "round".into(),
            y: "sat".into(),
            zero: true,
            whole: true,
            lines: lines.collect(),
        }
        .draw(),
    )
}

/// The most lines of a chart.
const LINES: usize = 60;

/// The most rows of names.
const ROWS: usize = 30;

/// What was paid beside what was locked, or what the scores entitle to where nothing is locked.
pub fn earned(figures: &Figures) -> Option<Drawing> {
    let mut workers: Vec<_> = figures.workers.iter().collect();
    workers.sort_by(|a, b| {
        (b.paid_msat, b.entitled_msat).cmp(&(a.paid_msat, a.entitled_msat)).then_with(|| a.worker.cmp(&b.worker))
    });
    let escrow = figures.sum(|r| r.locked_msat) > 0;
    let value = |w: &super::model::Worker| if escrow { w.paid_msat } else { w.entitled_msat };
    if workers.iter().all(|w| value(w) == 0 && w.locked_msat == 0) {
        return None;
    }
    let bars = workers.iter().take(ROWS).map(|worker| {
        let of = if escrow { worker.locked_msat } else { 0 };
        let part =
            if of > 0 { format!("{:.0} %", value(worker) as f64 / of as f64 * 100.0) } else { sat(value(worker)) };
        Bar {
            name: worker.worker.clone(),
            class: "s0",
            value: value(worker) as f64 / 1000.0,
            of: of as f64 / 1000.0,
            label: part,
        }
    });
    let more =
        if workers.len() > ROWS { format!(" The first {ROWS} of {} workers.", workers.len()) } else { String::new() };
    let (title, x) = match escrow {
        true => ("Earned of what was locked", "sat paid (blue) of sat locked (grey)"),
        false => ("Entitled to, by the scores", "sat"),
    };
    Some(
        BarChart {
            name: "earned",
            title: title.into(),
            description: format!("{x}.{more}"),
            x: x.into(),
            bars: bars.collect(),
        }
        .draw(),
    )
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Paid => "s0",
        Outcome::Counted => "half",
        Outcome::Replay => "s1",
        Outcome::Signal => "s4",
        Outcome::Lists => "s3",
        Outcome::Absent => "mute",
        Outcome::Open => "hollow",
    }
}

/// What became of each worker in each round; of many rounds, what became of most in a stretch.
pub fn outcomes(figures: &Figures) -> Option<Drawing> {
    const COLUMNS: usize = 48;
    const ROW: f64 = 17.0;
    if figures.works.is_empty() {
        return None;
    }
    // Who was caught most stands on top, where there are more than have room.
    let mut order: Vec<usize> = (0..figures.workers.len()).collect();
    let missed =
        |i: &usize| figures.workers[*i].assigned - figures.workers[*i].counting.min(figures.workers[*i].assigned);
    if order.len() > ROWS {
        order.sort_by_key(|i| std::cmp::Reverse(missed(i)));
        order.truncate(ROWS);
    }
    let rounds = figures.rounds.len();
    let stretch = rounds.div_ceil(COLUMNS).max(1);
    let columns = rounds.div_ceil(stretch);
    let row_of: BTreeMap<usize, usize> = order.iter().copied().zip(0..).collect();
    let mut cells: Vec<Vec<BTreeMap<Outcome, u64>>> = vec![vec![BTreeMap::new(); columns]; order.len()];
    for work in &figures.works {
        if let Some(row) = row_of.get(&work.worker) {
            *cells[*row][work.round as usize / stretch].entry(work.outcome).or_default() += 1;
        }
    }
    let names = order.iter().map(|i| cut(&figures.workers[*i].worker, 14).chars().count()).max().unwrap_or(0);
    let left = names as f64 * CHARACTER + 10.0;
    let wide = ((WIDTH - left - 2.0) / columns as f64).min(26.0);
    let used: Vec<Outcome> = {
        let mut used: Vec<Outcome> = cells.iter().flatten().flat_map(|cell| cell.keys().copied()).collect();
        used.sort_unstable();
        used.dedup();
        used
    };
    let bottom = ROW * order.len() as f64 + 2.0;
    let legend = used.len().div_ceil(2) as f64 * 17.0;
    let mut caught: Vec<&str> = figures.caught.iter().map(|c| c.worker.as_str()).collect();
    caught.dedup();
    let description = format!(
        "{} workers in {rounds} rounds{}. Not all counted: {}.",
        figures.workers.len(),
        if stretch > 1 { format!(", {stretch} rounds a column") } else { String::new() },
        if caught.is_empty() { "none".to_owned() } else { caught.into_iter().take(8).collect::<Vec<_>>().join(", ") }
    );
    let mut drawing =
        Drawing::new("outcomes", "What became of each update", description, WIDTH, bottom + 44.0 + legend);
    for (row, worker) in order.iter().enumerate() {
        let y = 2.0 + ROW * row as f64;
        drawing.text("strong", (left - 8.0, y + 11.0), Anchor::End, &cut(&figures.workers[*worker].worker, 14));
        for (column, cell) in cells[row].iter().enumerate() {
            let Some((outcome, _)) = cell.iter().max_by_key(|(outcome, count)| (**count, **outcome)) else { continue };
            let (x, gap) = (left + wide * column as f64, if wide > 5.0 { 2.0 } else { 0.6 });
            drawing.rect(class(*outcome), (x, y), (wide - gap, ROW - 3.0));
            // Not by colour alone.
            if matches!(outcome, Outcome::Replay | Outcome::Signal | Outcome::Lists) && wide > 9.0 {
                let (mx, my, r) = (x + (wide - gap) / 2.0, y + (ROW - 3.0) / 2.0, 3.0);
                drawing.path("mark", &[(mx - r, my - r), (mx + r, my + r)]);
                drawing.path("mark", &[(mx - r, my + r), (mx + r, my - r)]);
            }
        }
    }
    let every = (columns as f64 * 24.0 / (wide * columns as f64)).ceil().max(1.0) as usize;
    for column in (0..columns).step_by(every) {
        let x = left + wide * (column as f64 + 0.5) - 1.0;
        drawing.text("", (x, bottom + 12.0), Anchor::Middle, &(column * stretch).to_string());
    }
    drawing.text(
        "",
        (left, bottom + 28.0),
        Anchor::Start,
        &match stretch {
            1 => "round".to_owned(),
            _ => format!("round ({stretch} a column: what most came to)"),
        },
    );
    for (i, outcome) in used.iter().enumerate() {
        let (x, y) = ((i % 2) as f64 * WIDTH / 2.0, bottom + 38.0 + (i / 2) as f64 * 17.0);
        drawing.rect(class(*outcome), (x + 1.0, y), (12.0, 11.0));
        drawing.text("", (x + 19.0, y + 9.5), Anchor::Start, outcome.words());
    }
    Some(drawing)
}

/// The escrow's heights by round: what was promised as bars, what happened as marks.
pub fn escrow(figures: &Figures) -> Option<Drawing> {
    const SHOWN: usize = 24;
    const ROW: f64 = 15.0;
    let all: Vec<(&Round, _)> = figures.rounds.iter().filter_map(|r| Some((r, r.heights?))).collect();
    let shown = &all[all.len().saturating_sub(SHOWN)..];
    let ends = shown.iter().flat_map(|(r, h)| {
        let claimed = r.claimed_at.map_or(h.claim_by, |(_, last)| last);
        [f64::from(h.offered_at), f64::from(h.claim_by), f64::from(claimed)]
    });
    if shown.is_empty() {
        return None;
    }
    let ends: Vec<f64> = ends.collect();
    let axis = Axis::over(ends.iter().copied(), 5.0, false, true).tight(ends);
    let labels = ["to lock", "to commit", "to verdict", "to claim"];
    let height = 2.0 + ROW * shown.len() as f64 + 38.0 + 34.0;
    let left = 30.0;
    let across = |height: u32| left + axis.at(f64::from(height)) * (WIDTH - left - 20.0);
    let (first, last) = (shown[0], shown[shown.len() - 1]);
    let description = format!(
        "Rounds {} to {}: offered at heights {} to {}; the last is to be claimed by {}.",
        first.0.round, last.0.round, first.1.offered_at, last.1.offered_at, last.1.claim_by
    );
    let mut drawing = Drawing::new("escrow", "Escrow by block height", description, WIDTH, height);
    let bottom = 2.0 + ROW * shown.len() as f64;
    for tick in axis.ticks() {
        let x = left + axis.at(tick) * (WIDTH - left - 20.0);
        drawing.line("grid", (x, 0.0), (x, bottom));
        drawing.text("", (x, bottom + 14.0), Anchor::Middle, &format!("{tick:.0}"));
    }
    for (row, (round, h)) in shown.iter().enumerate() {
        let y = 2.0 + ROW * row as f64;
        drawing.text("strong", (left - 8.0, y + 9.5), Anchor::End, &round.round.to_string());
        let heights = [h.offered_at, h.lock_by, h.commit_by, h.reveal_by, h.claim_by];
        for (pair, class) in heights.windows(2).zip(["s4", "s0", "s2", "s5"]) {
            let (from, to) = (across(pair[0]), across(pair[1]));
            drawing.rect(class, (from, y + 3.0), (to - from - 0.7, 6.0));
        }
        if let Some(closed) = round.closed_at {
            drawing.line("close", (across(closed), y), (across(closed), y + 12.0));
        }
        if let Some((_, last)) = round.claimed_at {
            drawing.dot("s1", (across(last), y + 6.0), 2.6);
        }
    }
    drawing.text("", ((left + WIDTH) / 2.0, bottom + 29.0), Anchor::Middle, "block height");
    let mut x = 0.0;
    for (class, label) in ["s4", "s0", "s2", "s5"].iter().zip(labels) {
        drawing.rect(class, (x, bottom + 39.0), (10.0, 8.0));
        drawing.text("", (x + 14.0, bottom + 47.0), Anchor::Start, label);
        x += 14.0 + label.chars().count() as f64 * CHARACTER + 14.0;
    }
    drawing.line("close", (4.0, bottom + 54.0), (4.0, bottom + 65.0));
    drawing.text("", (14.0, bottom + 64.0), Anchor::Start, "list closed");
    drawing.dot("s1", (100.0, bottom + 60.0), 3.2);
    drawing.text("", (108.0, bottom + 64.0), Anchor::Start, "last claim confirmed");
    Some(drawing)
}

/// Bytes sent beside what they would be as float32.
pub fn compression(figures: &Figures) -> Option<Drawing> {
    let (updates, sent) = (figures.sum(|r| r.updates), figures.sum(|r| r.bytes));
    let dense = figures.dense(updates).filter(|_| sent > 0)?;
    let bar = |name: &str, class, value: u64| Bar {
        name: name.into(),
        class,
        value: value as f64,
        of: 0.0,
        label: bytes(value as f64),
    };
    let times = dense as f64 / sent as f64;
    Some(
        BarChart {
            name: "compression",
            title: format!("Bytes sent: {} times less", short_times(times)),
            description: format!("{updates} updates took {sent} bytes; as dense float32 they would take {dense}."),
            x: "bytes, all updates".into(),
            bars: vec![bar("as float32", "mute", dense), bar("sent", "s0", sent)],
        }
        .draw(),
    )
}

/// A factor in three digits.
pub fn short_times(times: f64) -> String {
    if times < 100.0 { format!("{times:.1}") } else { short(times.round(), 1.0) }
}

/// The training loss and the speed by step, from the logs.
pub fn training(figures: &Figures) -> Vec<Drawing> {
    let mut logs: Vec<_> = figures.logs.iter().filter(|log| !log.steps.is_empty()).collect();
    logs.sort_by(|a, b| b.seen.cmp(&a.seen).then_with(|| a.worker.cmp(&b.worker)));
    let named = if logs.len() <= COLOURS.len() { logs.len() } else { 5 };
    let steps: u64 = logs.iter().map(|log| log.seen).fold(0, u64::saturating_add);
    let mut drawings = Vec::new();
    type Of = fn(&super::model::Step) -> Option<f64>;
    let kinds: [(&'static str, &str, &str, bool, Of); 2] = [
        ("training", "Training loss by step", "nats/token", false, |s| Some(s.loss)),
        ("speed", "Speed by step", "tokens/s", true, |s| s.speed),
    ];
    for (name, title, y, zero, of) in kinds {
        let lines = logs.iter().take(LINES).enumerate().map(|(place, log)| Line {
            label: if place < named { log.worker.clone() } else { String::new() },
            class: if place < named { COLOURS[place] } else { "mute" },
            points: log.steps.iter().filter_map(|s| Some((s.at as f64, of(s)?))).collect(),
        });
        let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
        if lines.is_empty() {
            continue;
        }
        drawings.push(
            LineChart {
                name,
                title: title.into(),
                description: format!("{steps} steps of {} workers, from their own logs.", logs.len()),
                x: "inner step, over all rounds".into(),
                y: y.into(),
                zero,
                whole: true,
                lines,
            }
            .draw(),
        );
    }
    drawings
}
