//! Logs of training: JSON Lines that may still be growing. Of other runs, and of other types, nothing is taken; a torn or
//! malformed line costs no other.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;

use super::model::{Log, Step};

/// The longest line that is looked at, in bytes.
const LINE: u64 = 1 << 14;

/// More workers are passed over.
const WORKERS: usize = 1000;

/// Steps of a worker that are kept: beyond twice as many every other one goes.
const KEPT: usize = 2048;

/// The fields of a line that are looked at.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    run: Option<String>,
    round: Option<u64>,
    worker: Option<String>,
    step: Option<u64>,
    loss: Option<f64>,
    tokens: Option<u64>,
    seconds: Option<f64>,
    tokens_per_second: Option<f64>,
    memory_bytes: Option<u64>,
}

/// Logs of one run, gathered from any number of files.
pub struct Logs {
    run: String,
    steps: u64,
    workers: BTreeMap<String, Thinned>,
    /// Lines that were nothing, or of another run.
    pub passed_over: u64,
    /// Steps whose loss is no number that can be drawn: of work that has gone wrong.
    pub not_finite: u64,
}

#[derive(Default)]
struct Thinned {
    log: Log,
    /// Every so manieth step is kept.
    stride: u64,
}

impl Logs {
    /// Of this run, with so many steps a round.
    pub fn of(run: &str, steps: u64) -> Logs {
        Logs { run: run.to_owned(), steps: steps.max(1), workers: BTreeMap::new(), passed_over: 0, not_finite: 0 }
    }

    /// Takes a file's lines, up to so many bytes.
    pub fn read(&mut self, file: impl Read, most: u64) -> std::io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, file.take(most));
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader).take(LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            let whole = line.ends_with(b"\n");
            if !whole && read as u64 == LINE {
                self.passed_over += 1;
                skip_line(&mut reader)?;
            } else if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                let taken = self.take(&line);
                // What is torn at the end is being written.
                self.passed_over += u64::from(!taken && whole);
            }
        }
    }

    /// Whether the line was of use, or of another type.
    fn take(&mut self, line: &[u8]) -> bool {
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else {
            // JSON has no such numbers, and programs write them all the same.
            let mut words = line.split(|byte| !byte.is_ascii_alphabetic());
            self.not_finite += u64::from(words.any(|word| NO_NUMBERS.contains(&word)));
            return false;
        };
        if entry.kind != "step" {
            return true;
        }
        let loss = entry.loss.filter(|loss| loss.abs() <= LARGEST_LOSS);
        self.not_finite += u64::from(loss.is_none());
        let (Some(worker), Some(step), Some(loss)) = (entry.worker, entry.step, loss) else { return false };
        let round = entry.round.unwrap_or(0);
        if entry.run.is_some_and(|run| run != self.run) || step > LARGEST || round > LARGEST {
            return false;
        }
        let worker: String = worker.chars().take(64).collect();
        if !self.workers.contains_key(&worker) && self.workers.len() >= WORKERS {
            return false;
        }
        let speed =
            entry.tokens_per_second.or_else(|| Some(entry.tokens? as f64 / entry.seconds.filter(|s| *s > 0.0)?));
        let at = round.saturating_mul(self.steps).saturating_add(step);
        let own = self.workers.entry(worker).or_default();
        let log = &mut own.log;
        own.stride = own.stride.max(1);
        if log.seen.is_multiple_of(own.stride) {
            log.steps.push(Step { at, round, loss, speed: speed.filter(|s| (0.0..=LARGEST_LOSS).contains(s)) });
        }
        log.seen += 1;
        log.tokens = log.tokens.saturating_add(entry.tokens.unwrap_or(0));
        log.seconds += entry.seconds.filter(|s| s.is_finite() && *s >= 0.0).unwrap_or(0.0);
        log.memory_bytes = log.memory_bytes.max(entry.memory_bytes.unwrap_or(0));
        if log.steps.len() > 2 * KEPT {
            let mut keep = false;
            log.steps.retain(|_| {
                keep = !keep;
                keep
            });
            own.stride *= 2;
        }
        true
    }

    /// By worker, their steps in order.
    pub fn finish(self) -> Vec<Log> {
        let finished = self.workers.into_iter().map(|(worker, mut own)| {
            own.log.steps.sort_by_key(|step| step.at);
            Log { worker, ..own.log }
        });
        finished.collect()
    }
}

/// Larger numbers are none of a step.
const LARGEST: u64 = 1 << 40;

/// A larger loss says no more than infinity does, and what is drawn must not overflow.
const LARGEST_LOSS: f64 = 1e30;

/// What programs write for what is no number.
const NO_NUMBERS: [&[u8]; 2] = [b"NaN", b"Infinity"];

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(run: &str, worker: &str, step: u64, loss: &str) -> String {
        format!(
            "{{\"type\":\"step\",\"v\":1,\"run\":\"{run}\",\"round\":1,\"worker\":\"{worker}\",\"step\":{step},\"loss\":{loss},\
             \"tokens\":100,\"seconds\":0.5}}\n"
        )
    }

    fn read(text: &str) -> (Vec<Log>, u64) {
        let mut logs = Logs::of("ab", 10);
        logs.read(text.as_bytes(), 1 << 20).unwrap();
        let passed_over = logs.passed_over;
        (logs.finish(), passed_over)
    }

    #[test]
    fn what_is_torn_foreign_or_nothing_costs_no_other_line() {
        let good = [line("ab", "ann", 2, "1.5"), line("ab", "ann", 1, "2.5")];
        let odd = [
            line("cd", "ann", 3, "9"),
            "{\"type\":\"eval\"}\n".into(),
            "rubbish\n".into(),
            line("ab", "bob", 0, "1e999"),
        ];
        let long = format!("{}\n", "x".repeat(1 << 16));
        let text = good[0].clone() + &odd.concat() + &long + &good[1] + &good[0][..40];
        let (logs, passed_over) = read(&text);
        assert_eq!((logs.len(), passed_over), (1, 4));
        let losses: Vec<(u64, f64)> = logs[0].steps.iter().map(|s| (s.at, s.loss)).collect();
        assert_eq!(losses, [(11, 2.5), (12, 1.5)]);
        assert_eq!((logs[0].tokens, logs[0].seconds, logs[0].steps[0].speed), (200, 1.0, Some(200.0)));
    }

    #[test]
    fn a_loss_that_is_no_number_is_counted_and_not_drawn() {
        let odd = ["NaN", "-Infinity", "null", "1e308", "-1e31"];
        let text: String = odd.iter().enumerate().map(|(i, loss)| line("ab", "ann", i as u64, loss)).collect();
        let mut logs = Logs::of("ab", 10);
        logs.read((text + &line("ab", "ann", 9, "-1e30")).as_bytes(), 1 << 20).unwrap();
        assert_eq!((logs.not_finite, logs.passed_over), (5, 5));
        assert_eq!(logs.finish()[0].steps.len(), 1);
    }

    #[test]
    fn a_long_log_takes_no_more_memory_than_a_short_one() {
        let mut logs = Logs::of("ab", 10);
        let text: String = (0..50_000).map(|step| line("ab", "ann", step, "1.5")).collect();
        logs.read(text.as_bytes(), 1 << 30).unwrap();
        let log = logs.finish().remove(0);
        assert_eq!(log.seen, 50_000);
        assert!((KEPT..=2 * KEPT).contains(&log.steps.len()), "{}", log.steps.len());
        let last = log.steps.last().unwrap().at;
        assert!(last > 49_900, "{last}");
    }
}
